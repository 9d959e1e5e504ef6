"""How well GrabCut's masks of boxes, points and scribbles fit the true masks.

Of a folder of FolderDataset, the first photo of each class: the box around its mask,
the point of the mask that is farthest from its edge, and a stroke through five such
points along the mask's longest axis. Prints the mean, median and least IoU in percent.
"""
import argparse
from typing import List, Tuple

import cv2
import numpy as np

from mmfss.apis.images import read_support
from mmfss.datasets import FolderDataset
from mmfss.visualization import foreground_iou


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data_root', help='e.g. demo/data/objects30')
    parser.add_argument(
        '--index', type=int, default=0,
        help='which photo of each class, from 0; default: 0')
    return parser.parse_args()


def bounding_box(mask: np.ndarray) -> Tuple[int, int, int, int]:
    """``(x1, y1, x2, y2)`` of a bool mask, x2 and y2 beyond it."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return x, y, x + width, y + height


def centre(mask: np.ndarray) -> Tuple[int, int]:
    """The pixel ``(x, y)`` of a bool mask farthest from its edge."""
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(distance[1:-1, 1:-1].argmax(), mask.shape)
    return int(x), int(y)


def stroke(mask: np.ndarray) -> List[Tuple[int, int]]:
    """Points of a stroke along a mask's longest axis, each the centre of a part."""
    pixels = np.argwhere(mask)
    offset = pixels - pixels.mean(axis=0)
    axis = np.linalg.eigh(offset.T @ offset)[1][:, -1]
    points = []
    for part in np.array_split(pixels[np.argsort(offset @ axis, kind='stable')], 5):
        piece = np.zeros_like(mask)
        piece[tuple(part.T)] = True
        points.append(centre(piece))
    return points


def main() -> None:
    args = parse_args()
    entries = FolderDataset(args.data_root, lazy_init=True).load_data_list()
    by_class = {}
    for entry in entries:
        by_class.setdefault(entry['class_id'], []).append(entry)
    ious = {'the box, filled': [], 'box': [], 'point': [], 'scribble': []}
    for of_class in by_class.values():
        entry = of_class[args.index]
        mask = read_support(
            entry['img_path'], entry['seg_map_path'])['gt_seg_map'] == 1
        box = x1, y1, x2, y2 = bounding_box(mask)
        filled = np.zeros_like(mask)
        filled[y1:y2, x1:x2] = True
        ious['the box, filled'].append(foreground_iou(filled, mask))
        for hint in (dict(box=box), dict(point=centre(mask)),
                     dict(scribble=stroke(mask))):
            try:
                found = read_support(entry['img_path'], hint)['gt_seg_map'] == 1
            except ValueError as error:  # GrabCut finds nothing
                print(error)
                found = np.zeros_like(mask)
            ious[next(iter(hint))].append(foreground_iou(found, mask))
    print(f'| {len(by_class)} photos | mean IoU | median | least | below 50 |')
    print('|---|---|---|---|---|')
    for hint, values in ious.items():
        print(f'| {hint} | {np.mean(values):.1f} | {np.median(values):.1f} | '
              f'{min(values):.1f} | {sum(value < 50 for value in values)} |')


if __name__ == '__main__':
    main()
