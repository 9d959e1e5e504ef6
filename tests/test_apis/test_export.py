"""Models that run without mmfss."""
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mmfss.apis import export
from mmfss.apis.export import export_fitted
from mmfss.apis.images import read_image
from tests.conftest import REPO
from tests.test_apis.conftest import SIDE, small_config

QUERIES = ('teapot/03', 'clock/00', 'cat/00')


@pytest.fixture
def two_shot(inferencer, photo):
    """The inferencer, fitted to two teapots and a clock."""
    names = ('teapot/00', 'teapot/01')
    inferencer.fit([photo(n) for n in names], [photo(n, 'masks') for n in names],
                   'teapot')
    return inferencer.fit(
        photo('clock/01'), photo('clock/01', 'masks'), 'clock')


def run_tool(monkeypatch, *args):
    monkeypatch.syspath_prepend(str(REPO / 'tools'))
    monkeypatch.setattr(sys, 'argv', ['export.py', *map(str, args)])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(REPO / 'tools' / 'export.py'), run_name='__main__')
    return exit.value.code


def as_predicted(inferencer, photos):
    """Prepared images, and the logits and masks as predict() makes them."""
    images, logits, masks = [], [], []
    for path in photos:
        with Image.open(path) as image:
            image = image.convert('RGB').resize((SIDE, SIDE), Image.BILINEAR)
        images.append(np.asarray(image))
        query = inferencer.preprocess(images[-1][..., ::-1])
        logit = F.interpolate(
            inferencer.support_set.segment(query, 0.5)[0]['teapot'],
            (SIDE, SIDE),
            mode='bilinear',
            align_corners=True)
        logits.append(logit.mean(dim=0).numpy())
        # one vote of two is a half
        masks.append((logit[:, 1] > logit[:, 0]).any(dim=0).numpy())
    return np.stack(images), np.stack(logits), np.stack(masks)


def check(run, inferencer, photo):
    images, logits, masks = as_predicted(inferencer, map(photo, QUERIES))
    assert 0.1 < masks.mean() < 0.9
    for count in (1, 3):
        got, mask = map(np.asarray, run(images[:count]))
        assert got.dtype == np.float32 and mask.dtype == np.uint8
        assert got.shape == (count, 2, SIDE, SIDE)
        assert np.abs(got - logits[:count]).max() < 1e-3
        assert (mask == masks[:count]).mean() > 0.999


def test_onnx(teapot, weights, photo, tmp_path, monkeypatch, capsys):
    pytest.importorskip('onnxscript')
    onnxruntime = pytest.importorskip('onnxruntime')
    config, supports = tmp_path / 'config.py', tmp_path / 'supports.pth'
    small_config().dump(config)
    teapot.save_support(str(supports))
    out = tmp_path / 'new' / 'teapot.onnx'
    assert run_tool(monkeypatch, config, weights, '--load-support', supports,
                    '--out', out) == 0
    assert 'of the mask pixels equal' in capsys.readouterr().out
    assert os.listdir(out.parent) == ['teapot.onnx']  # all in one file
    session = onnxruntime.InferenceSession(str(out))
    check(lambda x: session.run(['logits', 'mask'], dict(images=x)), teapot, photo)

    # the example needs neither torch nor mmfss
    query, mask = photo(QUERIES[0]), tmp_path / 'mask.png'
    script = str(REPO / 'demo' / 'onnx_inference.py')
    subprocess.run([
        sys.executable, '-c', f'import runpy, sys\nsys.argv[0] = {script!r}\n'
        'runpy.run_path(sys.argv[0], run_name="__main__")\n'
        'loaded = {"torch", "mmfss", "mmengine", "mmcv"} & set(sys.modules)\n'
        'assert not loaded, loaded', str(out), query, str(mask)
    ], check=True)
    with Image.open(query) as image, Image.open(mask) as mask:
        assert mask.size == image.size
        mask = np.array(mask)
    assert set(np.unique(mask)) == {0, 255}
    expected = teapot(query, presence_thr=0)['predictions'][0]['mask']
    assert ((mask > 0) == expected).mean() > 0.97


def test_torchscript(two_shot, photo, tmp_path):
    out = tmp_path / 'teapot.pt'
    result = export_fitted(two_shot, 'teapot', str(out), 'torchscript',
                           [read_image(photo(QUERIES[0]))])
    assert result['size'] == (SIDE, SIDE)
    assert result['difference'] < 1e-3 and result['agreement'] > 0.999
    run = torch.jit.load(out)
    with torch.no_grad():
        check(lambda x: run(torch.from_numpy(x)), two_shot, photo)


def test_nothing_is_written_that_differs(teapot, photo, tmp_path, monkeypatch):
    out = tmp_path / 'teapot.pt'
    out.write_text('what was there')
    monkeypatch.setattr(export, 'MAX_DIFFERENCE', -1)
    with pytest.raises(RuntimeError, match='differs from the model.*not written'):
        export_fitted(teapot, 'teapot', str(out), 'torchscript',
                      [read_image(photo(QUERIES[0]))])
    assert os.listdir(tmp_path) == ['teapot.pt']
    assert out.read_text() == 'what was there'


def test_errors(two_shot, weights, photo, tmp_path, monkeypatch, capsys):
    config, supports = tmp_path / 'config.py', tmp_path / 'supports.pth'
    small_config().dump(config)
    two_shot.save_support(str(supports))
    out = tmp_path / 'out.pt'
    for more, message in (((), 'has the classes teapot, clock: choose one'),
                          (('--class-name', 'cup'), "no class 'cup', but teapot")):
        assert run_tool(monkeypatch, config, weights, '--load-support', supports,
                        '--format', 'torchscript', '--out', out, *more) == 1
        assert message in capsys.readouterr().err
    cfg = small_config()
    cfg.test_dataloader.dataset.pipeline[0].transforms[2].keep_ratio = True
    cfg.dump(config)
    pair = f'{photo("teapot/00")}:{photo("teapot/00", "masks")}'
    assert run_tool(monkeypatch, config, weights, '--support', pair,
                    '--format', 'torchscript', '--out', out) == 1
    assert 'without keep_ratio' in capsys.readouterr().err
    assert not out.exists()
