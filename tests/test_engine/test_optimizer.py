from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmfss.registry import MODELS
from tests.conftest import REPO


def test_frozen_backbone_is_not_in_the_optimizer():
    cfg = Config.fromfile(REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py')
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    given = [p for group in optimizer.param_groups for p in group['params']]
    trained = [*model.neck.parameters(), *model.decode_head.parameters()]
    assert {id(p) for p in given} == {id(p) for p in trained}
    group, = optimizer.param_groups
    assert (group['lr'], group['betas'], group['eps'],
            group['weight_decay']) == (1e-3, (0.9, 0.999), 1e-8, 0)
