"""What the dataset converters have in common."""
import argparse
import json
import os
import os.path as osp
import signal
import sys
from contextlib import contextmanager
from functools import partial
from multiprocessing import Pool, TimeoutError, active_children
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

RECORD = 'conversion.json'
TEMPORARY = '.mmfss-tmp'


class BadInput(Exception):
    """The user's data is at fault; the message names the file and the remedy."""


def run(main: Callable[[], None]) -> None:
    """Run a tool; what a user can mend ends it in one line, no traceback."""
    try:
        main()
    except BadInput as error:
        sys.exit(f'error: {error}')
    except OSError as error:  # full disk, no permission, ...
        sys.exit(f'error: {error}. Mend that and run the same command again.')
    except KeyboardInterrupt:
        sys.exit('interrupted. Run the same command again to go on.')


def add_nproc(parser: argparse.ArgumentParser) -> None:
    """Add ``--nproc``."""
    parser.add_argument(
        '--nproc',
        type=_positive,
        default=os.cpu_count(),
        help='number of processes; default: one per CPU core (%(default)s)')


def parallel_map(func: Callable, items: Sequence, nproc: int, what: str) -> list:
    """Apply a function to items in several processes, with a progress bar.

    Args:
        func (callable): A function at module level (it is pickled).
        items (Sequence): Its arguments, one per call.
        nproc (int): Number of processes.
        what (str): What the progress bar says.

    Returns:
        list: The results, in the order of the items.
    """
    columns = (TextColumn('{task.description}'), BarColumn(),
               MofNCompleteColumn(), TimeRemainingColumn())
    size = min(16, len(items) // nproc + 1)
    chunks = [items[i:i + size] for i in range(0, len(items), size)]
    results = []
    # The processes first: forking beside the thread of the bar is not safe. And
    # also for nproc 1: should this process be killed, they end, too, but not
    # before the file is done that they are at.
    with Pool(nproc, _ignore_interrupt) as pool, Progress(*columns) as progress:
        workers = set(active_children())
        bar = progress.add_task(what, total=len(items))
        done = pool.imap(partial(_map_chunk, func), chunks)
        while len(results) < len(items):
            try:
                results += done.next(timeout=1)
            except TimeoutError:
                # a pool would wait for ever for what a dead worker was at
                if not workers <= set(active_children()):
                    raise BadInput(
                        f'{what}: a worker process was killed, out of memory '
                        'perhaps. Run again with a smaller --nproc; what is '
                        'done is kept.') from None
            progress.update(bar, completed=len(results))
    return results


def _map_chunk(func: Callable, items: Sequence) -> list:
    return [func(item) for item in items]


@contextmanager
def output_folder(folder: str, settings: dict) -> Iterator[None]:
    """Make a folder for masks, or go on with one made with the same settings.

    Masks of two conventions in one folder would be found out by nobody. So the
    folder keeps a record of how its masks were made. However the work in it ends,
    no half-written file is left.

    Args:
        folder (str): The folder.
        settings (dict): What decides how the masks look, as in JSON.

    Raises:
        BadInput: The folder holds masks of other settings or origin.
    """
    record = osp.join(folder, RECORD)
    if osp.exists(record):
        try:
            with open(record) as file:
                found = json.load(file)
        except ValueError:
            found = None
        if found != settings:
            raise BadInput(
                f'{record} says that the masks there were made with {found}, '
                f'not with {settings}. Name another output folder, or delete '
                f'{folder}.')
    elif osp.isdir(folder) and any(f.endswith('.png') for f in os.listdir(folder)):
        raise BadInput(
            f'{folder} holds masks, but no {RECORD}: this tool did not write '
            'them, and keeps its hands off. Name another output folder, or move '
            'it away.')
    else:
        os.makedirs(folder, exist_ok=True)
        with replacing(record) as temporary, open(temporary, 'w') as file:
            json.dump(settings, file, indent=1)
    _remove_temporaries(folder)  # of a run that could not, being killed
    try:
        yield
    finally:
        _remove_temporaries(folder)


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """A temporary name to write to, renamed to ``path`` when all went well.

    As ``mmfss.utils.replacing``, whose import takes seconds (torch), but the
    folder is tidied up as a whole: a killed worker cannot.
    """
    folder, name = osp.split(path)
    temporary = osp.join(folder, f'.{name}{TEMPORARY}')
    yield temporary
    os.replace(temporary, path)


def has_mask(path: str, size: Optional[Tuple[int, int]] = None) -> bool:
    """Whether a whole 8-bit mask is there, so that it need not be made again.

    Args:
        path (str): The PNG file.
        size (tuple[int, int], optional): Its width and height, if known.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image.mode in 'LP' and size in (None, image.size)
    except (OSError, SyntaxError):  # Pillow has both for a broken PNG
        return False


def write_mask(path: str, mask: np.ndarray, palette: bool = False) -> None:
    """Write a PNG mask whole or not at all, within :func:`output_folder`.

    Args:
        path (str): The PNG file.
        mask (np.ndarray): The values, ``(H, W)``, uint8.
        palette (bool): Show the values in VOC's colours. Defaults to False: as
            grey levels.
    """
    image = Image.fromarray(mask)
    if palette:
        image.putpalette(voc_palette())
    with replacing(path) as temporary:
        image.save(temporary, format='PNG')


def voc_palette() -> List[int]:
    """VOC's colours, red, green, blue of values 0 to 255 in a row.

    The bits of a value, from the lowest, go to red, green, blue in turn, and
    there from the highest bit down.
    """
    bits = np.unpackbits(
        np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder='little')
    colours = np.zeros((256, 3, 8), np.uint8)  # bits, from the highest
    for place in range(8):
        colours[:, place % 3, place // 3] = bits[:, place]
    return np.packbits(colours, axis=2).ravel().tolist()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


_positive.__name__ = 'positive number'  # argparse: "invalid positive number"


def _remove_temporaries(folder: str) -> None:
    for file in os.listdir(folder):
        if file.endswith(TEMPORARY):
            os.remove(osp.join(folder, file))


def _ignore_interrupt() -> None:
    """Ctrl-C reaches every process, but it is the parent that ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
