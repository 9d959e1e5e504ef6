"""Make PASCAL-5i's masks, SegmentationClassAug, from VOC2012 and SBD.

The images that VOC2012 has segmented itself (ImageSets/Segmentation/trainval.txt,
2,913) keep VOC's mask from SegmentationClass; the other images of SBD (train.txt
and val.txt, Hariharan et al., ICCV 2011) get SBD's. Together they are the usual
"VOC + SBD" set of 12,031 masks. VOC's masks win because they are the finer ones,
and because only they mark the boundary (255), which the evaluation leaves out.

Masks are PNGs with VOC's palette: 0 background, 1..20 classes, 255 boundary. A run
that was interrupted goes on where it stopped.
"""
import argparse
import os.path as osp
from typing import List, Tuple

import numpy as np
from common import (
    BadInput,
    add_nproc,
    has_mask,
    output_folder,
    parallel_map,
    run,
    write_mask,
)
from PIL import Image
from scipy.io import loadmat

VOC_PARTS = {
    'images': 'JPEGImages',
    'masks': 'SegmentationClass',
    'list': osp.join('ImageSets', 'Segmentation', 'trainval.txt'),
}
USUAL = 12031


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        'voc', help='the VOC2012 folder, e.g. data/VOCdevkit/VOC2012')
    parser.add_argument(
        'sbd', help='the folder benchmark_RELEASE of SBD\'s benchmark.tgz')
    parser.add_argument(
        '--out-dir', help='where the masks go; default: VOC/SegmentationClassAug')
    add_nproc(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    out_dir = args.out_dir or osp.join(args.voc, 'SegmentationClassAug')
    voc, sbd = find_sources(args.voc, args.sbd)
    sources = {**sbd, **voc}
    photos = {
        name: osp.join(args.voc, VOC_PARTS['images'], f'{name}.jpg')
        for name in sources
    }
    check_files(photos, 'unpack VOCtrainval_11-May-2012.tar again')
    tasks = [(source, photos[name], osp.join(out_dir, f'{name}.png'))
             for name, source in sources.items()]
    with output_folder(out_dir, dict(converter='voc_sbd.py')):
        made = sum(
            parallel_map(convert, tasks, args.nproc, 'SegmentationClassAug'))
    print(f'{out_dir}: {len(tasks)} masks, {len(voc)} of VOC and '
          f'{len(tasks) - len(voc)} of SBD; {made} made now, '
          f'{len(tasks) - made} were there.')
    if len(tasks) != USUAL:
        print(f'Note: the usual set has {USUAL} masks.')


def find_sources(voc: str, sbd: str) -> Tuple[dict, dict]:
    """Find every file that the lists name, before anything is written.

    Args:
        voc (str): The VOC2012 folder.
        sbd (str): The benchmark_RELEASE folder.

    Returns:
        tuple[dict, dict]: The source file of each name, in VOC and in SBD.

    Raises:
        BadInput: A list or a file is missing.
    """
    for part in VOC_PARTS.values():
        if not osp.exists(osp.join(voc, part)):
            raise BadInput(
                f'there is no {osp.join(voc, part)}. {voc} must be the folder '
                'VOC2012 of VOCtrainval_11-May-2012.tar, unpacked whole.')
    names = read_list(osp.join(voc, VOC_PARTS['list']))
    of_voc = {n: osp.join(voc, VOC_PARTS['masks'], f'{n}.png') for n in names}
    check_files(of_voc, 'unpack VOCtrainval_11-May-2012.tar again')

    lists = [osp.join(sbd, 'dataset', f'{part}.txt') for part in ('train', 'val')]
    for path in lists:
        if not osp.isfile(path):
            raise BadInput(
                f'there is no {path}. {sbd} must be the folder '
                'benchmark_RELEASE of SBD\'s benchmark.tgz, unpacked whole.')
    names = [name for path in lists for name in read_list(path)]
    of_sbd = {n: osp.join(sbd, 'dataset', 'cls', f'{n}.mat') for n in names}
    check_files({n: f for n, f in of_sbd.items() if n not in of_voc},
                'unpack SBD\'s benchmark.tgz again')
    return of_voc, of_sbd


def read_list(path: str) -> List[str]:
    """The names in a list file, one per line."""
    with open(path) as file:
        return file.read().split()


def check_files(files: dict, remedy: str) -> None:
    """Say which of the files that a list names are missing."""
    missing = [path for path in files.values() if not osp.isfile(path)]
    if missing:
        raise BadInput(f'{len(missing)} of {len(files)} files are missing, the '
                       f'first is {missing[0]}: {remedy}.')


def convert(task: Tuple[str, str, str]) -> bool:
    """Make one mask, unless it is there.

    Args:
        task (tuple[str, str, str]): VOC's PNG or SBD's .mat, the photo, and the
            PNG to write.

    Returns:
        bool: Whether it was made now.
    """
    source, photo, path = task
    try:
        with Image.open(photo) as image:
            size = image.size
    except OSError as error:
        raise BadInput(f'{photo} cannot be read ({error}). Unpack '
                       'VOCtrainval_11-May-2012.tar again.') from error
    if has_mask(path, size):
        return False
    mask = read_mat(source) if source.endswith('.mat') else read_png(source)
    if mask.shape[::-1] != size:
        raise BadInput(
            f'{source} is {mask.shape[::-1]} (width, height), its photo {photo} '
            f'is {size}. Replace one of them by the original file.')
    unknown = [v for v in np.unique(mask).tolist() if 20 < v < 255]
    if unknown:
        raise BadInput(
            f'{source} holds unknown values {unknown[:10]}; known are 0 '
            '(background), 1 to 20 and 255 (boundary). Replace it by the '
            'original file.')
    write_mask(path, mask, palette=True)
    return True


def read_mat(path: str) -> np.ndarray:
    """SBD's mask of classes: field Segmentation of the struct GTcls."""
    try:
        mask = loadmat(path, simplify_cells=True)['GTcls']['Segmentation']
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ValueError(f'a mask of {mask.dtype}, shape {mask.shape}')
    except Exception as error:  # SciPy raises nearly anything for a broken file
        raise BadInput(
            f'{path} is no .mat file with a mask GTcls.Segmentation '
            f'({type(error).__name__}: {error}). Unpack it again from SBD\'s '
            'benchmark.tgz.') from error
    return mask


def read_png(path: str) -> np.ndarray:
    """VOC's mask of classes: the indices of a palette PNG."""
    try:
        with Image.open(path) as image:
            mask, mode = np.array(image), image.mode
    except (OSError, SyntaxError) as error:
        raise BadInput(f'{path} cannot be read ({error}). Unpack it again from '
                       'VOCtrainval_11-May-2012.tar.') from error
    if mode not in 'LP':
        raise BadInput(
            f'{path} is a PNG of mode {mode}, not one of class values (mode P, '
            'as VOC has them, or L). Unpack it again from '
            'VOCtrainval_11-May-2012.tar.')
    return mask


if __name__ == '__main__':
    run(main)
