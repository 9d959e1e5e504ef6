"""Train a few-shot segmentor."""
import argparse
import sys

import torch
from cli import (
    add_amp_argument,
    add_common_arguments,
    check_amp,
    check_checkpoint,
    load_config,
)
from mmengine.config import ConfigDict
from mmengine.runner import Runner

from mmfss.compat import leave_distributed, prepare_distributed


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from a checkpoint; without a path, from the latest one in '
        'the work dir')
    add_amp_argument(
        parser, 'mixed precision. Default on CUDA: float16, which scales the loss; '
        'on CPU: bfloat16, which does not')
    add_common_arguments(parser)
    return parser.parse_args()


def set_precision(wrapper: ConfigDict, asked: str) -> None:
    """Make a config's ``optim_wrapper`` one of mixed precision."""
    cuda = torch.cuda.is_available()
    if asked != 'auto':
        wrapper.dtype = asked
    wrapper.setdefault('dtype', 'float16' if cuda else 'bfloat16')
    check_amp(wrapper.dtype)
    if cuda:
        wrapper.type = 'AmpOptimWrapper'
        # bfloat16 reaches as far as float32: gradients do not vanish in it
        bfloat16 = wrapper.dtype == 'bfloat16'
        wrapper.setdefault(
            'loss_scale', dict(enabled=False) if bfloat16 else 'dynamic')
    else:
        wrapper.type = 'CPUAmpOptimWrapper'
        for key in ('dtype', 'loss_scale'):  # of AmpOptimWrapper only
            wrapper.pop(key, None)


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if not cfg.get('train_dataloader'):
        sys.exit(f'train.py: {args.config} has no train_dataloader. A model that is '
                 'not trained (PrototypeNet) is ready for tools/test.py, without a '
                 'checkpoint.')
    if args.amp:
        set_precision(cfg.optim_wrapper, args.amp)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume

    prepare_distributed(cfg)
    if cfg.get('load_from'):
        check_checkpoint(cfg.load_from)
    Runner.from_cfg(cfg).train()
    leave_distributed()


if __name__ == '__main__':
    main()
