"""What the command line tools have in common."""
import argparse
import os
import os.path as osp
import sys

import torch
from mmengine.config import Config

from mmfss.apis.configs import read_config
from mmfss.utils.cfg_options import CfgOptions


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what changes a config, for a tool of one process."""
    parser.add_argument(
        '--work-dir',
        help='where logs, checkpoints and figures go; default: '
        'work_dirs/<config>, or the config\'s work_dir')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
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


def check_checkpoint(path: str) -> None:
    """End a tool before it builds a model for a file that is not there."""
    if '://' not in path and not osp.isfile(osp.expanduser(path)):
        sys.exit(f'There is no checkpoint {path} (seen from {osp.abspath(".")}).')


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config`` and apply the common arguments to it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        cfg = read_config(args.config, args.cfg_options)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'{osp.basename(sys.argv[0])}: {error}')
    cfg.launcher = args.launcher
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        if loader.get('num_workers') == 0:  # PyTorch refuses the two together
            loader.persistent_workers = False
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg
