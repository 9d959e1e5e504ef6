"""Time and peak memory of a model against size, supports and batch.

    python tools/analysis_tools/benchmark_sweep.py CONFIG [--out FILE.json]

Each point is measured in a process of its own: test episodes of several sides
and numbers of supports, training steps of several batches. --out also draws
FILE.png.
"""
import argparse
import json
import os.path as osp
from argparse import Namespace
from functools import partial
from typing import List

from benchmark import check_out
from contender import Contender, episodes
from get_flops import add_arguments, check_arguments
from measuring import (
    Clock,
    in_own_process,
    interleaved,
    machine,
    peak_while,
    summary,
)
from mmengine.device import get_device
from prettytable import PrettyTable

AXES = dict(
    side='side of the images (pixels), 1-shot episode',
    shot='supports of an episode',
    batch='episodes of a training step')


def parse_args() -> Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_arguments(parser)
    for axis, default in (('side', [200, 300, 400, 500, 600, 800]),
                          ('shot', [1, 2, 5, 10]), ('batch', [1, 2, 4, 8])):
        parser.add_argument(
            f'--{axis}s' if axis != 'batch' else '--batches',
            dest=axis,
            type=int,
            nargs='*',
            default=default,
            help=f'{AXES[axis]} (default: {" ".join(map(str, default))}; '
            'none: leave out)')
    parser.add_argument(
        '--repeats', type=int, default=5, help='measured rounds (default: 5)')
    parser.add_argument('--out', help='JSON file for all figures')
    parser.set_defaults(checkpoint=None, own_data=False)
    args = parser.parse_args()
    check_arguments(parser, args, args.repeats, *args.side, *args.shot, *args.batch)
    check_out(parser, args)
    return args


def measure(args: Namespace, axis: str, value: int) -> dict:
    """One point, in a process of its own."""
    if axis == 'side':
        args = Namespace(**dict(vars(args), shape=[value, value]))
    data = next(
        episodes(args, value if axis == 'shot' else 1,
                 value if axis == 'batch' else 1))
    form = Contender(args)
    work = partial(form.train_step if axis == 'batch' else form.predict, data)
    memory = peak_while(work)

    def run(clock: Clock) -> None:
        with clock('work'):
            work()

    rounds = interleaved(dict(work=run), args.repeats, form.device)['work']
    return dict(
        axis=axis,
        value=value,
        seconds=summary([seconds['work'] for seconds in rounds]),
        memory=memory)


def added(point: dict) -> float:
    """MiB that the work takes beside model and libraries."""
    memory = point['memory'] or dict(peak=float('nan'), baseline=0)
    return (memory['peak'] - memory['baseline']) / 2**20


def print_table(points: List[dict]) -> None:
    table = PrettyTable(['', 'value', 'time (ms)', 'lowest', 'highest',
                         'peak memory (MiB)'], align='r')
    table.align[''] = 'l'
    for point in points:
        times = [f'{1000 * point["seconds"][key]:.1f}'
                 for key in ('median', 'min', 'max')]
        table.add_row(
            [AXES[point['axis']], point['value'], *times, f'{added(point):.0f}'])
    print(table)


def draw(points: List[dict], path: str) -> None:
    """Time and memory, a column of the figure per axis."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    axes = list(dict.fromkeys(point['axis'] for point in points))
    figure, plots = plt.subplots(
        2, len(axes), figsize=(4 * len(axes), 6), squeeze=False, sharex='col')
    for axis, (time, memory) in zip(axes, plots.T):
        of_axis = [point for point in points if point['axis'] == axis]
        values = [point['value'] for point in of_axis]
        time.plot(values, [p['seconds']['median'] for p in of_axis], marker='o')
        memory.plot(values, [added(p) for p in of_axis], marker='o')
        memory.set_xlabel(AXES[axis])
        for plot in (time, memory):
            plot.set_ylim(bottom=0)
            plot.grid(alpha=0.3)
    plots[0, 0].set_ylabel('time (s)')
    plots[1, 0].set_ylabel('peak memory (MiB)')
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    args = parse_args()
    points = [
        in_own_process(measure, args, axis, value) for axis in AXES
        for value in getattr(args, axis)
    ]
    print_table(points)
    if args.out:
        result = dict(
            config=osp.splitext(osp.basename(args.config))[0],
            shape=args.shape,
            repeats=args.repeats,
            machine=machine(get_device()),
            points=points)
        with open(args.out, 'w') as file:
            json.dump(result, file, indent=2)
        draw(points, osp.splitext(args.out)[0] + '.png')


if __name__ == '__main__':
    main()
