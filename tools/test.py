"""Test a few-shot segmentor on its fixed list of episodes."""
import argparse
import os.path as osp
import sys

import torch
from cli import (
    add_amp_argument,
    add_common_arguments,
    check_amp,
    check_checkpoint,
    load_config,
)
from mmengine.runner import Runner

from mmfss.compat import leave_distributed, prepare_distributed
from mmfss.models.backbones import init_without_checkpoint


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='The figures also land in <work dir>/<time>/<time>.json.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        'checkpoint', nargs='?',
        help='checkpoint file; none for a model that is not trained '
        '(PrototypeNet)')
    parser.add_argument(
        '--shot', type=int, help='number of supports (default: the config\'s)')
    parser.add_argument(
        '--report', help='JSON file for the report; default: report.json beside '
        'the log')
    parser.add_argument('--out', help='folder to save predicted masks in, as PNG')
    parser.add_argument(
        '--show-dir', help='folder to save a picture of every episode in')
    parser.add_argument(
        '--contact-sheet', metavar='HTML',
        help='one page with the best, median and worst episodes')
    add_amp_argument(
        parser, 'mixed precision. Default: float16 on CUDA, bfloat16 on CPU, which '
        'has no other')
    add_common_arguments(parser)
    args = parser.parse_args()
    for path in (args.report, args.contact_sheet):
        if path and osp.isdir(path):  # before the test, not after it
            parser.error(f'{path} is a folder: name a file')
    if not args.checkpoint and args.launcher != 'none':
        # DDP refuses a model without anything to train
        parser.error('without a checkpoint there is one process: leave --launcher '
                     'out')
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    cfg.resume = False  # a config dumped by a resumed run says otherwise
    if args.shot is not None:
        cfg.test_dataloader.dataset.shot = args.shot
    if args.amp is not None:
        check_amp(args.amp)
        if args.amp == 'bfloat16' and torch.cuda.is_available():
            torch.set_autocast_dtype('cuda', torch.bfloat16)
        cfg.test_cfg.fp16 = True  # mmengine's name for mixed precision of any kind
    if args.report is not None:
        hooks = [h for h in cfg.get('custom_hooks') or []
                 if h.type == 'ReportHook']
        if not hooks:
            sys.exit("--report: the config's custom_hooks have no ReportHook; add "
                     "dict(type='ReportHook').")
        hooks[0].out_file = args.report
    if args.out is not None:
        metrics = cfg.test_evaluator
        for metric in [metrics] if isinstance(metrics, dict) else metrics:
            if metric.type == 'FewShotIoU':
                metric.output_dir = args.out
    if args.show_dir is not None:
        if not cfg.default_hooks.get('visualization'):
            sys.exit('--show-dir: the config has no default_hooks.visualization; '
                     "add dict(type='FewShotVisualizationHook').")
        cfg.default_hooks.visualization.update(
            draw=True, interval=1, episodes=None, out_dir=args.show_dir)

    if args.contact_sheet is not None:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []),
            dict(type='ContactSheetHook', out_file=args.contact_sheet)
        ]

    prepare_distributed(cfg)
    if args.checkpoint:
        check_checkpoint(args.checkpoint)
    runner = Runner.from_cfg(cfg)
    if not args.checkpoint:
        try:
            init_without_checkpoint(runner.model)
        except ValueError as error:
            sys.exit(f'test.py: {error}')
    runner.test()
    leave_distributed()


if __name__ == '__main__':
    main()
