"""The web demo, driven as a browser does it."""
import os

import numpy as np
import pytest
from PIL import Image

from mmfss.apis import FewShotInferencer
from tests.conftest import REPO

gradio_client = pytest.importorskip(
    'gradio_client', reason='the demo needs gradio: pip install -e ".[demo]"')


@pytest.fixture
def client(app):
    """A visitor."""
    return gradio_client.Client(app[1], verbose=False)


def file(path):
    return gradio_client.handle_file(str(path))


def fails(client, *args, message, **kwargs):
    with pytest.raises(Exception, match=message):
        client.predict(*args, **kwargs)


@pytest.mark.parametrize('how', [
    'add_files', 'the object', 'a scribble on it', 'a box around it', 'example'])
def test_segment(app, client, weights, photo, how, tmp_path):
    names, masks = ['teapot/00'], [photo('teapot/00', 'masks')]
    if how == 'add_files':
        client.predict(
            file(photo('teapot/00')), file(photo('teapot/00', 'masks')),
            api_name='/add_files')
    elif how == 'example':
        names.append('teapot/01')
        masks.append(photo('teapot/01', 'masks'))
        client.predict(api_name='/example')
    else:
        strokes = np.zeros((400, 400), np.uint8)
        if how == 'the object':
            with Image.open(masks[0]) as mask:
                strokes[np.array(mask) > 0] = 255
        elif how == 'a scribble on it':
            strokes[120:200, 180:220] = 255
            masks = [dict(scribble=strokes)]
        else:  # two of its corners
            strokes[45:60, 134:160] = strokes[200:246, 340:346] = 255
            masks = [dict(box=(134, 45, 346, 246))]
        layer = np.dstack([np.full_like(strokes, 9)] * 3 + [strokes])
        Image.fromarray(layer).save(tmp_path / 'layer.png')
        client.predict(
            dict(background=file(photo('teapot/00')),
                 layers=[file(tmp_path / 'layer.png')], composite=None), how,
            api_name='/add_painted')
    queries = [photo('teapot/04'), photo('clock/00')]
    pictures, found, table = client.predict(
        [file(q) for q in queries], 0.5, 0, api_name='/segment')
    inferencer = FewShotInferencer(app[0], weights, 'cpu', show_progress=False)
    inferencer.fit([photo(n) for n in names], masks)
    expected = inferencer(queries, presence_thr=0)['predictions']
    assert len(pictures) == len(found) == len(table['data']) == 2
    for picture, mask, row, prediction in zip(pictures, found, table['data'],
                                              expected):
        with Image.open(mask['image']) as image:
            mask = np.array(image.convert('L'))
        assert set(np.unique(mask)) == {0, 255}
        assert ((mask > 0) == prediction['mask']).mean() > 0.999
        with Image.open(picture['image']) as image:
            assert image.size == mask.shape[::-1]
        assert picture['caption'] == f'{row[0]}: found'
        assert row[0] == os.path.basename(prediction['name'])
        assert row[1] == pytest.approx(prediction['scores']['object'], abs=1e-3)
        assert row[2] == pytest.approx(prediction['presence']['object'], abs=1e-3)


def test_refusals(client, photo, tmp_path):
    query = [file(photo('teapot/04'))]
    fails(client, query, 0.5, 0, api_name='/segment',
          message='Add an annotated photo first')
    pair = photo('teapot/00'), photo('teapot/00', 'masks')
    painted = dict(background=file(pair[0]), layers=[], composite=None)
    fails(client, painted, 'a box around it', api_name='/add_painted',
          message='Nothing is painted. .* a box around it')
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
