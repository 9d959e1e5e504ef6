"""Train a few-shot segmentor."""
import argparse
import sys

import torch
from cli import add_common_arguments, load_config
from mmengine.runner import Runner

from mmfss.compat import prepare_distributed


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from a checkpoint; without a path, from the latest one in '
        'the work dir')
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision (needs CUDA)')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    if args.amp:
        if not torch.cuda.is_available():
            sys.exit('--amp: mixed precision needs CUDA, and there is none here. '
                     'Train without --amp.')
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume

    prepare_distributed(cfg)
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
