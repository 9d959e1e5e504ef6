import itertools
import json
import os
import os.path as osp
from typing import List, Sequence

import numpy as np
from mmengine.logging import print_log
from mmseg.utils import get_palette
from PIL import Image

from mmfss.utils import replacing

try:
    from pycocotools import mask as coco_mask
except ImportError:
    coco_mask = None


class ResultWriter:
    """Writes predictions below a folder, each file whole or not at all.

    - ``pred/<name>.png``: the mask, a palette PNG whose values are the classes;
    - ``vis/<name>.jpg``: the picture;
    - ``predictions.json``: all of them as a COCO data set with RLE masks, if
      pycocotools is installed.

    Images of the same name get ``_2`` and so on behind it.

    Args:
        out_dir (str): The folder; it is made if needed.
        classes (Sequence[str]): Names; the first has index 1.
    """

    def __init__(self, out_dir: str, classes: Sequence[str]) -> None:
        self.out_dir = out_dir
        self.classes = classes
        self._taken = set()
        self._images: List[dict] = []
        self._annotations: List[dict] = []
        os.makedirs(out_dir, exist_ok=True)

    def write(self, prediction: dict, picture: np.ndarray) -> None:
        """Write a prediction; adds ``pred_path`` and ``vis_path`` to it.

        Args:
            prediction (dict): With ``name``, ``mask``, ``scores`` and
                ``presence``.
            picture (np.ndarray): RGB, uint8.
        """
        stem = self._free(osp.splitext(osp.basename(prediction['name']))[0])
        mask = Image.fromarray(prediction['mask'], 'P')
        mask.putpalette(sum(([0, 0, 0], *palette(len(self.classes))), []))
        for key, folder, image, kind in (
            ('pred_path', 'pred', mask, 'png'),
            ('vis_path', 'vis', Image.fromarray(picture), 'jpg')):
            path = osp.join(self.out_dir, folder, f'{stem}.{kind}')
            with replacing(path) as temporary:
                image.save(temporary, 'PNG' if kind == 'png' else 'JPEG')
            prediction[key] = path
        self._note(prediction)

    def finish(self) -> None:
        """Write ``predictions.json``."""
        path = osp.join(self.out_dir, 'predictions.json')
        if coco_mask is None:
            print_log(
                f'{path} is not written: it needs pycocotools (pip install '
                'pycocotools).', logger='current')
            return
        with replacing(path) as temporary, open(temporary, 'w') as file:
            json.dump(
                dict(
                    categories=[
                        dict(id=n, name=name)
                        for n, name in enumerate(self.classes, 1)
                    ],
                    images=self._images,
                    annotations=self._annotations), file)

    def _free(self, stem: str) -> str:
        names = itertools.chain([stem], (f'{stem}_{n}' for n in itertools.count(2)))
        name = next(n for n in names if n.lower() not in self._taken)
        self._taken.add(name.lower())
        return name

    def _note(self, prediction: dict) -> None:
        if coco_mask is None:
            return
        mask, image_id = prediction['mask'], len(self._images) + 1
        self._images.append(
            dict(
                id=image_id,
                file_name=prediction['name'],
                height=mask.shape[0],
                width=mask.shape[1],
                presence=prediction['presence']))
        for index, name in enumerate(self.classes, 1):
            if not (mask == index).any():
                continue
            rle = coco_mask.encode(np.asfortranarray(mask == index, np.uint8))
            area, box = coco_mask.area(rle), coco_mask.toBbox(rle)
            self._annotations.append(
                dict(
                    id=len(self._annotations) + 1,
                    image_id=image_id,
                    category_id=index,
                    segmentation=dict(
                        size=rle['size'], counts=rle['counts'].decode()),
                    area=int(area),
                    bbox=box.tolist(),
                    iscrowd=0,
                    score=prediction['scores'][name]))


def palette(num_classes: int) -> List[List[int]]:
    """RGB colours of classes, ``(num_classes, 3)``; distinct for the first 20."""
    colours = get_palette('voc')[1:] + get_palette('ade')
    return list(itertools.islice(itertools.cycle(colours), num_classes))
