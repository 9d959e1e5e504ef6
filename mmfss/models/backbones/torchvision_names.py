"""What torchvision calls the weights of the zoo's backbones."""
from typing import Dict

from mmengine.model import BaseModule
from torch import nn


def torchvision_names(backbone: nn.Module) -> Dict[str, str]:
    """Torchvision's name of each of a backbone's weights.

    Torchvision counts convolution, norm and activation as items of one
    sequence where mmpretrain's VGG and MobileNetV2 wrap them in a
    ``ConvModule``, and counts DenseNet's blocks from 1. mmpretrain's ResNet has
    torchvision's names.

    Args:
        backbone (nn.Module): Any backbone of the zoo.

    Returns:
        dict[str, str]: The key in the backbone's state dict -> torchvision's.
    """
    from mmpretrain.models import VGG, DenseNet, MobileNetV2
    modules = {}
    for family, renamed in ((VGG, _vgg), (MobileNetV2, _mobilenet_v2),
                            (DenseNet, _densenet)):
        if isinstance(backbone, family):
            modules = renamed(backbone)
    names = {}
    for key in backbone.state_dict():
        module, _, weight = key.rpartition('.')
        names[key] = f'{modules.get(module, module)}.{weight}'
    return names


def _vgg(backbone: BaseModule) -> Dict[str, str]:
    names, number = {}, 0
    for i, module in enumerate(backbone.features):
        for part in dict(module.named_children()) or ['']:  # '': a pooling
            names[f'features.{i}.{part}'] = f'features.{number}'
            number += 1
    return names


def _mobilenet_v2(backbone: BaseModule) -> Dict[str, str]:
    *stages, last_layer = backbone.layers
    blocks = [
        f'{stage}.{i}' for stage in stages
        for i in range(len(backbone.get_submodule(stage)))
    ]
    names = {}
    for number, block in enumerate(['conv1', *blocks, last_layer]):
        theirs = f'features.{number}'
        conv = backbone.get_submodule(block).conv
        if not isinstance(conv, nn.Sequential):  # the first or the last layer
            names[f'{block}.conv'] = f'{theirs}.0'
            names[f'{block}.bn'] = f'{theirs}.1'
            continue
        last = len(conv) - 1  # it has no activation, so it is not wrapped
        for i in range(last):
            names[f'{block}.conv.{i}.conv'] = f'{theirs}.conv.{i}.0'
            names[f'{block}.conv.{i}.bn'] = f'{theirs}.conv.{i}.1'
        names[f'{block}.conv.{last}.conv'] = f'{theirs}.conv.{last}'
        names[f'{block}.conv.{last}.bn'] = f'{theirs}.conv.{last + 1}'
    return names


def _densenet(backbone: BaseModule) -> Dict[str, str]:
    last = len(backbone.stages) - 1
    names = {
        'stem.0': 'features.conv0',
        'stem.1': 'features.norm0',
        f'transitions.{last}.0': f'features.norm{last + 2}'
    }
    for i, stage in enumerate(backbone.stages):
        for j, layer in enumerate(stage.block):
            for part, _ in layer.named_children():
                names[f'stages.{i}.block.{j}.{part}'] = (
                    f'features.denseblock{i + 1}.denselayer{j + 1}.{part}')
        for part in ('norm', 'conv') if i < last else ():
            names[f'transitions.{i}.{part}'] = f'features.transition{i + 1}.{part}'
    return names
