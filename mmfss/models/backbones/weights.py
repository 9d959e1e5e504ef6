"""Weights on their way into a model: renamed where needed, and checked."""
from typing import Dict

from torch import Tensor, nn


def rename_torchvision(backbone: nn.Module, state_dict: Dict[str, Tensor],
                       prefix: str, *_) -> None:
    """Give torchvision's VGG or MobileNetV2 weights the zoo's names, in place.

    Torchvision counts convolution, norm and activation as separate items of
    ``features``, mmpretrain wraps them in one ``ConvModule``; both list the
    layers in the same order, so the n-th weight is the n-th weight. A
    load_state_dict pre-hook.

    Args:
        backbone (nn.Module): ``mmpretrain.VGG`` or ``MobileNetV2``.
        state_dict (dict): Weights; left alone if they are not torchvision's.
        prefix (str): Of the backbone's keys in it.
    """
    counter = 'num_batches_tracked'
    ours = {
        k: v.shape
        for k, v in backbone.state_dict().items() if not k.endswith(counter)
    }
    theirs = {
        k: v.shape
        for k, v in state_dict.items()
        if k.startswith(prefix + 'features.') and not k.endswith(counter)
    }
    if list(ours.values()) != list(theirs.values()):
        return
    renamed = {prefix + new: state_dict[old] for new, old in zip(ours, theirs)}
    for key in [k for k in state_dict if k.startswith(prefix + 'features.')]:
        del state_dict[key]
    state_dict.update(renamed)


def check_weights_fit(module: nn.Module, state_dict: Dict[str, Tensor],
                      prefix: str, *_) -> None:
    """Refuse weights that would leave part of a module random.

    A load_state_dict pre-hook. mmengine loads non-strictly: it logs what is
    missing and goes on, and a frozen backbone would stay random.

    Raises:
        ValueError: A weight is missing or has another shape. Keys that the
            module does not have (a classifier) are fine.
    """
    problems = []
    for key, value in module.state_dict().items():
        given = state_dict.get(prefix + key)
        if given is None and not key.endswith('num_batches_tracked'):
            problems.append(f'{key} is missing')
        elif given is not None and given.shape != value.shape:
            problems.append(f'{key} is {tuple(given.shape)}, the model needs '
                            f'{tuple(value.shape)}')
    if problems:
        init_cfg = getattr(module, 'init_cfg', None) or []
        files = [
            cfg['checkpoint']
            for cfg in ([init_cfg] if isinstance(init_cfg, dict) else init_cfg)
            if cfg['type'] == 'Pretrained'
        ]
        remedy = (f'Name others in model.backbone.init_cfg than {files[0]}.'
                  if files else 'Use the config that they were trained with.')
        raise ValueError(
            f'The weights do not fit {type(module).__name__}: '
            f'{"; ".join(problems[:3])}'
            f'{f"; and {len(problems) - 3} more" if problems[3:] else ""}. '
            f'They come from another backbone or model. {remedy}')
