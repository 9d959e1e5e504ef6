"""Test a few-shot segmentor on its fixed list of episodes."""
import argparse
import os
import os.path as osp

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmfss.compat import prepare_distributed


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir',
        help='where the log and the figures (<time>/<time>.json) go')
    parser.add_argument(
        '--shot', type=int, help='number of supports (default: the config\'s)')
    parser.add_argument('--out', help='folder to save predicted masks in, as PNG')
    parser.add_argument(
        '--show-dir', help='folder to save a picture of every episode in')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as key=value; nested keys with '
        'dots: test_dataloader.dataset.seed=1')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    # work_dir: command line > config > named after the config
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('work_dirs', name)

    cfg.load_from = args.checkpoint
    if args.shot is not None:
        cfg.test_dataloader.dataset.shot = args.shot
    if args.out is not None:
        cfg.test_evaluator.output_dir = args.out
    if args.show_dir is not None:
        cfg.default_hooks.visualization.update(
            draw=True, interval=1, episodes=None, out_dir=args.show_dir)

    prepare_distributed(cfg)
    Runner.from_cfg(cfg).test()


if __name__ == '__main__':
    main()
