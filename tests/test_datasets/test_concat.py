"""Training on several datasets at once."""
import json
import re

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmfss.datasets import ConcatEpisodicDataset
from mmfss.registry import DATASETS
from tests.conftest import REPO, pipeline


@pytest.fixture
def parts(tiny_voc, tmp_path):
    """Fold 0 of a VOC-shaped folder, and a folder of own photos with a cat."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:30, 15:35] = 77  # any value, no class of VOC
    for name in ('cat', 'mug'):
        for folder, array, file in (
                ('images', np.full((40, 60, 3), 9, np.uint8), '{}.jpg'),
                ('masks', mask, '{}.png')):
            (tmp_path / 'own' / folder / name).mkdir(parents=True)
            for n in range(4):
                Image.fromarray(array).save(
                    tmp_path / 'own' / folder / name / file.format(n))
    voc = dict(type='PASCAL5iDataset', data_root=str(tiny_voc),
               split_dir=str(tiny_voc / 'splits'))
    return [voc, dict(type='FolderDataset', data_root=str(tmp_path / 'own'))]


def test_every_entry_is_the_query_once(parts):
    dataset = ConcatEpisodicDataset(parts, shot=2, pipeline=pipeline(40))
    assert len(dataset) == 15 * 3 + 2 * 4  # three folds, two own classes
    samples = [dataset[0, n]['data_samples'] for n in range(len(dataset))]
    assert {(s.query, s.class_id) for s in samples} == {
        (e['name'], e['class_id']) for e in dataset.data_list}
    origins = [s.query[0] for s in samples]
    assert '1' in origins[:30] and '0' in origins[-30:]  # mixed
    for sample in samples:
        assert sample.gt_sem_seg.data.eq(1).any()
        assert all(name[0] == sample.query[0] for name in sample.supports)


def test_classes_of_one_name_stay_apart(parts):
    dataset = ConcatEpisodicDataset(parts, pipeline=[])
    assert dataset.metainfo['classes'][-2:] == ['cat (2)', 'mug']
    own = [e for e in dataset.data_list if e['name'].startswith('1/cat')]
    assert {dataset.metainfo['classes'][e['class_id']] for e in own} == {'cat (2)'}
    assert 'cat' in dataset.class_names


def test_outlines(parts, tmp_path):
    """A JSON file is asked for the class by the name that it knows."""
    box = [15, 10, 34, 29]
    shapes = [dict(label=name, shape_type='rectangle', points=[box[:2], box[2:]])
              for name in ('cat', 'mug')]
    for path in (tmp_path / 'own' / 'masks').glob('*/*.png'):
        path.with_suffix('.json').write_text(json.dumps(dict(shapes=shapes)))
    (tmp_path / 'own' / 'instances.json').write_text(json.dumps(dict(
        images=[dict(id=n, file_name=f'cat/{n}.jpg', width=60, height=40)
                for n in range(4)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='mug')],
        annotations=[dict(id=n, image_id=n // 2, category_id=1 + n % 2,
                          segmentation=[[15, 10, 35, 10, 35, 30, 15, 30]])
                     for n in range(8)])))
    coco = dict(type='CocoFewShotDataset', data_root=str(tmp_path / 'own'),
                ann_file='instances.json', data_prefix=dict(img_path='images'))
    folder = dict(parts[1], seg_map_suffix='.json')
    dataset = ConcatEpisodicDataset([parts[0], folder, coco], pipeline=pipeline(40))
    seen = set()
    for n in range(len(dataset)):
        sample = dataset[0, n]['data_samples']
        seen.add(sample.class_name)
        assert sample.gt_sem_seg.data.eq(1).any()
    assert seen > {'cat', 'cat (2)', 'mug', 'cat (3)', 'mug (3)'}


def test_masks_are_checked_by_their_own_dataset(parts, tiny_voc):
    """21 is a class of no VOC mask, though there are 22 classes in all."""
    for path in (tiny_voc / 'SegmentationClassAug').glob('*.png'):
        mask = np.array(Image.open(path))
        mask[0, 0] = 21
        Image.fromarray(mask).save(path)
    dataset = ConcatEpisodicDataset(parts, pipeline=pipeline(40))
    n = next(n for n in range(99) if dataset.get_episode((0, n)).query[0] == '0')
    with pytest.raises(RuntimeError, match=r'unknown values \[21\]'):
        dataset[0, n]


def test_nothing_to_concatenate():
    with pytest.raises(ValueError, match='datasets is empty'):
        ConcatEpisodicDataset([])


def test_config_of_the_docs(parts, tmp_path):
    text = (REPO / 'docs' / 'own_data.md').read_text()
    block, = (b for b in re.findall('```python\n(.*?)```', text, re.S) if 'Concat' in b)
    path = tmp_path / 'config.py'
    path.write_text(block.replace("_base_ = '", f"_base_ = '{REPO}/configs/"))
    cfg = Config.fromfile(path).train_dataloader.dataset
    cfg.datasets[0].update(parts[0])
    dataset = DATASETS.build(cfg)
    assert len(dataset.class_names) == 15 + 20
    n = next(n for n in range(99) if dataset.get_episode((0, n)).query[0] == '1')
    assert dataset[0, n]['data_samples'].gt_sem_seg.data.eq(1).any()
