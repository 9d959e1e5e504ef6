"""tools/browse_episodes.py, run as a user runs it."""
import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmfss.registry import DATASETS
from mmfss.visualization import FewShotVisualizer, to_rgb
from tests.conftest import REPO
from tests.tool import run_tool

CONFIG = REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py'


def browse(*args, cwd, ok=True):
    code, output = run_tool('browse_episodes.py', *args, cwd=cwd)
    assert (code == 0) == ok, output
    return output


@pytest.mark.parametrize('split, shot', [('train', 1), ('test', 2)])
def test_the_pictures_are_the_episodes(split, shot, tmp_path):
    output = browse(
        CONFIG, '--split', split, '--num', 2, '--out-dir', 'out', '--cfg-options',
        f'{split}_dataloader.dataset.shot={shot}', cwd=tmp_path)
    files = sorted((tmp_path / 'out').iterdir())
    assert len(files) == 2 and 'episodes are in out.' in output
    cfg = Config.fromfile(CONFIG)[f'{split}_dataloader'].dataset
    cfg.shot = shot
    dataset = DATASETS.build(cfg)
    for n, file in enumerate(files):
        data = dataset[n if split == 'test' else (0, n)]
        sample = data['data_samples']
        assert file.name == f'{split}_{n:04d}_{sample.class_name}_{shot}shot.png'
        expected = FewShotVisualizer().draw_episode(
            to_rgb(data['inputs']['query']), to_rgb(data['inputs']['support']),
            sample)
        assert np.array_equal(np.asarray(Image.open(file)), expected)


def test_a_class_with_a_slash_in_its_name(tmp_path):
    for n in range(2):
        Image.new('RGB', (60, 40)).save(tmp_path / f'{n}.jpg')
    (tmp_path / 'instances.json').write_text(json.dumps(dict(
        images=[dict(id=n, file_name=f'{n}.jpg', width=60, height=40)
                for n in range(2)],
        categories=[dict(id=1, name='cup/mug')],
        annotations=[dict(id=n, image_id=n, category_id=1,
                          segmentation=[[9, 9, 30, 9, 30, 30]]) for n in range(2)])))
    (tmp_path / 'config.py').write_text(
        f"_base_ = '{CONFIG}'\n"
        "train_dataloader = dict(dataset=dict(type='CocoFewShotDataset', "
        "data_root='.', ann_file='instances.json', metainfo=dict(_delete_=True)))")
    browse('config.py', '--num', 1, '--out-dir', 'out', cwd=tmp_path)
    file, = (tmp_path / 'out').iterdir()
    assert file.name == 'train_0000_cup_mug_1shot.png'


def test_clear_errors(tmp_path):
    output = browse(
        CONFIG, '--cfg-options', 'train_dataloader.dataset.data_root=nowhere',
        cwd=tmp_path, ok=False)
    assert output.startswith("browse_episodes.py: FolderDataset: there is no data")
    prototype = REPO / 'configs' / 'prototype_mobilenetv2_objects30.py'
    output = browse(prototype, cwd=tmp_path, ok=False)
    assert output.strip().endswith(
        'has no train_dataloader. There is: --split test.')
    assert not list(tmp_path.iterdir())
