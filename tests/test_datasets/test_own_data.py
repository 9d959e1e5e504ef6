"""Own data sets: class splits, outlines, COCO files and their check."""
import json
import re

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmfss.datasets import CocoFewShotDataset, FolderDataset
from mmfss.registry import DATASETS
from tests.conftest import REPO, pipeline
from tests.tool import run_tool

CLASSES = ('cup', 'fork', 'mug', 'pan')


def save(path, array, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **kwargs)


def labelme(path, label, box):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(
        imageWidth=60, imageHeight=40,
        shapes=[dict(label=label, shape_type='rectangle', points=box)])))


@pytest.fixture
def folder(tmp_path):
    """Four classes of three photos: masks, and the same as LabelMe's outlines."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:35] = 1
    for name in CLASSES:
        for n in range(3):
            save(tmp_path / 'images' / name / f'{n}.jpg',
                 np.full((40, 60, 3), 10 * n, np.uint8))
            save(tmp_path / 'masks' / name / f'{n}.png', mask)
            labelme(tmp_path / 'outlines' / name / f'{n}.json', name,
                    [[15, 10], [34, 29]])
    return tmp_path


@pytest.fixture
def coco(folder):
    """The same as one file of COCO; photo 0 of a class shows the next, too."""
    images = [dict(id=4 * n + c, file_name=f'{name}/{n}.jpg', width=60, height=40)
              for c, name in enumerate(CLASSES) for n in range(3)]
    square = dict(segmentation=[[15, 10, 35, 10, 35, 30, 15, 30]], iscrowd=0)
    corner = dict(segmentation=[[0, 0, 6, 0, 6, 5, 0, 5]], iscrowd=0)
    crowd = dict(segmentation=dict(size=[40, 60], counts=[0, 2400]), iscrowd=1)
    annotations = [dict(square, image_id=i['id'], category_id=10 + i['id'] % 4)
                   for i in images]
    annotations += [dict(corner, image_id=c, category_id=11 + c) for c in range(3)]
    annotations += [dict(crowd, image_id=i['id'], category_id=13) for i in images]
    content = dict(
        images=images, annotations=[dict(a, id=n) for n, a in enumerate(annotations)],
        categories=[dict(id=10 + c, name=name) for c, name in enumerate(CLASSES)])
    path = folder / 'instances.json'
    path.write_text(json.dumps(content))
    return path, content


def build_coco(path, **kwargs):
    kwargs = dict(dict(test_mode=True, pipeline=pipeline(40)), **kwargs)
    return DATASETS.build(dict(
        type='CocoFewShotDataset', data_root=str(path.parent), ann_file=path.name,
        data_prefix=dict(img_path='images'), **kwargs))


def test_outlines_equal_masks(folder):
    masks, outlines = (
        FolderDataset(str(folder), test_mode=True, pipeline=pipeline(40), **kwargs)
        for kwargs in ({}, dict(
            data_prefix=dict(seg_map_path='outlines'), seg_map_suffix='.json')))
    for n in range(12):
        one, other = (d[n]['data_samples'] for d in (masks, outlines))
        assert one.gt_sem_seg.data.any()
        assert (one.gt_sem_seg.data == other.gt_sem_seg.data).all()
        assert (one.support_masks == other.support_masks).all()
    path = folder / 'outlines' / 'cup' / '0.json'
    path.write_text(path.read_text().replace('60', '61'))
    with pytest.raises(ValueError, match=r'cup/0.json is \(61, 40\)'):
        FolderDataset(str(folder), seg_map_suffix='.json', data_prefix=dict(
            seg_map_path='outlines'))


def test_hidden_files_are_no_photos(folder):
    for path in ('images/cup/._0.jpg', 'masks/cup/._0.png', 'images/.cache/0.jpg'):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(b'of macOS or Jupyter')
    dataset = FolderDataset(str(folder))
    assert dataset.metainfo['classes'] == CLASSES and len(dataset) == 12
    assert check(folder) == (0, [
        '4 classes, 12 photos with masks: 0 error(s), 0 warning(s).'])


def test_coco_file(coco):
    path, _ = coco
    dataset = build_coco(path)
    assert dataset.metainfo['classes'] == CLASSES
    assert len(dataset) == 15  # of 12 photos; crowds are no objects
    names = {e['name'] for e in dataset.data_list if e['class_id'] == 1}
    assert names == {'cup/0.jpg', *(f'fork/{n}.jpg' for n in range(3))}
    areas = set()
    for n in range(len(dataset)):
        sample = dataset[n]['data_samples']
        square = sample.query.startswith(sample.class_name)
        assert bool(sample.gt_sem_seg.data[0, 20, 20]) == square
        assert bool(sample.gt_sem_seg.data[0, 2, 2]) != square
        areas.add(int(sample.gt_sem_seg.data.sum()))
    assert len(areas) == 2
    training = build_coco(path, test_mode=False, metainfo=dict(classes=['mug']))
    assert training[3, 1]['data_samples'].class_name == 'mug'


def test_bad_coco_file(coco):
    path, content = coco
    content['images'][0]['width'] = 61
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r'instances.json is \(61, 40\).*cup/0.jpg'):
        build_coco(path)
    content['images'].pop(0)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="'cup' name image ids.*\\[0\\]"):
        build_coco(path)
    with pytest.raises(ValueError, match='is of LabelMe.*FolderDataset'):
        CocoFewShotDataset(str(path.parent), 'outlines/cup/0.json')


@pytest.mark.parametrize('seed', range(3))
def test_split(objects30, coco, seed):
    split = dict(train=0.7, seed=seed)
    for build, number in ((lambda **kwargs: FolderDataset(objects30, **kwargs), 30),
                          (lambda **kwargs: build_coco(coco[0], **kwargs), 4)):
        train, again, test = (
            build(split=dict(split, part=part)).metainfo['classes']
            for part in ('train', 'train', 'test'))
        assert train == again and len(train) == round(0.7 * number)
        assert len(set(train) | set(test)) == number == len(train) + len(test)
    other = dict(part='train', train=0.7, seed=seed + 1)
    assert FolderDataset(objects30, split=other).metainfo['classes'] != FolderDataset(
        objects30, split=dict(split, part='train')).metainfo['classes']


@pytest.mark.parametrize('kwargs, message', [
    (dict(split=dict(part='val', train=0.7)), 'split must be like'),
    (dict(split=dict(part='train', train=7)), 'split must be like'),
    (dict(split=dict(part='train', train=0.01)), 'without a class'),
    (dict(split=dict(part='train', train=0.5), metainfo=dict(classes=['cup'])),
     'not both'),
])
def test_bad_split(folder, kwargs, message):
    with pytest.raises(ValueError, match=message):
        FolderDataset(str(folder), **kwargs)


def test_configs_of_the_docs(coco, monkeypatch):
    """Both train and test on disjoint classes."""
    text = (REPO / 'docs' / 'own_data.md').read_text()
    blocks = [b for b in re.findall('```python\n(.*?)```', text, re.S)
              if b.startswith('_base_') and 'Concat' not in b]  # see test_concat.py
    assert len(blocks) == 2
    monkeypatch.chdir(REPO)
    root, configs = coco[0].parent, str(REPO / 'configs')
    for block, sizes in zip(blocks, ((21, 9), (3, 1))):
        path = root / 'config.py'
        path.write_text(block.replace("_base_ = '", f"_base_ = '{configs}/").replace(
            "'my_data'", repr(str(root))).replace('annotations/', ''))
        cfg = Config.fromfile(path)
        train, test = (DATASETS.build(loader.dataset)
                       for loader in (cfg.train_dataloader, cfg.test_dataloader))
        classes = [set(d.metainfo['classes']) for d in (train, test)]
        assert tuple(map(len, classes)) == sizes and not classes[0] & classes[1]
        for item in (train[0, 0], test[0]):
            assert (item['data_samples'].gt_sem_seg.data == 1).any()


def check(root, *args):
    code, output = run_tool('dataset_converters/check_folder.py', root, '--nproc', 1,
                            *args)
    assert 'Traceback' not in output, output
    return code, [
        line for line in output.splitlines()
        if line.startswith(('error', 'warning')) or 'classes' in line
    ]


def test_check_folder(folder):
    assert check(folder) == (0, [
        '4 classes, 12 photos with masks: 0 error(s), 0 warning(s).'])
    mask = np.zeros((40, 60), np.uint8)
    mask[3, 3] = 1
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = np.zeros((40, 60, 3), np.uint8)
    save(folder / 'images' / 'cup' / '0.jpg', lying, exif=exif)
    save(folder / 'masks' / 'fork' / '0.png', mask)
    (folder / 'images' / 'fork' / 'notes.txt').touch()
    code, lines = check(folder, '--shot', '3')
    assert code == 0 and all(line.startswith('warning') for line in lines[:-1])
    for where, what in (('cup/0.jpg', 'orientation 6'), ('fork/0.png', 'pixels are'),
                        ('notes.txt', 'ignored'), ("'mug'", '3 different supports')):
        assert any(where in line and what in line for line in lines), (where, lines)

    save(folder / 'masks' / 'cup' / '0.png', np.ones((60, 40), np.uint8))
    save(folder / 'masks' / 'cup' / '1.png', mask * 0)
    save(folder / 'masks' / 'cup' / '2.png', mask * 0 + 1)
    (folder / 'images' / 'fork' / '1.jpg').write_bytes(b'no image')
    (folder / 'masks' / 'fork' / '2.png').unlink()
    save(folder / 'images' / 'pan' / '0.png', lying)
    (folder / 'masks' / 'mug' / '0.png').unlink()
    (folder / 'masks' / 'mug' / '1.png').unlink()
    exif[0x0112] = 3
    save(folder / 'images' / 'pan' / '1.jpg', lying, exif=exif)
    code, lines = check(folder, '--size', '16', '16')
    assert code == 1
    for where, what in (
        ('cup/0.png', 'the image (40, 60). Replace one of them. .*cup/0.jpg is turned'),
        ('cup/1.png', 'is empty'), ('cup/2.png', 'foreground everywhere'),
        ('fork/0.png', 'nothing is left at 16 x 16'), ('fork/1.jpg', 'cannot be read'),
        ('fork/2.jpg', 'has no mask'), ('0.jpg and 0.png', 'share a mask'),
        ("'mug'", 'has 1 photo(s)'), ('pan/1.jpg', 'orientation 3')):
        assert any(line.startswith('error') and where in line
                   and all(w in line for w in what.split(' .*')) for line in lines), (
                       where, lines)
    assert check(folder / 'images')[0] == 1
