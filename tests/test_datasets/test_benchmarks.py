"""The benchmarks' configs train, validate and test on folders of their shape."""
import math

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from tests.conftest import REPO


@pytest.mark.parametrize('name, classes', [
    ('hsnet_resnet50_pascal5i_fold1', 5),
    ('hsnet_resnet50_coco20i_fold1', 20),
    ('hsnet_resnet101_coco2pascal_fold2', 6),
    ('hsnet_vgg16_fss1000', 2),
])
def test_config_runs(name, classes, tiny_voc, tiny_coco, tiny_fss, tmp_path,
                     monkeypatch):
    # for logging only; yapf takes seconds to wrap the long temporary paths
    monkeypatch.setattr(Config, 'pretty_text', '')
    roots = dict(
        PASCAL5iDataset=tiny_voc, COCO2PASCALDataset=tiny_voc,
        COCO20iDataset=tiny_coco, FSS1000Dataset=tiny_fss)
    cfg = Config.fromfile(REPO / 'configs' / f'{name}.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader):
        root = roots[loader.dataset.type]
        loader.dataset.update(
            data_root=str(root), split_dir=str(root / 'splits'), num_episodes=2)
        loader.dataset.pipeline[0].transforms[-1].scale = (32, 32)
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_cfg.max_epochs = 1
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    cfg.work_dir = str(tmp_path / 'work')
    cfg.model.backbone = dict(type='mmpretrain.MobileNetV2')  # small
    runner = Runner.from_cfg(cfg)
    runner.train()
    figures = runner.test()
    assert all(math.isfinite(v) for v in figures.values())
    assert len(runner.test_dataloader.dataset.metainfo['class_ids']) == classes
    trained = set(runner.train_dataloader.dataset.metainfo['class_ids'])
    for loader in (runner.val_dataloader, runner.test_dataloader):
        if 'coco2pascal' not in name:  # its ids are those of two benchmarks
            assert not trained & set(loader.dataset.metainfo['class_ids'])
