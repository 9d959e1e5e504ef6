"""Check an FSS-1000 folder, which needs no conversion.

ROOT holds 1000 folders, one per class, each with 1.jpg .. 10.jpg and their masks
1.png .. 10.png (8-bit; from 128 on = the class). Every image and mask is read.
Problems are listed, and the exit code is 1 when there are any.
"""
import argparse
import os
import os.path as osp
import sys
from typing import List

import numpy as np
from common import BadInput, add_nproc, parallel_map, run
from PIL import Image

from mmfss.datasets import LoadFewShotMask
from mmfss.datasets.folder_dataset import class_folders

CLASSES = 1000
NUMBERS = range(1, 11)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='the FSS-1000 folder, e.g. data/fss1000')
    add_nproc(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not osp.isdir(args.root):
        raise BadInput(f'there is no folder {args.root}. Unpack FSS-1000 there.')
    folders = [osp.join(args.root, name) for name in class_folders(args.root)]
    found = parallel_map(check_class, folders, args.nproc, 'FSS-1000')
    problems = [problem for of_class in found for problem in of_class]
    if len(folders) != CLASSES:
        problems.append(
            f'{args.root}: {len(folders)} class folders instead of {CLASSES}. '
            'Unpack the archive again, or name the folder that holds the classes; '
            'verify.py says which are missing.')
    print(*problems, sep='\n', end='\n' if problems else '')
    print(f'{args.root}: {len(folders)} classes, {len(problems)} problem(s).')
    sys.exit(bool(problems))


def check_class(folder: str) -> List[str]:
    """Check the image and mask pairs of a class.

    Args:
        folder (str): The folder of the class.

    Returns:
        list[str]: The problems; empty if all is well.
    """
    names = {f'{n}.{kind}' for n in NUMBERS for kind in ('jpg', 'png')}
    files = set(os.listdir(folder))
    problems = []
    if names - files:
        problems.append(f'{folder}: missing: {", ".join(sorted(names - files))}. '
                        'Unpack the class again.')
    for number in NUMBERS:
        image, mask = f'{number}.jpg', f'{number}.png'
        if {image, mask} <= files:
            problems += check_pair(osp.join(folder, image), osp.join(folder, mask))
    return problems


def check_pair(image_path: str, mask_path: str) -> List[str]:
    """Check an image and its mask: whole, of one size, mask with an object."""
    try:
        with Image.open(image_path) as file:
            image = np.array(file)
    except (OSError, SyntaxError) as error:
        return [f'{image_path}: cannot be read ({error}). Replace the file.']
    try:  # as training loads it
        mask = LoadFewShotMask()(
            dict(
                img=image,
                seg_map_path=mask_path,
                class_value=None,
                foreground_from=128))['gt_seg_map']
    except (OSError, SyntaxError, ValueError) as error:
        return [f'{mask_path}: {error}']
    if not mask.any():
        return [f'{mask_path}: shows no object. Replace the mask.']
    return []


if __name__ == '__main__':
    run(main)
