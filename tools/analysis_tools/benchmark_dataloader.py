"""Episodes/s of a config's data loader alone, by number of workers.

    python tools/analysis_tools/benchmark_dataloader.py CONFIG [--workers 0 1 2]

Beside it the processor time of an episode: a core that does nothing else can
load 1 / 'in workers' episodes a second, and however many cores there are, the
loader hands out at most 1 / 'in main process'.
"""
import argparse
import json
import os
import time
from collections import defaultdict
from functools import partial
from itertools import cycle, islice
from typing import Callable, Dict, Sequence, Tuple

from benchmark import check_out
from get_flops import add_config, read
from measuring import Clock, interleaved, machine, summary
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils.dl_utils import set_multi_processing
from prettytable import PrettyTable
from torch.utils.data import DataLoader


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_config(parser)
    parser.add_argument(
        '--loader', choices=['train', 'val', 'test'], default='test',
        help='whose <loader>_dataloader of the config (default: test)')
    parser.add_argument(
        '--workers', type=int, nargs='+', default=[0, 1, 2, 4, 8],
        help='values of num_workers (default: 0 1 2 4 8)')
    parser.add_argument(
        '--batches', type=int, default=150,
        help='batches of a round (default: 150)')
    parser.add_argument(
        '--repeats', type=int, default=3, help='measured rounds (default: 3)')
    parser.add_argument('--out', help='JSON file for all figures')
    args = parser.parse_args()
    if min(args.workers) < 0 or args.repeats < 1:
        parser.error('--workers are at least 0, --repeats at least 1')
    if args.batches < 2 + 8 * max(args.workers):
        parser.error('--batches are at least 2 more than 8 times the --workers')
    check_out(parser, args)
    return args


class Stamped:
    """A batch with who made it and the seconds that took its process so far."""

    def __init__(self, collate: Callable) -> None:
        self.collate = collate

    def __call__(self, samples: list) -> Tuple[dict, int, float]:
        return self.collate(samples), os.getpid(), time.process_time()


def loaders(args: argparse.Namespace, cfg: Config) -> Dict[int, DataLoader]:
    """Number of workers -> a loader of the same batches, which are stamped."""
    settings = cfg.get(f'{args.loader}_dataloader')
    if settings is None:
        raise SystemExit(f'{args.config} has no {args.loader}_dataloader.')
    settings.update(num_workers=0, persistent_workers=False, prefetch_factor=None)
    try:
        base = Runner.build_dataloader(settings, seed=0)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    batches = list(islice(cycle(base.batch_sampler), args.batches))
    return {
        workers: DataLoader(
            base.dataset, batch_sampler=batches, num_workers=workers,
            collate_fn=Stamped(base.collate_fn), pin_memory=base.pin_memory)
        for workers in args.workers
    }


def load(loader: DataLoader, clock: Clock) -> None:
    """All batches once; the seconds of an episode, by the clock and of CPUs.

    Measured where as many batches wait at the end as at the start.
    """
    walls, cpus, sizes, processes, stamps = zip(*(
        (clock.now(), time.process_time(), len(batch['data_samples']), *stamp)
        for batch, *stamp in loader))
    first = loader.num_workers * (loader.prefetch_factor or 1)
    last = len(sizes) - 1 - first
    episodes = sum(sizes[first + 1:last + 1])
    clock.seconds['wall'] = (walls[last] - walls[first]) / episodes
    clock.seconds['main'] = (cpus[last] - cpus[first]) / episodes
    clock.seconds['workers'] = (
        cpu_of_an_episode(sizes, processes, stamps) if loader.num_workers else 0.)


def cpu_of_an_episode(sizes: Sequence[int], processes: Sequence[int],
                      stamps: Sequence[float]) -> float:
    """Of each worker, from its first batch to its last."""
    made = defaultdict(list)
    for size, process, stamp in zip(sizes, processes, stamps):
        made[process].append((size, stamp))
    seconds = sum(of_one[-1][1] - of_one[0][1] for of_one in made.values())
    return seconds / sum(size for of_one in made.values() for size, _ in of_one[1:])


def print_table(figures: Dict[int, Dict[str, dict]]) -> None:
    table = PrettyTable(['workers', 'episodes/s', 'lowest', 'highest',
                         'in workers (ms)', 'in main process (ms)'], align='r')
    for workers, seconds in figures.items():
        rates = [f'{1 / seconds["wall"][key]:.1f}' for key in ('median', 'max', 'min')]
        cpu = [f'{1000 * seconds[where]["median"]:.1f}'
               for where in ('workers', 'main')]
        table.add_row([workers, *rates, *cpu])
    print(table)


def main() -> None:
    args = parse_args()
    cfg = read(args)
    set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
    rounds = interleaved(
        {workers: partial(load, loader)
         for workers, loader in loaders(args, cfg).items()}, args.repeats, 'cpu')
    figures = {
        workers: {part: summary([each[part] for each in seconds])
                  for part in seconds[0]}
        for workers, seconds in rounds.items()
    }
    print_table(figures)
    if args.out:
        result = dict(
            config=args.config,
            loader=args.loader,
            machine=machine('cpu'),
            workers=figures)
        with open(args.out, 'w') as file:
            json.dump(result, file, indent=2)


if __name__ == '__main__':
    main()
