"""Weights on their way into a model: renamed where needed, and checked."""
import hashlib
from typing import Dict, Iterable, List, Tuple

import torch
from mmengine.logging import print_log
from mmengine.model import initialize
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


def leave_out_backbone(state_dict: Dict[str, Tensor], prefix: str = '') -> None:
    """Replace a frozen backbone's weights by their checksum, in place.

    Args:
        state_dict (dict): A segmentor's weights; left alone if it has no
            backbone.
        prefix (str): Of the segmentor's keys in it.
    """
    start = f'{prefix}backbone.'
    backbone = {
        key[len(start):]: state_dict.pop(key)
        for key in list(state_dict) if key.startswith(start)
    }
    if backbone:
        state_dict[f'{prefix}backbone_sha256'] = weights_checksum(backbone)


def bring_in_backbone(segmentor: nn.Module, state_dict: Dict[str, Tensor],
                      prefix: str, *_) -> None:
    """Give weights without a backbone the config's pretrained one, in place.

    A load_state_dict pre-hook. In training the backbone is loaded by then, in
    testing it is not.

    Args:
        segmentor (FewShotSegmentor): The model.
        state_dict (dict): Weights; left alone if they have a backbone.
        prefix (str): Of the segmentor's keys in it.

    Raises:
        ValueError: The config names no pretrained weights, or other ones than
            the model was trained with.
    """
    start, backbone = f'{prefix}backbone.', segmentor.backbone
    if any(key.startswith(start) for key in state_dict):
        return
    pretrained = pretrained_cfgs(backbone)
    if not pretrained:
        raise ValueError(
            'The checkpoint was saved without its frozen backbone, and '
            'model.backbone.init_cfg names no pretrained weights. Name those '
            'that the model was trained with.')
    _load_pretrained(backbone, pretrained)
    weights = backbone.state_dict()
    file = pretrained[-1]['checkpoint']
    expected = state_dict.pop(f'{prefix}backbone_sha256', None)
    if expected is not None and not torch.equal(
            expected.cpu(), weights_checksum(weights)):
        raise ValueError(
            'The checkpoint was saved without its frozen backbone, which was '
            f'not that of {file}. Name in model.backbone.init_cfg the weights '
            'that the model was trained with.')
    state_dict.update({start + key: value for key, value in weights.items()})
    print_log(
        f'The checkpoint has no backbone: it is that of {file} '
        '(model.backbone.init_cfg)',
        logger='current')


def init_without_checkpoint(segmentor: nn.Module) -> None:
    """Load the pretrained backbone of a model that learns nothing else.

    Args:
        segmentor (FewShotSegmentor): The model.

    Raises:
        ValueError: It has learnable parameters, which a checkpoint must give,
            or names no pretrained weights.
    """
    learnable = sum(p.numel() for p in segmentor.parameters() if p.requires_grad)
    if learnable:
        raise ValueError(
            f'{type(segmentor).__name__} needs trained weights: it has '
            f'{learnable:,} learnable parameters, and random ones segment '
            'nothing. Give a checkpoint.')
    pretrained = pretrained_cfgs(segmentor.backbone)
    if not pretrained:
        raise ValueError(
            f'{type(segmentor).__name__} is not trained, and its backbone would '
            'be random: name pretrained weights in model.backbone.init_cfg.')
    _load_pretrained(segmentor.backbone, pretrained)


def _load_pretrained(backbone: nn.Module, cfgs: List[dict]) -> None:
    if not backbone.is_init:
        initialize(backbone, cfgs)
        backbone.is_init = True


def pretrained_cfgs(module: nn.Module) -> List[dict]:
    """The entries of a module's ``init_cfg`` that name pretrained weights."""
    init_cfg = getattr(module, 'init_cfg', None) or []
    init_cfgs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg
    return [cfg for cfg in init_cfgs if cfg.get('type') == 'Pretrained']


def weights_checksum(weights: Dict[str, Tensor]) -> Tensor:
    """SHA-256 of a module's weights, uint8, ``(32, )``."""
    sha = hashlib.sha256()
    for key in sorted(weights):
        if not key.endswith('num_batches_tracked'):  # not every file has it
            sha.update(weights[key].cpu().contiguous().numpy().tobytes())
    return torch.tensor(list(sha.digest()), dtype=torch.uint8)


def weights_version(weights: Iterable[Tensor]) -> Tuple[tuple, ...]:
    """What tells that weights were replaced or changed in place.

    Changes by way of ``.data``, and those of tensors that were made in inference
    mode, do not show.
    """
    return tuple((id(t), t.data_ptr(), 0 if t.is_inference() else t._version)
                 for t in weights)


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
        files = [cfg['checkpoint'] for cfg in pretrained_cfgs(module)]
        remedy = (f'Name others in model.backbone.init_cfg than {files[0]}.'
                  if files else 'Use the config that they were trained with.')
        raise ValueError(
            f'The weights do not fit {type(module).__name__}: '
            f'{"; ".join(problems[:3])}'
            f'{f"; and {len(problems) - 3} more" if problems[3:] else ""}. '
            f'They come from another backbone or model. {remedy}')
