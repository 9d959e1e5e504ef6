import json
import locale
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from PIL import Image

from mmfss.datasets import (
    COCO20iDataset,
    ConcatEpisodicDataset,
    EpisodicDataset,
    FolderDataset,
    FSS1000Dataset,
    LoadFewShotMask,
    PASCAL5iDataset,
)
from mmfss.datasets.annotations.image_files import read_mask
from mmfss.datasets.transforms.resize_few_shot import nearest_index
from tests.conftest import REPO, pipeline


def test_packed_episode(tiny_voc):
    dataset = PASCAL5iDataset(
        data_root=str(tiny_voc),
        split_dir=str(tiny_voc / 'splits'),
        fold=2,
        shot=5,
        test_mode=True,
        pipeline=pipeline(32))
    item = dataset[7]
    episode = dataset.get_episode(7)
    assert item['inputs']['query'].shape == (3, 32, 32)
    assert item['inputs']['support'].shape == (5, 3, 32, 32)
    assert item['inputs']['query'].dtype == torch.uint8
    sample = item['data_samples']
    assert sample.shot == 5
    assert sample.class_id == episode.class_id in range(10, 15)
    assert sample.class_name == dataset.metainfo['classes'][episode.class_id]
    assert (sample.query, tuple(sample.supports)) == (episode.query,
                                                      episode.supports)
    assert sample.ori_shape == (40, 50)
    assert sample.img_shape == (32, 32)
    for mask in (sample.gt_sem_seg.data, sample.support_masks):
        assert set(mask.unique().tolist()) == {0, 1, 255}


def test_other_classes_are_background(tiny_voc):
    path = tiny_voc / 'SegmentationClassAug' / '2007_001000.png'
    mask = np.array(Image.open(path))
    mask[:4] = 20
    Image.fromarray(mask).save(path)
    dataset = PASCAL5iDataset(
        data_root=str(tiny_voc),
        split_dir=str(tiny_voc / 'splits'),
        test_mode=True,
        pipeline=pipeline(64))
    assert dataset.get_episode(0).query == '2007_001000'
    assert (dataset[0]['data_samples'].gt_sem_seg.data[0, :4] == 0).all()


def test_coco_episode(tiny_coco):
    dataset = COCO20iDataset(
        data_root=str(tiny_coco),
        split_dir=str(tiny_coco / 'splits'),
        fold=3,
        shot=2,
        test_mode=True,
        pipeline=pipeline(40))
    item = dataset[7]
    sample = item['data_samples']
    assert sample.class_id in range(3, 80, 4)
    assert sample.img_path == str(tiny_coco / sample.query)
    assert sample.query.startswith('val2014/COCO_val2014_000000')
    mask = np.array(Image.open(
        tiny_coco / 'annotations' / sample.query.replace('.jpg', '.png')))
    columns = nearest_index(50, 40)
    expected = (mask == sample.class_id + 1)[:, columns]
    assert (sample.gt_sem_seg.data[0].numpy() == expected).all()
    assert expected.any()


@pytest.mark.parametrize('cls, fixture, masks', [
    (PASCAL5iDataset, 'tiny_voc', 'SegmentationClassAug'),
    (COCO20iDataset, 'tiny_coco', 'annotations'),
    (FSS1000Dataset, 'tiny_fss', '')])
def test_masks_elsewhere(cls, fixture, masks, request):
    """Where the photos are need not be said again."""
    root = request.getfixturevalue(fixture)
    for mask in list((root / masks).rglob('*.png')):
        moved = root / 'mine' / mask.relative_to(root / masks)
        moved.parent.mkdir(parents=True, exist_ok=True)
        mask.rename(moved)
    dataset = cls(
        data_root=str(root),
        split_dir=str(root / 'splits'),
        data_prefix=dict(seg_map_path='mine'),
        test_mode=True,
        pipeline=pipeline(32))
    assert (dataset[0]['data_samples'].gt_sem_seg.data == 1).any()


class MaskPerClass(EpisodicDataset):
    """Three images, each with a mask of its own for each of two classes."""
    METAINFO = dict(classes=('a', 'b'))

    def load_data_list(self):
        return [
            dict(name=f'{n}', class_id=c, class_value=1 + n, num_classes=3,
                 source='the test', img_path=f'{self.data_root}/{n}.png',
                 seg_map_path=f'{self.data_root}/{c}_{n}.png')
            for c in range(2) for n in range(3)
        ]


def test_a_mask_and_a_value_per_class_and_image(tmp_path):
    for n in range(3):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / f'{n}.png')
        for c in range(2):
            mask = np.zeros((32, 32), np.uint8)
            mask[16 * c:16 * c + 16] = 1 + n
            Image.fromarray(mask).save(tmp_path / f'{c}_{n}.png')
    dataset = MaskPerClass(
        data_root=str(tmp_path), test_mode=True, pipeline=pipeline(32))
    assert len(dataset.pictures) == 3
    for episode in dataset:
        sample = episode['data_samples']
        rows = 16 * ('a', 'b').index(sample.class_name)
        for mask in (sample.gt_sem_seg.data[0], sample.support_masks[0]):
            assert mask.sum() == 16 * 32 and mask[rows:rows + 16].all()
    (tmp_path / '0_1.png').unlink()
    with pytest.raises(FileNotFoundError, match='no mask .*0_1.png'):
        dataset = MaskPerClass(data_root=str(tmp_path), test_mode=True)


def test_random_transforms_follow_from_the_episode(tiny_voc):
    """Not from what was drawn before: workers and resuming change nothing."""
    transforms = pipeline(32)
    transforms[0].transforms.append(
        dict(type='mmseg.PhotoMetricDistortion'))
    dataset = PASCAL5iDataset(
        data_root=str(tiny_voc), split_dir=str(tiny_voc / 'splits'),
        pipeline=transforms)

    def query(*idx):
        return dataset[idx]['inputs']['query']

    state = np.random.get_state()[1].copy()
    first = query(0, 0)
    assert (np.random.get_state()[1] == state).all()
    np.random.rand()
    assert torch.equal(first, query(0, 0))
    episode = dataset.get_episode((0, 0))
    others = [query(epoch, n) for epoch in range(1, 9) for n in range(len(dataset))
              if dataset.get_episode((epoch, n)).query == episode.query]
    assert others and not any(torch.equal(first, other) for other in others)


def test_random_transforms_do_not_follow_from_the_supports(tiny_voc):
    dataset = PASCAL5iDataset(
        data_root=str(tiny_voc), split_dir=str(tiny_voc / 'splits'),
        pipeline=[lambda info: np.random.rand()])
    assert dataset[3, 2] != np.random.RandomState([dataset.seed, 3, 2]).rand()


def test_episodes_of_a_test_are_counted_from_the_end(tiny_voc):
    dataset = PASCAL5iDataset(
        data_root=str(tiny_voc), split_dir=str(tiny_voc / 'splits'), test_mode=True,
        pipeline=[lambda info: (info['query'], random.random(), np.random.rand())])
    last = len(dataset) - 1
    assert dataset[-1] == dataset[last] == dataset[np.int64(last)] != dataset[0]


def test_lists_are_utf8(tiny_fss):
    """Also where the locale's encoding is another."""
    (tiny_fss / 'bus').rename(tiny_fss / 'büs')
    (tiny_fss / 'splits' / 'trn.txt').write_text('taxi\nbüs\n', encoding='utf-8')
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, 'C')
    try:
        dataset = FSS1000Dataset(
            data_root=str(tiny_fss), split_dir=str(tiny_fss / 'splits'))
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    assert dataset.class_names == ['büs', 'taxi']


def test_fss_episode(tiny_fss):
    dataset = FSS1000Dataset(
        data_root=str(tiny_fss),
        split_dir=str(tiny_fss / 'splits'),
        shot=3,
        test_mode=True,
        pipeline=pipeline(30))
    assert [e.query for e in dataset.episode_lists[0][:3]] == [
        f"abe's_flyingfish/{n}" for n in (1, 10, 2)
    ]
    assert dataset.metainfo['class_ids'] == [4, 5]
    for item in (dataset[n]['data_samples'] for n in range(20)):
        assert int(item.gt_sem_seg.data.sum()) == 100  # 127 is not foreground
        assert int(item.support_masks.sum()) == 300
        assert item.class_name in ("abe's_flyingfish", 'hotel_slipper')


def test_folder_masks_count_any_non_zero_value(tmp_path):
    values = dict(a=1, b=128, c=255)
    for folder in ('images', 'masks'):
        (tmp_path / folder / 'cup').mkdir(parents=True)
    for name, value in values.items():
        image = np.zeros((20, 20, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / 'images' / 'cup' / f'{name}.png')
        mask = np.zeros((20, 20), np.uint8)
        mask[:5] = value
        mask = Image.fromarray(mask)
        if name == 'c':
            mask = mask.convert('LA')  # opaque: alpha is not the class
        mask.save(tmp_path / 'masks' / 'cup' / f'{name}.png')
    dataset = FolderDataset(
        str(tmp_path), test_mode=True, pipeline=pipeline(20))
    assert len(dataset) == 3
    for item in (dataset[i]['data_samples'] for i in range(3)):
        assert int(item.gt_sem_seg.data.sum()) == 100
        assert int(item.support_masks.sum()) == 100


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'LA', 'RGB', 'RGBA', 'I;16'])
def test_folder_masks_of_any_mode(tmp_path, mode):
    for folder in ('images', 'masks'):
        (tmp_path / folder / 'cup').mkdir(parents=True)
    grey = np.zeros((20, 20), np.uint8)
    grey[:5] = 255
    for name in 'ab':
        Image.new('RGB', (20, 20)).save(tmp_path / 'images' / 'cup' / f'{name}.jpg')
        mask = Image.fromarray(grey)
        mask = (Image.fromarray(grey.astype(np.uint16) * 257)
                if mode == 'I;16' else mask.convert(mode))
        mask.save(tmp_path / 'masks' / 'cup' / f'{name}.png')
    dataset = FolderDataset(str(tmp_path), test_mode=True, pipeline=pipeline(20))
    assert int(dataset[0]['data_samples'].gt_sem_seg.data.sum()) == 100


@pytest.mark.parametrize('options', [
    {}, dict(transparency=0), dict(transparency=b'\x00\xff')])
def test_palettes_of_binary_masks_are_colours(tmp_path, options):
    """Image.quantize makes index 0 of white: the object."""
    index = np.ones((20, 20), np.uint8)
    index[:5] = 0
    mask = Image.fromarray(index)
    mask.putpalette([255, 255, 255, 0, 0, 0])
    for folder in ('images', 'masks'):
        (tmp_path / folder / 'cup').mkdir(parents=True)
    for name in 'ab':
        Image.new('RGB', (20, 20)).save(tmp_path / 'images' / 'cup' / f'{name}.jpg')
        path = tmp_path / 'masks' / 'cup' / f'{name}.png'
        mask.save(path, **options)
    for source in (path, mask, mask.convert('PA')):
        assert np.array_equal(read_mask(source), index == 0)
    dataset = FolderDataset(str(tmp_path), test_mode=True, pipeline=pipeline(20))
    assert (dataset[0]['data_samples'].gt_sem_seg.data[0].numpy() == 1 - index).all()
    of_classes = LoadFewShotMask()(dict(
        img=index, seg_map_path=str(path), class_value=1, num_classes=1))
    assert np.array_equal(of_classes['gt_seg_map'], index)


def test_lazy_init_and_serialize(objects30):
    dataset = FolderDataset(
        objects30, lazy_init=True, serialize_data=True, test_mode=True,
        pipeline=pipeline(20))
    assert len(dataset) == 155
    assert FolderDataset(objects30, lazy_init=True, test_mode=True).get_episode(3)


def test_bundled_split(objects30):
    cfg = Config.fromfile(
        REPO / 'configs' / '_base_' / 'datasets' / 'objects30.py')
    split = json.loads((Path(objects30) / 'splits.json').read_text())
    assert split == dict(train=cfg.train_classes, test=cfg.test_classes)


def test_exif_rotation_is_ignored(tiny_voc):
    path = tiny_voc / 'JPEGImages' / '2007_001000.jpg'
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6  # rotated by a quarter
    image.save(path, exif=exif)
    dataset = PASCAL5iDataset(
        data_root=str(tiny_voc),
        split_dir=str(tiny_voc / 'splits'),
        test_mode=True,
        pipeline=pipeline(32))
    assert dataset[0]['data_samples'].ori_shape == (40, 50)


@given(st.integers(1, 2000), st.integers(1, 1000))
def test_nearest_index_stays_inside_and_in_order(size_in, size_out):
    index = nearest_index(size_in, size_out)
    assert len(index) == size_out
    assert index[0] == 0 and index[-1] < size_in
    assert (np.diff(index) >= 0).all()


def test_nearest_index_is_computed_in_float32():
    assert 300 * 84 / 400 == 63
    assert nearest_index(84, 400)[300] == 62  # float32(0.21) * 300 < 63


def test_data_prefix_of_other_datasets(tiny_voc):
    class Mine(EpisodicDataset):
        """Has no ``DATA_PREFIX`` of its own."""

        def load_data_list(self):
            return [dict(name='0', class_id=0, img_path='0.jpg', class_value=1,
                         seg_map_path=self.data_prefix['seg_map_path'])]

    mine = Mine(data_root=str(tiny_voc), data_prefix=dict(seg_map_path='masks'),
                lazy_init=True)
    assert mine.load_data_list()[0]['seg_map_path'] == str(tiny_voc / 'masks')
    with pytest.raises(ValueError, match='data_prefix takes nothing, not img_path'):
        ConcatEpisodicDataset([dict(type='FolderDataset')],
                              data_prefix=dict(img_path='images'))
