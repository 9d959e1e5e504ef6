import json
import re
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from mmengine.config import Config

from mmfss.apis import FewShotInferencer
from mmfss.apis.images import read_image
from mmfss.datasets.annotations import SupportAnnotation, image_files
from mmfss.datasets.annotations.grab_cut import grab_cut
from mmfss.datasets.annotations.image_files import read_mask
from tests.conftest import REPO
from tests.tool import run_tool

CONFIG = REPO / 'configs' / 'prototype_mobilenetv2_objects30.py'
NUMBERS = range(4)


@pytest.fixture(scope='module')
def prototype():
    """It needs no training, and its masks make sense."""
    return FewShotInferencer(
        Config.fromfile(CONFIG), device='cpu', show_progress=False)


@pytest.fixture
def annotated(objects30):
    """Images and masks of four cans."""
    return ([f'{objects30}/images/can/0{n}.jpg' for n in NUMBERS],
            [f'{objects30}/masks/can/0{n}.png' for n in NUMBERS])


def iou_with(inferencer, annotated, query, supports):
    """By the public way: fit, segment, compare."""
    images, masks = annotated
    inferencer.fit([images[s] for s in supports], [masks[s] for s in supports])
    mask = inferencer(images[query], presence_thr=0)['predictions'][0]['mask'] == 1
    truth = read_mask(masks[query])
    return 100 * (mask & truth).sum() / (mask | truth).sum()


def test_the_scores_are_those_of_fit_and_call(prototype, annotated):
    scores = prototype.score_supports(*annotated)
    assert [score['name'] for score in scores] == annotated[0]
    alone, gains = np.zeros((4, 4)), np.zeros((4, 4))
    for q in NUMBERS:
        others = [s for s in NUMBERS if s != q]
        iou = iou_with(prototype, annotated, q, others)
        assert scores[q]['iou'] == pytest.approx(iou)
        for s in others:
            alone[s, q] = iou_with(prototype, annotated, q, [s])
            gains[s, q] = iou - iou_with(
                prototype, annotated, q, [o for o in others if o != s])
    for score, others_alone, gain in zip(scores, alone, gains):
        assert score['iou_alone'] == pytest.approx(others_alone.sum() / 3)
        assert score['gain'] == pytest.approx(gain.sum() / 3)
    assert len({score['gain'] for score in scores}) == 4


def test_outlines_of_several_labels(prototype, annotated, tmp_path):
    """The class's label counts, as in fit()."""
    images, masks = annotated[0][:2], [read_mask(m) for m in annotated[1][:2]]
    files = []
    for n, mask in enumerate(masks):
        height, width = mask.shape
        files.append(str(tmp_path / f'{n}.json'))
        shapes = [dict(label=label, shape_type='rectangle', points=box)
                  for label, box in (('can', [[40, 40], [90, 120]]),
                                     ('table', [[0, 0], [30, 30]]))]
        Path(files[-1]).write_text(json.dumps(
            dict(imageWidth=width, imageHeight=height, shapes=shapes)))
    masks = [SupportAnnotation(file, 'can').mask(read_image(image))
             for file, image in zip(files, images)]
    assert prototype.score_supports(images, files, 'can') == (
        prototype.score_supports(images, masks, 'can'))


def test_each_is_read_once(prototype, annotated, monkeypatch):
    """GrabCut, too, which takes the longest."""
    read, cut = Mock(wraps=image_files.read_bytes), Mock(wraps=grab_cut)
    folder = 'mmfss.datasets.annotations'
    monkeypatch.setattr(f'{folder}.image_files.read_bytes', read)
    monkeypatch.setattr(f'{folder}.support_annotation.grab_cut', cut)
    prototype.score_supports(
        annotated[0][:2], [dict(point=(60, 100)), dict(point=(60, 90))])
    assert read.call_count == cut.call_count == 2


def test_a_wrong_annotation_stands_out(prototype, annotated):
    """The third mask is turned inside out: it marks what is not the object."""
    images, masks = annotated
    masks[2] = np.uint8(~read_mask(masks[2]))
    scores = prototype.score_supports(images, masks, 'can')
    for key in ('iou', 'iou_alone', 'gain'):
        assert min(NUMBERS, key=lambda n: scores[n][key]) == 2, key


def test_what_is_fitted_stays(prototype, annotated):
    prototype.support_set.supports.clear()
    prototype.fit(annotated[0][0], annotated[1][0], 'can')
    before = prototype.support_set.supports['can']
    prototype.score_supports(*annotated, class_name='can')
    with pytest.raises(ValueError, match="class 'can': .*the mask is empty"):
        prototype.score_supports(*annotated_with_an_empty_mask(annotated), 'can')
    assert prototype.classes == ('can', )
    assert prototype.support_set.supports['can'] is before


def annotated_with_an_empty_mask(annotated):
    images, masks = annotated
    return images, [*masks[:3], np.zeros_like(read_mask(masks[3]))]


def test_two_images_have_no_gain_and_one_no_score(prototype, annotated):
    images, masks = annotated
    scores = prototype.score_supports(images[:2], masks[:2])
    assert [score['gain'] for score in scores] == [None, None]
    assert scores[0]['iou'] == scores[1]['iou_alone'] > 0
    for one in ((images[:1], masks[:1]), (images[0], masks[0])):
        with pytest.raises(ValueError, match='at least two'):
            prototype.score_supports(*one)


def test_infer_prints_a_table(annotated, tmp_path):
    code, output = run_tool(
        'infer.py', CONFIG, '--support', *map(':'.join, zip(*annotated)),
        '--class-name', 'can', '--device', 'cpu', '--score-supports', cwd=tmp_path)
    assert code == 0, output
    rows = re.findall(r'\| \S+/can/0(\d)\.jpg \| +([\d.]+) +\| +([\d.]+) +\| '
                      r'+([+-][\d.]+)', output)
    assert [row[0] for row in rows] == ['0', '1', '2', '3']
    mean = sum(float(row[1]) for row in rows) / 4
    last = output.strip().splitlines()[-1]
    assert last.startswith('Mean IoU with 1 support: ')
    assert float(last.split()[-1]) == pytest.approx(mean, abs=0.1)
    assert not list(tmp_path.iterdir())
