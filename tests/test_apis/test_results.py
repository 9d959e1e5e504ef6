"""What is written, and the command line."""
import os
import runpy
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPO
from tests.test_apis.conftest import CONFIG


def test_files(teapot, photo, tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    teapot.fit(photo('clock/00'), photo('clock/00', 'masks'), 'clock')
    sources = [photo('teapot/01'), photo('clock/01'), read(photo('clock/02'))]
    result = teapot(sources, out_dir=str(tmp_path), presence_thr=0)
    names = [os.path.basename(p['pred_path']) for p in result['predictions']]
    assert names[:2] == ['01.png', '01_2.png'] and names[2][:-4].isdigit()
    coco = coco.COCO(str(tmp_path / 'predictions.json'))
    assert [c['name'] for c in coco.cats.values()] == ['teapot', 'clock']
    for n, prediction in enumerate(result['predictions'], 1):
        mask = prediction['mask']
        assert mask.any()
        with Image.open(prediction['pred_path']) as image:
            assert image.mode == 'P' and np.array_equal(np.array(image), mask)
        with Image.open(prediction['vis_path']) as image:
            assert image.size == mask.shape[::-1]
        assert coco.imgs[n]['file_name'] == prediction['name']
        assert coco.imgs[n]['presence'] == prediction['presence']
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=n))
        assert sum(a['category_id'] * coco.annToMask(a).astype(int)
                   for a in annotations).tolist() == mask.tolist()
        for a in annotations:
            assert a['area'] == (mask == a['category_id']).sum()
            name = teapot.classes[a['category_id'] - 1]
            assert a['score'] == prediction['scores'][name] > 0


def test_without_pycocotools(teapot, photo, tmp_path, monkeypatch, log):
    monkeypatch.setattr('mmfss.apis.result_writer.coco_mask', None)
    result = teapot(photo('teapot/01'), out_dir=str(tmp_path), return_masks=False)
    assert sorted(os.listdir(tmp_path)) == ['pred', 'vis']
    assert 'pip install pycocotools' in log[-1]
    assert 'mask' not in result['predictions'][0]


def test_what_is_written_survives_a_stop(teapot, photo, tmp_path, monkeypatch):
    decode, calls = teapot.model.decode, []

    def stopped(query, support):
        calls.append(query)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decode(query, support)

    monkeypatch.setattr(teapot.model, 'decode', stopped)
    with pytest.raises(KeyboardInterrupt):
        teapot([photo('teapot/01'), photo('teapot/02')], out_dir=str(tmp_path))
    assert os.listdir(tmp_path / 'pred') == ['01.png']


def read(path):
    with Image.open(path) as image:
        return np.array(image.resize((70, 50)))[..., ::-1]


@pytest.fixture
def infer(monkeypatch, capsys, tmp_path):
    """Run the tool in this process: exit code, output, errors."""

    def run(*args):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['infer.py', *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(REPO / 'tools' / 'infer.py'), run_name='__main__')
        return (stopped.value.code, *capsys.readouterr())

    return run


def test_tool(infer, weights, photo, tmp_path):
    pair = [f'{photo(f"teapot/0{n}")}:{photo(f"teapot/0{n}", "masks")}'
            for n in range(2)]
    shutil.copy(photo('clock/00'), tmp_path / 'c:1.jpg')
    shutil.copy(photo('clock/00', 'masks'), tmp_path / 'c:1.png')
    code, out, _ = infer(
        CONFIG, weights, '--support', *pair, '--class-name', 'teapot', '--support',
        'c:1.jpg:c:1.png', '--class-name', 'clock', '--save-support', 'mine.pth',
        '--query', photo('teapot/02'), '--out-dir', 'first', '--presence-thr', 0)
    assert code == 0 and 'teapot found (presence 0.' in out
    (tmp_path / 'empty.jpg').touch()
    code, out, _ = infer(
        CONFIG, weights, '--load-support', 'mine.pth', '--query',
        photo('teapot/02'), 'empty.jpg', '--out-dir', 'second', '--presence-thr', 0)
    assert code == 1 and 'The results are in second' in out
    first, second = (tmp_path / folder / 'pred' / '02.png'
                     for folder in ('first', 'second'))
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert np.array(image).any()
    for options, message, failed in (
        (['--support', pair[0], '--class-name', 'teapot'], 'each --class-name once', 1),
        (['--load-support', 'mine.pth'], 'teapot of mine.pth is replaced', 0)):
        code, _, error = infer(
            CONFIG, weights, '--support', pair[1], '--class-name', 'teapot', *options,
            '--query', photo('teapot/02'))
        assert bool(code) == failed and message in error


@pytest.mark.parametrize('hint, expected', [
    ('box=1,2,30,4.5', dict(box=[1, 2, 30, 4.5])),
    ('point=7,8', dict(point=[7, 8])),
    ('scribble=1,2,3,4', dict(scribble=[(1, 2), (3, 4)])),
    ('point=7,8:background=1,2,3,4', dict(point=[7, 8], background=[(1, 2), (3, 4)])),
])
def test_hints_of_the_tool(hint, expected, photo):
    tool = runpy.run_path(str(REPO / 'tools' / 'infer.py'))
    image = photo('teapot/00')
    assert tool['split_pair'](f'{image}:{hint}') == (image, expected)


def test_tool_with_hints(infer, weights, photo, tmp_path):
    image = photo('teapot/00')
    shutil.copy(photo('teapot/01', 'masks'), tmp_path / 'strokes.png')
    code, out, _ = infer(
        CONFIG, weights, '--support', f'{image}:box=60,90,340,320',
        f'{image}:point=200,200:background=5,5,390,5',
        f'{image}:scribble=180,200,220,200', f'{image}:scribble=strokes.png',
        '--query', photo('teapot/02'), '--presence-thr', 0)
    assert code == 0 and 'object found' in out
    for hint, message in (
        ('box=1,2,3', 'write box=x1,y1,x2,y2.'), ('point=1', 'write point=x,y.'),
        ('scribble=1,2,3', 'write scribble=x,y'), ('scribble=none.png', 'exists'),
        ('box=0,0,9999,3', 'not inside the photo')):
        code, _, errors = infer(CONFIG, weights, '--support', f'{image}:{hint}',
                                '--query', image)
        assert code == 1 and message in errors.splitlines()[-1]


@pytest.mark.parametrize('args, code, message', [
    (['--query', 'a.jpg'], 2, 'give --support or --load-support'),
    (['--support', 'a.jpg:a.png'], 2, 'give --query, --save-support or'),
    (['--support', 'a:b', '--support', 'c:d', '--query', 'e'], 2,
     '2 --support and 0 --class-name'),
    (['--support', 'a.jpg:a.png', '--query', 'b.jpg'], 1,
     'infer.py: --support a.jpg:a.png: there is no file a.jpg and no file a.png.'),
    (['--support', 'a.jpg', '--query', 'b.jpg'], 1, 'write IMG:MASK'),
])
def test_wrong_arguments(infer, weights, args, code, message):
    done, _, errors = infer(CONFIG, weights, *args)
    assert done == code and message in errors.splitlines()[-1]
    done, _, errors = infer('configs/hsnet_mobilenet_objects30.py', weights,
                            '--support', 'a:b', '--query', 'c')
    assert done == 1 and 'hsnet_mobilenetv2_objects30.py' in errors
