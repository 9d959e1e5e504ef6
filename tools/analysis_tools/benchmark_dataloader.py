"""Episodes/s of a config's data loader alone, by number of workers.

    python tools/analysis_tools/benchmark_dataloader.py CONFIG [--workers 0 1 2]

Beside it the processor time of an episode: a core that does nothing else can
load 1 / 'in workers' episodes a second, and however many cores there are, the
loader hands out at most 1 / 'in main process'.
"""
import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from functools import partial
from itertools import cycle, islice
from typing import Callable, Dict, List, Tuple

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
    wait = loader.num_workers * (loader.prefetch_factor or 1)
    sizes, stamps = [], defaultdict(list)
    for n, (batch, process, seconds) in enumerate(loader, 1):
        if n == wait + 1:
            start, cpu = clock.now(), time.process_time()
        elif wait + 1 < n <= len(loader) - wait:
            sizes.append(len(batch['data_samples']))
            end, cpu_end = clock.now(), time.process_time()
        stamps[process].append((seconds, len(batch['data_samples'])))
    clock.seconds['wall'] = (end - start) / sum(sizes)
    clock.seconds['main'] = (cpu_end - cpu) / sum(sizes)
    # of each worker, from its first batch to its last
    spent = [made[-1][0] - made[0][0] for made in stamps.values()]
    sizes = [size for made in stamps.values() for _, size in made[1:]]
    clock.seconds['workers'] = sum(spent) / sum(sizes) if wait else 0.


def print_table(rounds: Dict[int, List[Dict[str, float]]]) -> None:
    table = PrettyTable(['workers', 'episodes/s', 'lowest', 'highest',
                         'in workers (ms)', 'in main process (ms)'], align='r')
    for workers, seconds in rounds.items():
        rates = [1 / each['wall'] for each in seconds]
        cpu = [f'{1000 * statistics.median(each[where] for each in seconds):.1f}'
               for where in ('workers', 'main')]
        table.add_row([workers, *(f'{choose(rates):.1f}' for choose in
                                  (statistics.median, min, max)), *cpu])
    print(table)


def main() -> None:
    args = parse_args()
    cfg = read(args)
    set_multi_processing(**cfg.get('env_cfg', {}).get('mp_cfg', {}))
    rounds = interleaved(
        {workers: partial(load, loader)
         for workers, loader in loaders(args, cfg).items()}, args.repeats, 'cpu')
    print_table(rounds)
    if args.out:
        result = dict(
            config=args.config,
            loader=args.loader,
            machine=machine('cpu'),
            workers={
                workers: {part: summary([each[part] for each in seconds])
                          for part in seconds[0]}
                for workers, seconds in rounds.items()
            })
        with open(args.out, 'w') as file:
            json.dump(result, file, indent=2)


if __name__ == '__main__':
    main()
