"""Parameters, multiply-adds and memory of a few-shot segmentor.

    python tools/analysis_tools/get_flops.py CONFIG [--shape 400] [--shot 1]
"""
import argparse
import json
import os.path as osp
import re
from typing import Callable, Dict, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from prettytable import PrettyTable
from torch.utils.flop_counter import FlopCounterMode

from mmfss.apis.configs import read_config
from mmfss.registry import MODELS
from mmfss.utils.cfg_options import CfgOptions

# HSNet's paper, of ResNet-101 with each 4-D kernel
PUBLISHED_GFLOPS = dict(
    FullConv4d=702, SeparableConv4d=28.4, CenterPivotConv4d=20.6)
NOTE = 'counting method not published'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Parameters, multiply-adds and peak memory of one forward '
        'pass of one episode, on the GPU if there is one.')
    add_arguments(parser)
    parser.add_argument(
        '--shot', type=int, default=1, help='number of supports (default: 1)')
    parser.add_argument(
        '--json', action='store_true', help='print JSON in place of a table')
    args = parser.parse_args()
    check_arguments(parser, args, args.shot)
    return args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every tool needs that runs a model on images of some size."""
    add_config(parser)
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        default=[400],
        help='side of the images, or their height and width (default: 400)')


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add the config and what overrides it."""
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        help='override settings of the config, as key=value')


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace,
                    *counts: int) -> None:
    """Check the shape and the counts; ``args.shape`` becomes height, width."""
    if len(args.shape) > 2 or min(*args.shape, *counts) < 1:
        parser.error('--shape takes one or two numbers; they and the other '
                     'numbers are at least 1')
    args.shape = (args.shape * 2)[:2]


def read(args: argparse.Namespace) -> Config:
    """Read ``args.config``, apply ``--cfg-options`` and enter its scope."""
    try:
        cfg = read_config(args.config, args.cfg_options)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from error
    init_default_scope(cfg.default_scope)
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """Read the config of a model with a pyramid."""
    cfg = read(args)
    if 'neck' not in cfg.model:
        raise SystemExit(f'{args.config}: its model, {cfg.model.type}, has no '
                         'neck, and there is no pyramid to measure.')
    return cfg


def count_parameters(model: BaseModel) -> Dict[str, Dict[str, int]]:
    """Learnable and frozen parameters of each part and of all."""
    parts = dict(
        backbone=model.backbone,
        pyramid=model.neck,
        decoder=model.decode_head,
        total=model)
    return {
        name: {
            kind: sum(p.numel() for p in part.parameters()
                      if p.requires_grad == (kind == 'learnable'))
            for kind in ('learnable', 'frozen')
        }
        for name, part in parts.items()
    }


@torch.no_grad()
def count_multiply_adds(model: BaseModel, height: int, width: int,
                        shot: int) -> Dict[str, int]:
    """Run one episode; count each part's convolutions and matrix products."""
    device = next(model.parameters()).device
    query = torch.rand(1, 3, height, width, device=device)
    supports = torch.rand(shot, 3, height, width, device=device)
    masks = torch.ones(shot, height, width, device=device)

    counts = {}

    def count(part: str, function: Callable, *args):
        with FlopCounterMode(display=False) as counter:
            result = function(*args)
        # a multiply-add is two operations to torch
        counts[part] = counter.get_total_flops() // 2
        return result

    features = count('backbone', lambda: [model.extract_feat(images)
                                          for images in (query, supports)])
    correlations = count('correlation', model.neck.correlate, *features, masks)
    context = count('pyramid', model.neck.pyramid, correlations)
    count('decoder', model.decode_head, context)
    return dict(counts, total=sum(counts.values()))


def peak_memory() -> Optional[int]:
    """Bytes: of the tensors on the GPU, or of the whole process on the CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if not osp.isfile('/proc/self/status'):  # no Linux
        return None
    with open('/proc/self/status') as file:
        return 1024 * int(re.search(r'VmHWM:\s+(\d+) kB', file.read())[1])


def published_gflops(model: BaseModel, args: argparse.Namespace):
    """The paper's figure, where it is about the same network and images."""
    if (tuple(model.taps.num_maps) != (3, 23, 4) or args.shape != [400, 400]
            or args.shot != 1):
        return None
    kernel = type(model.neck.squeeze[0][0]).__name__
    return PUBLISHED_GFLOPS.get(kernel)


def print_table(result: dict) -> None:
    table = PrettyTable(
        ['part', 'learnable', 'frozen', 'multiply-adds (G)'], align='r')
    table.align['part'] = 'l'
    for part, multiply_adds in result['multiply_adds'].items():
        parameters = result['parameters'].get(part, dict(learnable=0, frozen=0))
        table.add_row(
            [part, *(f'{n:,}' for n in parameters.values()),
             f'{multiply_adds / 1e9:.2f}'],
            divider=part == 'decoder')
    height, width = result['shape']
    print(f'{result["config"]}: {height} x {width} pixels, '
          f'{result["shot"]}-shot, {result["device"]}')
    print(table)
    print('Multiply-adds are those of convolutions and matrix products.')
    if result['published_gflops'] is not None:
        kernel = ("the paper's separable kernel, which it does not define,"
                  if result['published_gflops'] ==
                  PUBLISHED_GFLOPS['SeparableConv4d'] else 'this kernel')
        print(f'Published for {kernel} with ResNet-101: '
              f'{result["published_gflops"]} GFLOPs ({NOTE}).')
    if result['peak_memory'] is not None:
        what = ('the whole process' if result['device'] == 'cpu' else
                'the tensors on the device')
        print(f'Peak memory of {what}: {result["peak_memory"] / 2**30:.2f} GiB.')


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    device = get_device()
    model = MODELS.build(cfg.model).to(device).eval()

    result = dict(
        config=osp.splitext(osp.basename(args.config))[0],
        shape=args.shape,
        shot=args.shot,
        device=device,
        parameters=count_parameters(model),
        multiply_adds=count_multiply_adds(model, *args.shape, args.shot),
        peak_memory=peak_memory(),
        published_gflops=published_gflops(model, args),
        published_note=NOTE)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)


if __name__ == '__main__':
    main()
