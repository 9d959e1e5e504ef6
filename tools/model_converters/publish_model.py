"""Make a checkpoint small enough to hand on: the weights alone, in half precision.

    python tools/model_converters/publish_model.py epoch_15.pth hsnet.pth
"""
import argparse
import os.path as osp
import sys

import torch

from mmfss import __version__
from mmfss.safe_checkpoint import load_from_local
from mmfss.utils import replacing


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Keep of a checkpoint only the weights, the backbone included, '
        'as float16. They load into the same config.')
    parser.add_argument('in_file', help='checkpoint of a training run')
    parser.add_argument('out_file', help='checkpoint file to write')
    return parser.parse_args()


def publish(in_file: str, out_file: str) -> None:
    """Write the weights of a checkpoint.

    Raises:
        FileNotFoundError, RuntimeError: See :func:`load_from_local`.
        ValueError: The file has no weights, none of a backbone
            (``save_backbone=False``), or a weight too large for float16.
    """
    checkpoint = load_from_local(in_file, map_location='cpu')
    weights = isinstance(checkpoint, dict) and checkpoint.get('state_dict')
    if not weights:
        raise ValueError(f'{in_file} has no state_dict: it is no checkpoint of a run.')
    if not any(name.startswith('backbone.') for name in weights):
        raise ValueError(
            f'{in_file} was saved without the backbone. Train with '
            'default_hooks.checkpoint.save_backbone=True.')
    for name, weight in weights.items():
        if weight.is_floating_point():
            weights[name] = weight.half()
            if not weights[name].isfinite().all():
                raise ValueError(
                    f'{in_file}: {name} has values that float16 cannot hold.')
    with replacing(out_file) as temporary:
        torch.save(
            dict(meta=dict(mmfss_version=__version__), state_dict=dict(weights)),
            temporary)


def main() -> int:
    args = parse_args()
    try:
        publish(args.in_file, args.out_file)
    except (ValueError, OSError, RuntimeError) as error:
        print(f'publish_model.py: {error}', file=sys.stderr)
        return 1
    print(f'{args.out_file}: {osp.getsize(args.out_file) / 1e6:.1f} MB.')
    return 0


if __name__ == '__main__':
    sys.exit(main())
