import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

from mmfss.apis import FewShotInferencer
from mmfss.registry import DATASETS, MODELS
from tests.conftest import REPO

CONFIG = REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py'
SIDE = 96


def small_config(shot=1):
    """The quick start's at 96 pixels, compared at the masks' size on disk."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({
        'test_dataloader.dataset.pipeline.0.transforms.2.scale': (SIDE, SIDE),
        'test_dataloader.dataset.protocol.original_size': True,
        'test_dataloader.dataset.protocol.num_episodes': 7,
        'test_dataloader.dataset.shot': shot
    })
    return cfg


@pytest.fixture(scope='session')
def weights(tmp_path_factory):
    """Random ones, their last bias such that half of the pixels are foreground."""
    init_default_scope('mmfss')
    cfg = small_config()
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    model.init_weights()
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([dataset[n] for n in range(4)]))
    with torch.no_grad():
        logits = model(**batch, mode='tensor')
        margin = (logits[:, :, 1] - logits[:, :, 0]).median()
        model.decode_head.after[2].bias[1] -= margin
    path = tmp_path_factory.mktemp('weights') / 'model.pth'
    torch.save(dict(meta={}, state_dict=model.state_dict()), path)
    return str(path)


@pytest.fixture(scope='module')
def shared_inferencer(weights):
    init_default_scope('mmfss')
    return FewShotInferencer(
        small_config(), weights, device='cpu', show_progress=False)


@pytest.fixture
def inferencer(shared_inferencer):
    """One without classes."""
    shared_inferencer.support_set.supports.clear()
    return shared_inferencer


@pytest.fixture
def photo(objects30):
    """The path of a bundled photo, or of its mask."""

    def path(name, kind='images'):
        return f'{objects30}/{kind}/{name}.{"jpg" if kind == "images" else "png"}'

    return path


@pytest.fixture
def teapot(inferencer, photo):
    """The inferencer, fitted to a teapot."""
    return inferencer.fit(
        photo('teapot/00'), photo('teapot/00', 'masks'), 'teapot')
