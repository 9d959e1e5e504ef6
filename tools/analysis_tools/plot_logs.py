"""Draw learning curves over the episodes that were trained on."""
import argparse
import json
import math
import os.path as osp
import sys
from collections import defaultdict
from glob import glob
from typing import Dict, List

from matplotlib.figure import Figure

from mmfss.utils import replacing

COUNTS = ('episodes_per_epoch', 'episodes_per_iter')
NO_CURVES = {*COUNTS, 'step', 'iter', 'epoch'}
Curves = Dict[str, Dict[int, float]]  # by key, the value at each episode

EXAMPLES = """examples:
  python tools/analysis_tools/plot_logs.py work_dirs/hsnet_resnet50_pascal5i_fold0 \\
      --keys loss mIoU --out curves.png
  # two runs; of the second only one start
  python tools/analysis_tools/plot_logs.py work_dirs/a \\
      work_dirs/b/20260101_120000/vis_data/scalars.json --legend a b"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'logs', nargs='+', metavar='LOG',
        help='a work dir, all of whose starts (resumed runs) are joined, or a '
        'scalars.json')
    parser.add_argument(
        '--keys', nargs='+', default=['loss', 'mIoU'],
        help='what to draw, each in its own panel; default: loss mIoU')
    parser.add_argument(
        '--legend', nargs='+', help='names of the logs; default: their paths')
    parser.add_argument(
        '--out', default='curves.png',
        help='the picture, in any format of matplotlib; default: curves.png')
    args = parser.parse_args()
    if args.legend and len(args.legend) != len(args.logs):
        parser.error(f'there are {len(args.logs)} logs and {len(args.legend)} names '
                     'in --legend: give one each')
    args.legend = args.legend or args.logs
    suffix = osp.splitext(args.out)[1][1:]
    formats = Figure().canvas.get_supported_filetypes()
    if suffix not in formats:
        parser.error(f'--out {args.out}: the name must end with one of '
                     f'{", ".join("." + name for name in sorted(formats))}')
    return args


def read_curves(log: str) -> Curves:
    """The curves of a run, with all the starts of its work dir.

    Args:
        log (str): A work dir or a file of scalars.

    Raises:
        FileNotFoundError: There is no log.
        ValueError: It is no log, or of a run without EpisodeInfoHook.
    """
    files = [log]
    if osp.isdir(log):
        files = sorted(glob(osp.join(log, '*', 'vis_data', 'scalars.json')))
    if not files or not all(map(osp.isfile, files)):
        raise FileNotFoundError(
            f'{log}: there is no such log. Name a work dir with '
            '<time>/vis_data/scalars.json in it, or such a file.')
    curves: Curves = defaultdict(dict)
    for file in files:
        add_file(file, curves)
    if not curves:
        raise ValueError(f'{log}: no training is logged there.')
    return curves


def add_file(file: str, curves: Curves) -> None:
    """Add what a file has; what was trained after it began is forgotten."""
    counts, entries = None, read_entries(file)
    # else an evaluation's step is an iteration, too; or 0, where
    # log_metric_by_epoch=False was forgotten
    by_epoch = not any('iter' in e and 'epoch' not in e for _, e in entries)
    for number, entry in entries:
        if all(key in entry for key in COUNTS):
            counts = tuple(entry[key] for key in COUNTS)
            iteration = entry['step']
            start = episodes_at(iteration, *counts)
            for curve in curves.values():
                for late in [x for x in curve if x > start]:
                    del curve[late]
            continue
        if counts is None:
            if 'iter' not in entry:
                continue  # an evaluation without training
            raise ValueError(
                f'{file}:{number}: how many episodes an iteration has is not '
                f"logged before it. dict(type='EpisodeInfoHook') in the config's "
                'custom_hooks logs it.')
        if by_epoch and 'iter' not in entry:  # the epoch that was evaluated
            x = entry['step'] * counts[0]
        else:
            iteration = max(iteration, entry['step'])
            x = episodes_at(iteration, *counts)
        for key, value in entry.items():
            if key not in NO_CURVES and isinstance(value, (int, float)):
                curves[key][x] = value


def read_entries(file: str) -> List[tuple]:
    """Line numbers and entries; the last line may be cut off."""
    with open(file, encoding='utf-8') as lines:
        lines = lines.read().splitlines()
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            if 'step' not in entry:
                raise ValueError('no step')
            entries.append((number, entry))
        except (ValueError, TypeError) as error:
            if line.strip() and number < len(lines):
                raise ValueError(
                    f'{file}:{number}: {line[:60]!r} is no entry of a log '
                    f'({error}). Name the scalars.json in vis_data.') from error
    return entries


def episodes_at(iteration: int, per_epoch: int, per_iter: int) -> int:
    """Episodes seen after an iteration; an epoch's last batch may be smaller."""
    epochs, rest = divmod(iteration, math.ceil(per_epoch / per_iter))
    return epochs * per_epoch + rest * per_iter


def draw(runs: Dict[str, Curves], keys: List[str], out: str) -> None:
    """Draw a panel per key with a line per run, and write the picture."""
    figure = Figure(figsize=(8, 3 * len(keys)), layout='constrained')
    panels = figure.subplots(len(keys), sharex=True, squeeze=False)[:, 0]
    for panel, key in zip(panels, keys):
        for name, curves in runs.items():
            points = sorted(curves[key].items())
            panel.plot(*zip(*points), label=name,
                       marker='.' if len(points) < 50 else None)
        panel.set_ylabel(key)
        panel.grid(alpha=0.3)
        panel.legend()
    panels[-1].set_xlabel('training episodes')
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=150, format=osp.splitext(out)[1][1:])


def main() -> None:
    args = parse_args()
    runs = {}
    try:
        for name, log in zip(args.legend, args.logs):
            runs[name] = read_curves(log)
            missing = [key for key in args.keys if key not in runs[name]]
            if missing:
                raise ValueError(
                    f'{log}: there is no {", ".join(missing)}; the keys there are '
                    f'{", ".join(sorted(runs[name]))}.')
    except (OSError, ValueError) as error:
        sys.exit(f'plot_logs.py: {error}')
    draw(runs, args.keys, args.out)
    for name, curves in runs.items():
        print(f'{name}: ' + ', '.join(
            f'{key} {curves[key][max(curves[key])]:.4g} after '
            f'{max(curves[key])} episodes' for key in args.keys))
    print(f'The curves are in {args.out}.')


if __name__ == '__main__':
    main()
