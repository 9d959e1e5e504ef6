"""Weights on their way into a model: renamed where needed, and checked."""
from typing import Dict

from torch import Tensor, nn

from .torchvision_names import torchvision_names


def rename_torchvision(backbone: nn.Module, state_dict: Dict[str, Tensor],
                       prefix: str, *_) -> None:
    """Give torchvision's weights the zoo's names, in place.

    A load_state_dict pre-hook.

    Args:
        backbone (nn.Module): Any backbone of the zoo.
        state_dict (dict): Weights; left alone if they are not torchvision's.
        prefix (str): Of the backbone's keys in it.
    """
    for ours, theirs in torchvision_names(backbone).items():
        if prefix + theirs in state_dict:
            state_dict[prefix + ours] = state_dict.pop(prefix + theirs)


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
