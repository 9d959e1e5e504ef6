"""Which activations of a known backbone make up the hypercorrelation."""
from typing import List

from mmengine.model import BaseModule
from torch import nn


def preset_taps(backbone: nn.Module) -> List[List[str]]:
    """The taps of a backbone's family, deep to shallow.

    Args:
        backbone (nn.Module): ResNet, VGG or MobileNetV2 of mmpretrain.

    Returns:
        list[list[str]]: Taps of the levels of stride 32, 16 and 8.

    Raises:
        ValueError: The family has no preset.
    """
    from mmpretrain.models import VGG, MobileNetV2, ResNet
    for family, preset in ((ResNet, _resnet), (VGG, _vgg), (MobileNetV2,
                                                            _mobilenet_v2)):
        if isinstance(backbone, family):
            return preset(backbone)
    raise ValueError(
        f'There is no preset of taps for {type(backbone).__name__}. Write the '
        "model's taps out: a list per level, deep to shallow, of module names "
        "of the backbone, e.g. taps=[['layer4.0', 'layer4.1'], ['layer3.0'], "
        "['layer2.0']].")


def _blocks(backbone: BaseModule, *stages: str) -> List[str]:
    return [
        f'{stage}.{i}' for stage in stages
        for i in range(len(backbone.get_submodule(stage)))
    ]


def _resnet(backbone: BaseModule) -> List[List[str]]:
    """Each block's residual sum before the final ReLU, as published."""
    return [[f'{block}.relu:input' for block in _blocks(backbone, stage)]
            for stage in ('layer4', 'layer3', 'layer2')]


def _vgg(backbone: BaseModule) -> List[List[str]]:
    """The last pooling; conv5_x and conv4_x before their ReLU."""
    (begin4, end4), (begin5, end5) = backbone.range_sub_modules[3:]
    if not isinstance(backbone.features[end5 - 1], nn.MaxPool2d):
        raise ValueError(
            'The preset of taps for VGG starts from the last pooling: leave '
            'model.backbone.with_last_pool as it is, or write model.taps out.')
    return [[f'features.{end5 - 1}'],
            [f'features.{i}.activate:input' for i in range(begin5, end5 - 1)],
            [f'features.{i}.activate:input' for i in range(begin4, end4 - 1)]]


def _mobilenet_v2(backbone: BaseModule) -> List[List[str]]:
    """Each block's linear bottleneck, which no activation follows."""
    return [
        _blocks(backbone, 'layer6', 'layer7'),
        _blocks(backbone, 'layer4', 'layer5'),
        _blocks(backbone, 'layer3')
    ]
