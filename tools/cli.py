"""What the command line tools have in common."""
import argparse
import os
import os.path as osp
import sys

import torch
from mmengine.config import Config, DictAction


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what changes a config, for a tool of one process."""
    parser.add_argument(
        '--work-dir',
        help='where logs, checkpoints and figures go; default: '
        'work_dirs/<config>, or the config\'s work_dir')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value; nested keys with '
        'dots: train_dataloader.batch_size=5')
    parser.set_defaults(launcher='none', local_rank=0)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MMSegmentation's usual arguments."""
    add_config_arguments(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def add_amp_argument(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--amp``, alone (then 'auto') or with a precision."""
    parser.add_argument(
        '--amp', nargs='?', const='auto', choices=['auto', 'float16', 'bfloat16'],
        help=help)


def check_amp(dtype: str) -> None:
    """End a tool where there is no such mixed precision."""
    if dtype not in ('auto', 'bfloat16') and not torch.cuda.is_available():
        sys.exit(f'--amp {dtype} needs CUDA, and there is none here. On CPU: '
                 '--amp bfloat16.')


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply the common arguments to it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg
