"""Make COCO-20i's class masks from the instances of COCO 2014.

ROOT/annotations/instances_{train,val}2014.json become
{out}/{train2014,val2014}/COCO_{split}_{id}.png, one per image that has annotations:
0 is background, 1..80 are the classes, the categories in ascending order of their
ids. A run that was interrupted goes on where it stopped.

How the masks behind the published figures were drawn is not documented. The
defaults here are:

- all polygons: an object in several parts (behind a pole, say) is annotated with
  several polygons, and only all of them are the object's whole annotation;
- where objects overlap, the later annotation in the file covers the earlier, as
  when they are drawn one after the other;
- crowds (iscrowd=1) are skipped: their outlines are rough, and COCO's own
  evaluation does not count them as objects.

Another convention is another benchmark: say so beside the figures.
"""
import argparse
import json
import os.path as osp
import sys
from typing import List

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

from mmfss.datasets.annotations.coco_instances import decode

try:
    import pycocotools  # noqa: F401
except ImportError:
    sys.exit('error: pycocotools is missing. pip install pycocotools')

SPLITS = ('train2014', 'val2014')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', help='the COCO folder, e.g. data/coco')
    parser.add_argument(
        '--out-dir', help='where the masks go; default: ROOT/annotations')
    parser.add_argument(
        '--polygons',
        choices=['all', 'first'],
        default='all',
        help='draw all polygons of an object, or the first only; default: '
        '%(default)s')
    parser.add_argument(
        '--overlap',
        choices=['later', 'earlier'],
        default='later',
        help='which annotation is on top where two overlap; default: %(default)s')
    parser.add_argument(
        '--crowd',
        choices=['skip', 'draw'],
        default='skip',
        help='leave crowds out, or draw them like objects; default: %(default)s')
    add_nproc(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    settings = dict(
        converter='coco20i.py',
        polygons=args.polygons,
        overlap=args.overlap,
        crowd=args.crowd)
    sources = {
        split: osp.join(args.root, 'annotations', f'instances_{split}.json')
        for split in SPLITS
    }
    for path in sources.values():
        if not osp.isfile(path):
            raise BadInput(
                f'there is no {path}. Unpack annotations_trainval2014.zip of '
                f'COCO in {args.root}.')
    for split, source in sources.items():
        out_dir = osp.join(args.out_dir or osp.join(args.root, 'annotations'),
                           split)
        images = read_instances(source, split)
        tasks = [dict(image, out_dir=out_dir, **settings) for image in images]
        with output_folder(out_dir, settings):
            made = sum(parallel_map(convert, tasks, args.nproc, split))
        print(f'{out_dir}: {len(tasks)} masks; {made} made now, '
              f'{len(tasks) - made} were there.')


def read_instances(path: str, split: str) -> List[dict]:
    """Read COCO's instances and gather them by image.

    Args:
        path (str): The JSON file.
        split (str): 'train2014' or 'val2014'.

    Returns:
        list[dict]: Each image with annotations: ``name``, ``size`` (width,
        height), ``source`` (the JSON file) and ``objects`` (list[dict]), in the
        file's order.

    Raises:
        BadInput: The file is not whole, or contradicts itself.
    """
    print(f'Reading {path}', flush=True)
    try:
        with open(path) as file:
            data = json.load(file)
    except ValueError as error:  # cut off, or not text
        raise BadInput(f'{path} is cut off or is no JSON ({error}). Unpack it '
                       'again from annotations_trainval2014.zip.') from error
    try:
        categories = _by_id(data['categories'], 'category', path)
        infos = _by_id(data['images'], 'image', path)
        annotations = _by_id(data['annotations'], 'annotation', path)
        if len(categories) != 80:
            raise BadInput(
                f'{path} has {len(categories)} categories, COCO\'s instances '
                'have 80. Use instances_*.json, not another kind of annotation.')
        values = {c: value for value, c in enumerate(sorted(categories), 1)}
        images = {}
        for annotation in annotations.values():
            image_id, category = annotation['image_id'], annotation['category_id']
            for known, key in ((infos, 'image_id'), (values, 'category_id')):
                if annotation[key] not in known:
                    raise BadInput(
                        f'{path}: annotation {annotation["id"]} has {key} '
                        f'{annotation[key]}, which the file does not list. '
                        'Unpack it again from annotations_trainval2014.zip.')
            if image_id not in images:
                images[image_id] = _image(infos[image_id], split, path)
            images[image_id]['objects'].append(
                dict(
                    id=annotation['id'],
                    value=values[category],
                    crowd=bool(annotation['iscrowd']),
                    segmentation=annotation['segmentation']))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f'{path} is no instances file of COCO: {error!r} on reading it. '
            'Unpack it again from annotations_trainval2014.zip.') from error
    return list(images.values())


def _by_id(items: List[dict], what: str, path: str) -> dict:
    found = {}
    for item in items:
        if item['id'] in found:
            raise BadInput(
                f'{path} has {what} id {item["id"]} twice. Unpack it again from '
                'annotations_trainval2014.zip, or take one out.')
        found[item['id']] = item
    return found


def _image(info: dict, split: str, path: str) -> dict:
    name = f'COCO_{split}_{info["id"]:012d}'
    if info['file_name'] != f'{name}.jpg':
        raise BadInput(
            f'{path}: image {info["id"]} is called {info["file_name"]}, in '
            f'{split} it would be {name}.jpg. COCO-20i uses COCO 2014: unpack '
            'annotations_trainval2014.zip.')
    size = (info['width'], info['height'])
    if not all(isinstance(side, int) and side > 0 for side in size):
        raise ValueError(f'image {info["id"]} has width and height {size}')
    return dict(name=name, size=size, source=path, objects=[])


def convert(task: dict) -> bool:
    """Make the mask of one image, unless it is there.

    Args:
        task (dict): The image (of :func:`read_instances`), the settings and
            ``out_dir``.

    Returns:
        bool: Whether it was made now.
    """
    path = osp.join(task['out_dir'], f'{task["name"]}.png')
    if has_mask(path, task['size']):
        return False
    width, height = task['size']
    mask = np.zeros((height, width), np.uint8)
    objects = task['objects']
    for item in objects if task['overlap'] == 'later' else objects[::-1]:
        if item['crowd'] and task['crowd'] == 'skip':
            continue
        try:
            pixels = decode(item['segmentation'], task['size'],
                            task['polygons'] == 'first')
        # pycocotools raises a bare Exception, among others
        except Exception as error:
            raise BadInput(
                f'{task["source"]}: the segmentation of annotation {item["id"]} '
                f'(image {task["name"]}) cannot be drawn: {error}. Unpack the '
                'file again from annotations_trainval2014.zip.') from error
        mask[pixels] = item['value']
    write_mask(path, mask)
    return True


if __name__ == '__main__':
    run(main)
