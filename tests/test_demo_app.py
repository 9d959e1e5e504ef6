"""The web demo, driven as a browser does it."""
import os
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from mmfss.apis import FewShotInferencer
from tests.conftest import REPO
from tests.test_apis.conftest import photo, small_config, weights  # noqa: F401

gradio_client = pytest.importorskip(
    'gradio_client', reason='the demo needs gradio: pip install -e ".[demo]"')


@pytest.fixture(scope='module')
def app(weights, tmp_path_factory):  # noqa: F811
    """The config and the address of a running page."""
    folder = tmp_path_factory.mktemp('app')
    config = folder / 'config.py'
    small_config().dump(config)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment = dict(
        os.environ, GRADIO_ANALYTICS_ENABLED='False', HF_HUB_OFFLINE='1',
        GRADIO_TEMP_DIR=str(folder / 'uploads'), OMP_NUM_THREADS='1',
        PYTHONPATH=f'{REPO}{os.pathsep}{os.environ.get("PYTHONPATH", "")}')
    log = folder / 'log'
    with log.open('w') as output:
        process = subprocess.Popen(
            [sys.executable, str(REPO / 'demo' / 'app.py'), str(config), weights,
             '--device', 'cpu', '--port', str(port), '--max-file-size', '300kb'],
            cwd=folder, env=environment, stdout=output, stderr=output)
    address = f'http://127.0.0.1:{port}'
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.25)
        yield str(config), address
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def client(app):
    """A visitor."""
    return gradio_client.Client(app[1], verbose=False)


def file(path):
    return gradio_client.handle_file(str(path))


def fails(client, *args, message, **kwargs):
    with pytest.raises(Exception, match=message):
        client.predict(*args, **kwargs)


@pytest.mark.parametrize('how', ['add_files', 'add_painted', 'example'])
def test_segment(app, client, weights, photo, how, tmp_path):  # noqa: F811
    names = ['teapot/00']
    if how == 'add_files':
        client.predict(
            file(photo('teapot/00')), file(photo('teapot/00', 'masks')),
            api_name='/add_files')
    elif how == 'add_painted':
        with Image.open(photo('teapot/00', 'masks')) as mask:
            alpha = (np.array(mask) > 0).astype(np.uint8) * 255
        layer = np.dstack([np.full_like(alpha, 9)] * 3 + [alpha])
        Image.fromarray(layer).save(tmp_path / 'layer.png')
        client.predict(
            dict(background=file(photo('teapot/00')),
                 layers=[file(tmp_path / 'layer.png')], composite=None),
            api_name='/add_painted')
    else:
        names = ['teapot/00', 'teapot/01']
        client.predict(api_name='/example')
    queries = [photo('teapot/04'), photo('clock/00')]
    pictures, masks, table = client.predict(
        [file(q) for q in queries], 0.5, 0, api_name='/segment')
    inferencer = FewShotInferencer(app[0], weights, 'cpu', show_progress=False)
    inferencer.fit([photo(n) for n in names], [photo(n, 'masks') for n in names])
    expected = inferencer(queries, presence_thr=0)['predictions']
    assert len(pictures) == len(masks) == len(table['data']) == 2
    for picture, mask, row, prediction in zip(pictures, masks, table['data'],
                                              expected):
        with Image.open(mask['image']) as image:
            mask = np.array(image.convert('L'))
        assert set(np.unique(mask)) == {0, 255}
        assert ((mask > 0) == prediction['mask']).mean() > 0.999
        with Image.open(picture['image']) as image:
            assert image.size == mask.shape[::-1]
        assert row[0] == os.path.basename(prediction['name'])
        assert row[1] == pytest.approx(prediction['scores']['object'], abs=1e-3)
        assert row[2] == pytest.approx(prediction['presence']['object'], abs=1e-3)


def test_refusals(client, photo, tmp_path):  # noqa: F811
    query = [file(photo('teapot/04'))]
    fails(client, query, 0.5, 0, api_name='/segment',
          message='Add an annotated photo first')
    pair = photo('teapot/00'), photo('teapot/00', 'masks')
    noise = np.random.RandomState(0).randint(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / 'large.png')
    Image.fromarray(noise[:50, :50] // 255 * 255).save(tmp_path / 'small.png')
    (tmp_path / 'text.jpg').write_text('no image')
    for image, mask, message in (
        (tmp_path / 'large.png', pair[1], 'maximum|exceed|large|413'),
        (tmp_path / 'text.jpg', pair[1], 'text.jpg is damaged or no image'),
        (pair[0], tmp_path / 'small.png', 'small.png: the mask is'),
        (REPO / 'LICENSE', pair[1], 'Invalid file type')):
        fails(client, file(image), file(mask), api_name='/add_files',
              message=message)
    for _ in range(5):
        client.predict(*map(file, pair), api_name='/add_files')
    fails(client, *map(file, pair), api_name='/add_files', message='at most 5')
    fails(client, query * 11, 0.5, 0, api_name='/segment',
          message='11 photos are too many: at most 10')
    # the same page still works
    assert client.predict(query, 0.5, 0, api_name='/segment')
