"""Episodes/s of a config's data loader alone, by number of workers.

    python tools/analysis_tools/benchmark_dataloader.py CONFIG [--workers 0 1 2]

Beside it the processor time of an episode: a core that does nothing else can
load 1 / 'in workers' episodes a second, and however many cores there are, the
loader hands out at most 1 / 'in main process'.
"""
import argparse
import json
import resource
import statistics
import time
from functools import partial
from itertools import cycle, islice
from typing import Dict, List

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
    if args.batches < 2 * max(args.workers) + 2:
        parser.error('--batches are at least 2 more than twice the --workers')
    check_out(parser, args)
    return args


def loaders(args: argparse.Namespace, cfg: Config) -> Dict[int, DataLoader]:
    """Number of workers -> a loader of the same batches."""
    settings = cfg.get(f'{args.loader}_dataloader')
    if settings is None:
        raise SystemExit(f'{args.config} has no {args.loader}_dataloader.')
    settings.update(num_workers=0, persistent_workers=False)
    try:
        base = Runner.build_dataloader(settings, seed=0)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    batches = list(islice(cycle(base.batch_sampler), args.batches))
    return {
        workers: DataLoader(
            base.dataset, batch_sampler=batches, num_workers=workers,
            collate_fn=base.collate_fn, pin_memory=base.pin_memory)
        for workers in args.workers
    }


def load(loader: DataLoader, clock: Clock) -> None:
    """All batches once; the seconds of an episode."""
    before = workers_cpu()
    batches = iter(loader)
    for _ in range(max(1, loader.num_workers)):  # the start
        next(batches)
    cpu = time.process_time()
    with clock('wall'):
        timed = sum(len(batch['data_samples']) for batch in batches)
    clock.seconds['wall'] /= timed
    clock.seconds['main'] = (time.process_time() - cpu) / timed
    del batches  # waits for the workers
    episodes = sum(map(len, loader.batch_sampler))
    clock.seconds['workers'] = (workers_cpu() - before) / episodes


def workers_cpu() -> float:
    """Seconds of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
