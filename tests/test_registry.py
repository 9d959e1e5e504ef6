import pytest
from mmengine.registry import MODELS, Registry, init_default_scope

from mmfss import registry


def test_every_registry_is_a_child_of_mmengines():
    ours = [r for r in vars(registry).values() if isinstance(r, Registry)
            and r.scope == 'mmfss']
    assert len(ours) == 22
    assert all(r.parent.scope == 'mmengine' for r in ours)


@pytest.mark.parametrize('scope', ['mmengine', 'mmseg', 'mmpretrain', 'mmfss'])
def test_prefix_resolves_from_any_scope(scope):
    init_default_scope(scope)
    assert MODELS.get('mmfss.HSNet').__name__ == 'HSNet'
    assert registry.MODELS.get('mmpretrain.ResNet').__name__ == 'ResNet'
