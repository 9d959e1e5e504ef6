"""Check own photos before training on them with FolderDataset.

Reads every photo and mask as training does. One line per problem: "error" must be
mended, "warning" is worth a look. The exit code is 1 if there is an error.
"""
import argparse
import os
import os.path as osp
import sys
from collections import defaultdict
from typing import List, Tuple

import numpy as np
from common import BadInput, add_nproc, parallel_map, run
from mmcv.transforms import LoadImageFromFile
from PIL import ExifTags, Image

from mmfss.datasets import LoadFewShotMask, ResizeFewShot
from mmfss.datasets.folder_dataset import IMG_SUFFIXES, class_folders, is_photo

TINY = 0.005  # of the pixels at the training size
Problem = Tuple[str, str]  # 'error' or 'warning', text


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data_root', help='holds images/<class>/ and masks/<class>/')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(256, 256), metavar=('W', 'H'),
        help='the size that the config resizes to; default: 256 256')
    parser.add_argument(
        '--shot', type=int, default=1, help='supports per episode; default: 1')
    parser.add_argument(
        '--seg-map-suffix', default='.png', help='.json: LabelMe; default: .png')
    add_nproc(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    images = osp.join(args.data_root, 'images')
    if not osp.isdir(images):
        raise BadInput(f'there is no folder {images}; images belong in '
                       'images/<class>/, masks in masks/<class>/.')
    classes = class_folders(images)
    if not classes:
        raise BadInput(f'{images} holds no folder of a class, images/<class>/.')
    problems, tasks = [], []
    for name in classes:
        found, pairs = check_names(args, name)
        problems += found
        tasks += [(*pair, name, tuple(args.size)) for pair in pairs]
    for found in parallel_map(check_pair, tasks, args.nproc, 'photos'):
        problems += found
    for kind, text in problems:
        print(f'{kind}: {text}')
    errors = sum(kind == 'error' for kind, _ in problems)
    print(f'{len(classes)} classes, {len(tasks)} photos with masks: {errors} '
          f'error(s), {len(problems) - errors} warning(s).')
    sys.exit(bool(errors))


def check_names(args: argparse.Namespace,
                name: str) -> Tuple[List[Problem], List[Tuple[str, str]]]:
    """Pair a class's photos and masks; the pairs, and what is wrong."""
    folders = [osp.join(args.data_root, kind, name) for kind in ('images', 'masks')]
    photos, masks = (
        sorted(file for file in os.listdir(folder) if not file.startswith('.'))
        if osp.isdir(folder) else [] for folder in folders)
    problems, by_stem = [], defaultdict(list)
    for file in photos:
        if is_photo(file):
            by_stem[osp.splitext(file)[0]].append(file)
        else:
            problems.append(('warning', f'{osp.join(folders[0], file)} is ignored: '
                             f'no photo ({" ".join(IMG_SUFFIXES)}).'))
    pairs = []
    for stem, files in by_stem.items():
        mask = stem + args.seg_map_suffix
        if len(files) > 1:
            problems.append(('error', f'{" and ".join(files)} in {folders[0]} would '
                             'share a mask. Rename one of them.'))
        if mask in masks:
            pairs.append((osp.join(folders[0], files[0]), osp.join(folders[1], mask)))
        else:
            problems.append(('error', f'{osp.join(folders[0], files[0])} has no mask '
                             f'{osp.join(folders[1], mask)}. Add it, or move the '
                             'photo away.'))
    problems += [
        ('warning', f'{osp.join(folders[1], file)} is ignored: there is no photo of '
         'that name.' if file.endswith(args.seg_map_suffix) else
         f'{osp.join(folders[1], file)} is ignored: masks end in '
         f'{args.seg_map_suffix}.') for file in masks
        if osp.splitext(file)[0] not in by_stem
        or not file.endswith(args.seg_map_suffix)
    ]
    if len(pairs) < 2:
        problems.append(('error', f'class {name!r} has {len(pairs)} photo(s) with a '
                         'mask; it needs 2, a query and a support. Add some.'))
    elif len(pairs) <= args.shot:
        problems.append(('warning', f'class {name!r} has {len(pairs)} photos with a '
                         f'mask: {args.shot} different supports beside the query '
                         f'need {args.shot + 1}.'))
    return problems, pairs


def check_pair(task: Tuple[str, str, str, Tuple[int, int]]) -> List[Problem]:
    """Load a photo and its mask as training does, and see what is left of them."""
    photo, mask, class_name, size = task
    turned = 1
    results = dict(img_path=photo, seg_map_path=mask, class_name=class_name,
                   class_value=None, num_classes=1)
    try:
        with Image.open(photo) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation, 1)
        load = LoadImageFromFile(
            imdecode_backend='pillow', color_type='color_ignore_orientation')
        results = load(results)
    except Exception as error:  # decoders raise anything for damaged files
        return [('error', f'{photo} cannot be read: {error} Replace the file.')]
    exif = (f'{photo} is turned by its EXIF (orientation {turned}), which training '
            'ignores. ')
    try:
        label = LoadFewShotMask()(results)['gt_seg_map']
    except Exception as error:
        return [('error', f'{mask}: {error}' + (
            f' {exif}Turn the photo for good.' if turned > 1 else ''))]
    problems = []
    if turned > 1:
        # a quarter turn shows in the sizes; whether a mask is upside down does not
        problems.append(('warning', f'{exif}The mask fits the photo as stored, so '
                         'it is seen lying.') if turned > 4 else
                        ('error', f'{exif}Turn the photo for good, so that it and '
                         'the mask surely fit.'))
    if not label.any():
        return [*problems, ('error', f'{mask} is empty: all zero.')]
    if label.all():
        return [*problems, ('error', f'{mask} is foreground everywhere; background '
                            'must be exactly 0 (a JPEG\'s black is noisy).')]
    small = ResizeFewShot(size)(results)['gt_seg_map']
    left = int(np.count_nonzero(small))
    share = f'of the object of {mask}, {label.mean():.3%} of the photo, '
    if not left:
        problems.append(('error', f'{share}nothing is left at {size[0]} x {size[1]}. '
                         'Cut the photo to its surroundings.'))
    elif left < TINY * small.size:
        problems.append(('warning', f'{share}{left} pixels are left at {size[0]} x '
                         f'{size[1]}. Cut the photo to its surroundings.'))
    return problems


if __name__ == '__main__':
    run(main)
