import gzip
import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from PIL import Image

from mmfss.structures import FewShotDataSample
from tests.tool import REPO


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmfss')


@pytest.fixture(scope='session')
def objects30():
    """The bundled photos."""
    return str(REPO / 'demo' / 'data' / 'objects30')


@pytest.fixture(scope='session')
def voc_subset():
    """A real VOC2012 subset, which may not be bundled (the photos' terms)."""
    root = os.environ.get('MMFSS_TEST_DATA')
    if not root:
        pytest.skip('MMFSS_TEST_DATA names no VOC2012 subset')
    return Path(root)


@pytest.fixture
def log():
    """The messages that mmengine's logger gets."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def page():
    """A page of the system's Chromium, or of playwright's own."""
    playwright = pytest.importorskip(
        'playwright.sync_api',
        reason='playwright is missing: pip install -e ".[browser]"')
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(
                executable_path=shutil.which('chromium'),
                args=['--disable-gpu', '--disable-quic', '--disable-sync'])
        except playwright.Error as error:
            pytest.skip(f'there is no Chromium: {error.message.splitlines()[0]}')
        yield browser.new_page(viewport=dict(width=1280, height=1000))
        browser.close()


@pytest.fixture
def tiny_voc(tmp_path):
    """A VOC-shaped folder: real JPEG and palette PNG files, 3 per class."""
    root = tmp_path / 'VOC2012'
    for folder in ('JPEGImages', 'SegmentationClassAug'):
        (root / folder).mkdir(parents=True)
    rs = np.random.RandomState(0)
    for fold in range(4):
        lines = []
        for value in range(5 * fold + 1, 5 * fold + 6):
            for number in range(3):
                name = f'2007_{value:03d}{number:03d}'
                write_pair(root, name, value, rs)
                lines.append(f'{name}__{value:02d}')
        for part in ('trn', 'val'):
            path = root / 'splits' / part / f'fold{fold}.txt'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('\n'.join(lines) + '\n')
    return root


def write_pair(root, name, value, rs, size=(50, 40)):
    """One image and its mask: an object, its 255 boundary, background."""
    image = rs.randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(image).save(root / 'JPEGImages' / f'{name}.jpg')
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[8:30, 8:36] = 255
    mask[10:28, 10:34] = value
    png = Image.fromarray(mask).convert('P')
    png.putpalette([i for i in range(256) for _ in range(3)])
    png.save(root / 'SegmentationClassAug' / f'{name}.png')


def pipeline(size):
    """The configs' pipeline at another size."""
    base = REPO / 'configs' / '_base_' / 'datasets' / 'benchmark.py'
    transforms = Config.fromfile(base).pipeline
    transforms[0].transforms[-1].scale = (size, size)
    return transforms


@pytest.fixture
def tiny_coco(tmp_path):
    """A COCO-shaped folder: 3 images per split, each with all 80 classes."""
    root = tmp_path / 'coco'
    rs = np.random.RandomState(0)
    mask = (np.arange(40 * 50) // 24 % 81).astype(np.uint8).reshape(40, 50)
    ids = (9, 30, 391895)
    for split in ('train2014', 'val2014'):
        (root / split).mkdir(parents=True)
        (root / 'annotations' / split).mkdir(parents=True)
        for image_id in ids:
            stem = f'{split}/COCO_{split}_{image_id:012d}'
            image = rs.randint(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / f'{stem}.jpg')
            Image.fromarray(mask).save(root / 'annotations' / f'{stem}.png')
    (root / 'splits').mkdir()
    write_coco_lists(root, {
        split: {str(c): ids for c in range(80)}
        for split in ('train2014', 'val2014')
    })
    return root


def write_coco_lists(root, lists):
    path = root / 'splits' / 'coco20i.json.gz'
    path.write_bytes(gzip.compress(json.dumps(lists).encode()))
    return path


@pytest.fixture
def tiny_fss(tmp_path):
    """An FSS-1000-shaped folder: grey and RGB masks, 10 per class."""
    root = tmp_path / 'fss1000'
    rs = np.random.RandomState(0)
    mask = np.zeros((30, 30), np.uint8)
    mask[5:25, 5:25] = 127  # as at a smoothed edge: not yet foreground
    mask[10:20, 10:20] = 128
    mask[12:18, 12:18] = 255
    rgb = np.repeat(mask[..., None], 3, axis=-1)
    parts = dict(
        trn=('taxi', 'bus'), val=('mortar', 'handcuff'),
        test=('hotel_slipper', "abe's_flyingfish"))
    (root / 'splits').mkdir(parents=True)
    for part, classes in parts.items():
        (root / 'splits' / f'{part}.txt').write_text('\n'.join(classes) + '\n')
        for name in classes:
            (root / name).mkdir()
            for n in range(1, 11):
                image = rs.randint(0, 256, (30, 30, 3), dtype=np.uint8)
                Image.fromarray(image).save(root / name / f'{n}.jpg')
                Image.fromarray(rgb if n % 2 else mask).save(
                    root / name / f'{n}.png')
    return root


def episodes(batch, shot, height, width):
    """Random inputs and data samples of a batch."""
    inputs = dict(
        query=torch.randn(batch, 3, height, width),
        support=torch.randn(batch, shot, 3, height, width))
    samples = []
    for _ in range(batch):
        sample = FewShotDataSample()
        sample.gt_sem_seg = PixelData(
            data=torch.randint(0, 2, (1, height, width)))
        sample.support_masks = torch.randint(
            0, 2, (shot, height, width), dtype=torch.uint8)
        samples.append(sample)
    return inputs, samples
