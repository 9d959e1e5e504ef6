"""Runs tools/test.py for each batch size and number of workers in turn.

One start of the processes for all: starting takes longer than testing here.
  evaluate_in_turn.py WORK_DIR CONFIG CHECKPOINT [arguments of test.py]
"""
import itertools
import runpy
import sys
from pathlib import Path

from mmfss import compat

TEST = str(Path(__file__).parents[1] / 'tools' / 'test.py')
BATCHES = (1, 4)
WORKERS = (0, 2)


def main():
    work_dir, *arguments = sys.argv[1:]
    # the processes stay connected for the next run
    leave_distributed, compat.leave_distributed = (
        compat.leave_distributed, lambda: None)
    for batch, workers in itertools.product(BATCHES, WORKERS):
        name = f'batch{batch}_workers{workers}'
        sys.argv = [
            TEST, '--contact-sheet', f'{work_dir}/{name}/sheet.html', *arguments,
            f'test_dataloader.batch_size={batch}',
            f'test_dataloader.num_workers={workers}', f'experiment_name={name}',
            f'work_dir={work_dir}/{name}',
            f'default_hooks.visualization.out_dir={work_dir}/{name}/show']
        runpy.run_path(TEST, run_name='__main__')
    leave_distributed()


if __name__ == '__main__':
    sys.path.insert(0, str(Path(TEST).parent))
    main()
