"""Convert HSNet's released checkpoints to mmfss, and back.

    python tools/model_converters/hsnet_official.py best_model.pt hsnet.pth \
        --backbone resnet50
    python tools/model_converters/hsnet_official.py hsnet.pth best_model.pt \
        --backbone resnet50 --reverse --classifier resnet50-0676ba61.pth
"""
import argparse
import os.path as osp
import sys
from typing import Dict, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmfss import __version__
from mmfss.models.published_names import classifier_shapes, published_names
from mmfss.registry import MODELS
from mmfss.safe_checkpoint import load_from_local
from mmfss.utils import replacing

BACKBONES = ('vgg16', 'resnet50', 'resnet101')
CONFIGS = osp.join(osp.dirname(osp.abspath(__file__)), '../../configs')
PREFIX = 'module.'  # the released models were saved from DataParallel


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert a checkpoint that HSNet\'s authors released to '
        'mmfss, or back.')
    parser.add_argument('input', help='released best_model.pt (or ours)')
    parser.add_argument('output', help='checkpoint file to write')
    parser.add_argument('--backbone', choices=BACKBONES, required=True)
    parser.add_argument(
        '--reverse', action='store_true', help='convert ours to the released format')
    parser.add_argument(
        '--classifier',
        help='with --reverse: torchvision\'s file of the backbone. The released '
        'format also holds its classifier, which HSNet does not use')
    args = parser.parse_args()
    if args.reverse != (args.classifier is not None):
        parser.error('--reverse and --classifier FILE go together')
    return args


def build(backbone: str) -> nn.Module:
    """An HSNet, for its names and shapes."""
    init_default_scope('mmfss')
    return MODELS.build(
        Config.fromfile(f'{CONFIGS}/_base_/models/hsnet_{backbone}.py').model)


def load(path: str) -> Dict[str, Tensor]:
    """Load a state dict; of one of mmengine's checkpoints its ``state_dict``.

    Raises:
        ValueError: The file holds no state dict.
        FileNotFoundError, RuntimeError: See
            :func:`mmfss.safe_checkpoint.load_from_local`.
    """
    state = load_from_local(path, map_location='cpu')
    if isinstance(state, dict):
        state = state.get('state_dict', state)
    if not isinstance(state, dict) or not all(
            isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path} holds no state dict: a dict of tensors, or one '
                         'with such a dict under "state_dict".')
    return state


def check(path: str, state: Dict[str, Tensor],
          expected: Dict[str, Tuple[int, ...]], what: str) -> None:
    """Compare a file's keys and shapes with those that it must have.

    Raises:
        ValueError: They differ.
    """
    problems = {
        'missing': [key for key in expected if key not in state],
        'unexpected': [key for key in state if key not in expected],
        'of another shape': [
            f'{key} is {tuple(state[key].shape)}, not {shape}'
            for key, shape in expected.items()
            if key in state and tuple(state[key].shape) != shape
        ]
    }
    if not any(problems.values()):
        return
    lines = [f'{path} is not {what}:']
    for problem, keys in problems.items():
        if keys:
            lines.append(f'  {len(keys)} {problem}: {", ".join(keys[:3])}'
                         f'{", ..." if keys[3:] else ""}')
    raise ValueError('\n'.join([*lines, f'It looks like {describe(state)}.']))


def describe(state: Dict[str, Tensor]) -> str:
    """What a state dict seems to be, in words."""

    def first(parts, default):
        return next((name for part, name in parts.items()
                     if any(part in key for key in state)), default)

    # a layer that those below it in the table have not
    backbone = first(
        {
            'features.28.': 'vgg16',
            'features.16.conv.': 'vgg16',
            'layer3.22.': 'resnet101',
            'layer3.5.': 'resnet50'
        }, 'an unknown backbone')
    model = first(
        {
            'module.hpn_learner.': 'in a released HSNet',
            'neck.squeeze.': 'in an HSNet of mmfss'
        }, 'without an HSNet')
    return f'{backbone} {model}'


def to_ours(path: str, backbone: str) -> dict:
    """Convert a released file.

    Args:
        path (str): The file.
        backbone (str): One of ``BACKBONES``.

    Returns:
        dict: ``meta`` and ``state_dict``, as mmengine saves them.
    """
    model = build(backbone)
    names = {ours: PREFIX + name for ours, name in published_names(model).items()}
    expected = {names[k]: tuple(v.shape) for k, v in model.state_dict().items()}
    for key, shape in classifier_shapes(model).items():
        expected[f'{PREFIX}backbone.{key}'] = shape

    released = load(path)
    check(path, released, expected, f'a released HSNet with {backbone}')
    return dict(
        meta=dict(
            mmfss_version=__version__,
            converted_from=osp.basename(path),
            backbone=backbone),
        state_dict={ours: released[theirs] for ours, theirs in names.items()})


def to_released(path: str, classifier: str, backbone: str) -> Dict[str, Tensor]:
    """Convert a checkpoint of ours.

    Args:
        path (str): The checkpoint.
        classifier (str): Torchvision's file of the backbone.
        backbone (str): One of ``BACKBONES``.

    Returns:
        dict[str, Tensor]: A state dict in the released format.
    """
    model = build(backbone)
    names = published_names(model)
    shapes = {key: tuple(v.shape) for key, v in model.state_dict().items()}
    ours = load(path)
    check(path, ours, shapes, f'an HSNet of mmfss with {backbone}')

    # torchvision's files hold no counters, or do, depending on their age
    counter = 'num_batches_tracked'
    expected = classifier_shapes(model)
    for key, name in names.items():
        if name.startswith('backbone.') and not key.endswith(counter):
            expected[name[len('backbone.'):]] = shapes[key]
    torchvision = {
        k: v for k, v in load(classifier).items() if not k.endswith(counter)
    }
    check(classifier, torchvision, expected, f'torchvision\'s {backbone}')

    released = {PREFIX + name: ours[key] for key, name in names.items()}
    for key in classifier_shapes(model):
        released[f'{PREFIX}backbone.{key}'] = torchvision[key]
    return released


def save(checkpoint: dict, path: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        torch.save(checkpoint, temporary)


def main() -> None:
    args = parse_args()
    try:
        if args.reverse:
            save(
                to_released(args.input, args.classifier, args.backbone),
                args.output)
        else:
            save(to_ours(args.input, args.backbone), args.output)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f'{error}\nNothing was written.')
    print(f'Wrote {args.output}: every key and shape of {args.input} fits.')


if __name__ == '__main__':
    main()
