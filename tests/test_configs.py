from pathlib import Path

import mmpretrain
import mmseg
import pytest
import yaml
from mmengine.config import Config
from mmengine.runner.checkpoint import get_external_models

from mmfss.registry import MODELS
from tests.conftest import REPO

CONFIGS = sorted((REPO / 'configs').glob('*.py'))
ZOO_MODELS = [
    path for path in sorted((REPO / 'configs/_base_/models').glob('*_*.py'))
    if 'zoo_weights' in path.read_text()
]
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
    if 'timm' in path.stem:
        pytest.importorskip('timm', reason='needs timm')
        assert cfg.model.backbone.pop('pretrained')  # would download
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


def zoo_entry(url):
    """What the installed zoo says of a file of weights, or None."""
    for zoo in (mmpretrain, mmseg):
        root = Path(zoo.__file__).parent / '.mim'
        if not root.is_dir():
            pytest.skip(f'{zoo.__name__} is installed without its model zoo')
        for file in root.glob('configs/*/metafile.y*ml'):
            if url in file.read_text():
                for entry in yaml.safe_load(file.read_text())['Models']:
                    if entry.get('Weights') == url:
                        return Config.fromfile(root / entry['Config'])
    return None


@pytest.mark.parametrize('path', ZOO_MODELS, ids=lambda p: p.stem)
def test_zoo_weights_are_of_this_backbone(path):
    """The zoo has them, from the same architecture, for the same pixels."""
    cfg = Config.fromfile(path)
    assert cfg.zoo_weights.startswith('https://')
    if cfg.zoo_weights in get_external_models().values():
        return
    zoo = zoo_entry(cfg.zoo_weights)
    if zoo is None:  # no model of its own, but the start of another's training
        configs = Path(mmseg.__file__).parent / '.mim' / 'configs'
        assert any(cfg.zoo_weights in file.read_text()
                   for file in configs.glob('segformer/*.py'))
        return
    theirs = MODELS.build(dict(zoo.model.backbone, _scope_='mmpretrain'))
    theirs = {k: v.shape for k, v in theirs.state_dict().items()}
    ours = MODELS.build(cfg.model.backbone).state_dict()
    assert {k: v.shape for k, v in ours.items()}.items() <= theirs.items()
    wanted = zoo.get('data_preprocessor') or zoo.model.data_preprocessor
    given = cfg.model.data_preprocessor
    assert given.mean == wanted.mean and given.std == wanted.std
    assert given.bgr_to_rgb == wanted.get('to_rgb', wanted.get('bgr_to_rgb'))
