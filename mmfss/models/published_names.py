"""The names of the weights in the checkpoints that HSNet's authors released."""
from typing import Dict, Tuple

from torch import nn

from .backbones.torchvision_names import torchvision_names

_PARTS = {
    'neck.squeeze.0': 'hpn_learner.encoder_layer4',
    'neck.squeeze.1': 'hpn_learner.encoder_layer3',
    'neck.squeeze.2': 'hpn_learner.encoder_layer2',
    'neck.mix.0': 'hpn_learner.encoder_layer4to3',
    'neck.mix.1': 'hpn_learner.encoder_layer3to2',
    'decode_head.before': 'hpn_learner.decoder1',
    'decode_head.after': 'hpn_learner.decoder2',
    'query_conv': 'conv1',
    'support_conv': 'conv2',
}


def published_names(model: nn.Module) -> Dict[str, str]:
    """The published name of each of an HSNet's weights.

    In a released file every name also has ``DataParallel``'s prefix
    ``module.``, and there are the weights of :func:`classifier_shapes`.

    Args:
        model (nn.Module): An HSNet with three levels and a backbone whose
            torchvision names are known.

    Returns:
        dict[str, str]: The key in the model's state dict -> the published one.
    """
    backbone = torchvision_names(model.backbone)
    names = {}
    for key in model.state_dict():
        part, _, rest = key.partition('.')
        if part == 'backbone':
            names[key] = f'backbone.{backbone[rest]}'
            continue
        names[key] = key
        for ours, theirs in _PARTS.items():
            names[key] = names[key].replace(ours, theirs)
    return names


def classifier_shapes(model: nn.Module) -> Dict[str, Tuple[int, ...]]:
    """The ImageNet classifier of the published backbone, which HSNet ignores.

    Args:
        model (nn.Module): An HSNet with VGG-16 or a ResNet of bottlenecks.

    Returns:
        dict[str, tuple[int, ...]]: Torchvision's names -> shapes.
    """
    from mmpretrain.models import VGG
    layers = {'fc': (1000, 2048)}
    if isinstance(model.backbone, VGG):
        layers = {
            'classifier.0': (4096, 512 * 7 * 7),
            'classifier.3': (4096, 4096),
            'classifier.6': (1000, 4096)
        }
    shapes = {}
    for layer, shape in layers.items():
        shapes[f'{layer}.weight'] = shape
        shapes[f'{layer}.bias'] = shape[:1]
    return shapes
