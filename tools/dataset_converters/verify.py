"""Check a prepared benchmark with the dataset classes that training uses.

Prints for each fold (FSS-1000: part) how many of the listed images and masks are
there, what is missing, and the SHA-256 of the test episodes. The exit code is 1 when
there is a problem.
"""
import argparse
import hashlib
import json
import os.path as osp
import sys
from collections import defaultdict
from typing import Iterable, List, Optional, Tuple

import numpy as np
from common import BadInput, add_nproc, parallel_map, run
from PIL import Image

import mmfss.datasets
from mmfss.datasets import EpisodicDataset, LoadFewShotMask
from mmfss.datasets.episodes import checksum
from mmfss.registry import DATASETS

FOLDS = [(f'fold {fold} {part}', dict(fold=fold, test_mode=part == 'test'))
         for fold in range(4) for part in ('train', 'test')]
PARTS = [('train', dict(split='trn')), ('val', dict(split='val')),
         ('test', dict(split='test', test_mode=True))]
# dataset class, how the published lists call it, what it consists of
BENCHMARKS = dict(
    pascal5i=('PASCAL5iDataset', 'pascal', FOLDS),
    coco20i=('COCO20iDataset', 'coco', FOLDS),
    fss1000=('FSS1000Dataset', 'fss', PARTS))
SHOTS = (1, 5)
SHOWN = 10  # of many alike


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('benchmark', choices=BENCHMARKS)
    parser.add_argument('root', help='the data folder, the config\'s data_root')
    parser.add_argument(
        '--split-dir', help='folder of lists; default: the benchmark\'s own')
    parser.add_argument(
        '--mask-dir',
        help='folder of masks, absolute or below ROOT; default: the benchmark\'s own')
    parser.add_argument(
        '--masks',
        action='store_true',
        help='read every listed mask, too: is it 8-bit class values, of its '
        'image\'s size, and does it show the class it is listed for?')
    add_nproc(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    name, prefix, parts = BENCHMARKS[args.benchmark]
    if not osp.isdir(args.root):
        raise BadInput(
            f'there is no folder {args.root} (seen from {osp.abspath(".")}). Name '
            'the folder that holds the prepared data.')
    print(f'{args.benchmark} in {args.root}')
    build = dict(type=name, data_root=args.root, split_dir=args.split_dir)
    if args.mask_dir:
        if args.benchmark == 'fss1000':
            raise BadInput('--mask-dir: fss1000 has each mask beside its photo. '
                           'Leave it out.')
        build['data_prefix'] = dict(seg_map_path=args.mask_dir)
    problems, entries = check_lists(build, parts)
    if args.masks:
        problems += check_masks(entries, args.nproc)
    problems += check_episodes(build, parts, prefix)
    print(f'{problems} problem(s).')
    sys.exit(bool(problems))


def check_lists(build: dict, parts: list) -> Tuple[int, List[dict]]:
    """Count the listed images and masks that are there, and show which are not.

    Args:
        build (dict): Config of the dataset.
        parts (list): What it consists of: a label and arguments each.

    Returns:
        tuple[int, list[dict]]: The number of missing files, and the entries of
        all parts, each with the key ``num_classes``.

    Raises:
        BadInput: The lists cannot be used.
    """
    print(f'{"":14}{"classes":>8}{"entries":>9}{"images":>16}{"masks":>16}'
          '  SHA-256 of the list')
    there, entries = {}, []
    missing = dict(img_path={}, seg_map_path={})
    for label, part in parts:
        dataset = DATASETS.build(dict(build, lazy_init=True, **part))
        try:
            listed = dataset.load_data_list()
        except (OSError, ValueError) as error:  # the message names the file
            raise BadInput(f'{label}: {error}') from error
        counts = []
        for key in ('img_path', 'seg_map_path'):
            paths = {entry[key]: entry['source'] for entry in listed}
            for path, source in paths.items():
                if path not in there:
                    there[path] = osp.isfile(path)
                if not there[path]:
                    missing[key].setdefault(path, source)
            counts.append(f'{sum(there[p] for p in paths)}/{len(paths)}')
        classes = len({entry['class_id'] for entry in listed})
        text = json.dumps([[e['name'], e['class_id']] for e in listed],
                          separators=(',', ':'))
        print(f'{label:14}{classes:8}{len(listed):9}{counts[0]:>16}{counts[1]:>16}'
              f'  {hashlib.sha256(text.encode()).hexdigest()[:16]}')
        known = len(dataset.metainfo['classes'])
        entries += [dict(entry, num_classes=known) for entry in listed]
    for key, what, remedy in (
        ('img_path', 'images', 'unpack them again'),
        ('seg_map_path', 'masks', 'make them with the converter, to its end')):
        show(f'{len(missing[key])} {what} are missing: {remedy}',
             (f'{path} (named by {source})'
              for path, source in missing[key].items()))
    return sum(map(len, missing.values())), [
        e for e in entries if there[e['img_path']] and there[e['seg_map_path']]
    ]


def check_masks(entries: List[dict], nproc: int) -> int:
    """Load every mask as training does.

    Args:
        entries (list[dict]): Those whose files are there.
        nproc (int): Number of processes.

    Returns:
        int: The number of masks at fault.
    """
    by_mask = defaultdict(dict)
    for entry in entries:
        by_mask[entry['seg_map_path']][entry['class_value']] = entry
    found = parallel_map(check_mask,
                         [list(of.values()) for of in by_mask.values()], nproc,
                         'masks')
    wrong = [problem for problem, _ in found if problem]
    absent = [text for _, texts in found for text in texts]
    pairs = sum(len(of) for of in by_mask.values())
    show(f'{len(wrong)} of {len(by_mask)} masks cannot be used', wrong)
    # lists were made from one set of masks; drawing overlaps another way hides
    # a few objects, but wrong values hide nearly all
    fault = len(absent) > pairs / 100
    show(
        f'{len(absent)} of {pairs} times, a mask does not show the class it is '
        'listed for' + (': masks and lists do not belong together' if fault else
                        ' (few enough to be a matter of how masks are drawn)'),
        absent)
    if not wrong and not absent:
        print(f'{len(by_mask)} masks: all show the classes they are listed for')
    return len(wrong) + fault * len(absent)


def check_mask(entries: List[dict]) -> Tuple[Optional[str], List[str]]:
    """Load one mask for each class that it is listed for.

    Args:
        entries (list[dict]): The entries of the mask, one per class.

    Returns:
        tuple[str | None, list[str]]: Why it cannot be used, and the classes that
        it does not show.
    """
    path, absent = entries[0]['seg_map_path'], []
    load = LoadFewShotMask()
    try:
        with Image.open(entries[0]['img_path']) as image:
            img = np.empty(image.size[::-1])  # for its shape
        for entry in entries:
            if not (load(dict(entry, img=img))['gt_seg_map'] == 1).any():
                absent.append(f'{path}: class {entry["class_id"]} (from 0), '
                              f'named by {entry["source"]}')
    except (OSError, SyntaxError, ValueError) as error:
        return f'{path}: {error}', []
    return None, absent


def check_episodes(build: dict, parts: list, prefix: str) -> int:
    """Print the SHA-256 of the test episodes beside the published ones.

    Args:
        build (dict): Config of the dataset.
        parts (list): What it consists of: a label and arguments each.
        prefix (str): How the published lists call the benchmark.

    Returns:
        int: The number of parts whose episodes cannot be drawn, and of lists
        that are not as published though the benchmark's lists are used.
    """
    with open(osp.join(osp.dirname(mmfss.datasets.__file__), 'splits',
                       'episodes_sha256.json')) as file:
        published = json.load(file)
    print('Test episodes, SHA-256:')
    faults = 0
    for label, part in parts:
        if not part.get('test_mode'):
            continue
        fold = f'_fold{part["fold"]}' if 'fold' in part else ''
        try:
            for shot in SHOTS:
                dataset: EpisodicDataset = DATASETS.build(
                    dict(build, shot=shot, lazy_init=True, **part))
                dataset.check_files = lambda: None  # check_lists has done so
                dataset.full_init()
                found = checksum(dataset.episode_lists[0])
                same = found == published[f'{prefix}{fold}_{shot}shot']
                print(f'{label:14}{shot}-shot  {len(dataset)} episodes  {found}  '
                      + ('as published' if same else 'NOT the published list'))
                # of lists of the user's own, no other was to be expected
                faults += not same and build['split_dir'] is None
        except (OSError, ValueError) as error:
            faults += 1
            print(f'{label:14}cannot be drawn: {error}')
    return faults


def show(title: str, lines: Iterable[str]) -> None:
    """Print a title and the first of some lines; nothing without lines."""
    lines = list(lines)
    if lines:
        more = len(lines) - SHOWN
        print(f'{title}:', *lines[:SHOWN],
              *([f'... and {more} more'] if more > 0 else []), sep='\n  ')


if __name__ == '__main__':
    run(main)
