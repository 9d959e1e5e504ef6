import pytest
from mmengine.config import Config

from mmfss.registry import MODELS
from tests.conftest import REPO

CONFIGS = sorted((REPO / 'configs').glob('*.py'))
PARAMETERS = dict(vgg16=2_570_018, resnet50=2_573_794, resnet101=2_587_394)
# with ResNet-101; full4d: the published number
ABLATIONS = {
    'hsnet-full4d': 11_296_690,
    'hsnet-separable4d': 2_943_154,
    'hsnet-lastmap': 2_566_818,
    'hsnet-deep': 427_042,
    'hsnet-middle': 444_578,
    'hsnet-shallow': 462_146,
}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_config(path):
    cfg = Config.fromfile(path)
    assert cfg.default_scope == 'mmfss'
    model = MODELS.build(cfg.model)
    parts = path.stem.split('_')
    if parts[0] == 'prototype':
        assert not any(p.requires_grad for p in model.parameters())
        assert cfg.train_dataloader is None and cfg.val_dataloader is None
        if 'pascal5i' in path.stem:
            assert cfg.test_dataloader.dataset.type == 'PASCAL5iDataset'
            assert cfg.test_dataloader.dataset.fold == int(parts[-1][-1])
        return
    expected = ABLATIONS.get(parts[0], PARAMETERS.get(parts[1]))
    if expected:
        assert expected == sum(
            p.numel() for p in model.parameters() if p.requires_grad)
        assert cfg.model.backbone.init_cfg.checkpoint.startswith('https://')
    if 'pascal5i' in path.stem:
        fold = int(parts[-1][-1])
        for loader in (cfg.train_dataloader, cfg.val_dataloader,
                       cfg.test_dataloader):
            assert loader.dataset.fold == fold
            assert loader.dataset.data_root == 'data/VOCdevkit/VOC2012'
        assert cfg.train_dataloader.batch_size == 20
        assert cfg.auto_scale_lr.base_batch_size == 20
        assert 'protocol' not in cfg.test_dataloader.dataset  # so: hsnet
    if 'coco20i' in path.stem or 'coco2pascal' in path.stem:
        fold = int(parts[-1][-1])
        shift = 'coco2pascal' in path.stem
        assert cfg.train_dataloader.dataset.type == 'COCO20iDataset'
        assert cfg.train_dataloader.dataset.data_root == 'data/coco'
        assert cfg.train_dataloader.dataset.fold == fold
        assert cfg.train_dataloader.batch_size == 40
        assert cfg.auto_scale_lr.base_batch_size == 40
        tested = dict(
            fold=fold, type='COCO20iDataset', data_root='data/coco')
        assert dict(cfg.val_dataloader.dataset, **tested) == (
            cfg.val_dataloader.dataset)
        if shift:
            tested.update(
                type='COCO2PASCALDataset',
                data_root='data/VOCdevkit/VOC2012',
                protocol=dict(name='domain-shift'))
        assert dict(cfg.test_dataloader.dataset, **tested) == (
            cfg.test_dataloader.dataset)
    if 'fss1000' in path.stem:
        assert cfg.train_dataloader.batch_size == 20
        assert cfg.auto_scale_lr.base_batch_size == 20
        for split, loader in (('trn', cfg.train_dataloader),
                              ('val', cfg.val_dataloader),
                              ('test', cfg.test_dataloader)):
            assert loader.dataset.type == 'FSS1000Dataset'
            assert loader.dataset.split == split
            assert loader.dataset.data_root == 'data/fss1000'
    assert cfg.model.neck.mask_support == ('nomask' not in parts[0])
    assert cfg.train_cfg.max_epochs == cfg.max_epochs


def test_all_published_configs_are_there():
    names = {path.stem for path in CONFIGS}
    assert names >= {
        f'hsnet_{backbone}_pascal5i_fold{fold}'
        for backbone in PARAMETERS for fold in range(4)
    }
    assert names >= {
        f'hsnet_{backbone}_{benchmark}_fold{fold}'
        for backbone in ('resnet50', 'resnet101')
        for benchmark in ('coco20i', 'coco2pascal') for fold in range(4)
    }
    assert names >= {f'hsnet_{backbone}_fss1000' for backbone in PARAMETERS}
    assert names >= {
        f'hsnet-nomask_resnet101_pascal5i_fold{fold}' for fold in range(4)
    }
    assert names >= {
        f'{ablation}_resnet101_pascal5i_fold0' for ablation in ABLATIONS
    }
