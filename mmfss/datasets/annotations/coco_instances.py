import contextlib
import difflib
import io
import os.path as osp
from collections import defaultdict
from typing import Dict, List, Tuple

import numpy as np


class CocoInstances:
    """The outlines of many photos' objects in one file, COCO's instances JSON.

    Crowds (``iscrowd=1``) are left out: their outlines are rough, and COCO's own
    evaluation does not count them as objects.

    Args:
        content (dict): Of the JSON file.
        path (str): The file, for messages.

    Raises:
        ImportError: pycocotools is not installed.
        ValueError: The file is no such file.
    """

    def __init__(self, content: dict, path: str) -> None:
        try:
            from pycocotools.coco import COCO
        except ImportError as error:
            raise ImportError(
                f'{path} is a COCO file, and pycocotools, which reads it, is '
                'missing: pip install pycocotools') from error
        self.path = path
        self._coco = COCO()
        self._coco.dataset = content
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it chats
                self._coco.createIndex()
            self._categories = {
                c['name']: c['id'] for c in content['categories']
            }
            self._by_name: Dict[str, List[dict]] = defaultdict(list)
            for image in content['images']:
                self.size(image)
                self._by_name[osp.basename(image['file_name'])].append(image)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f'{path} is no instances file of COCO: {error!r} on reading its '
                'images, categories and annotations. Export it again.') from error

    @property
    def classes(self) -> Tuple[str, ...]:
        """tuple[str]: The categories' names, in ascending order of their ids."""
        return tuple(sorted(self._categories, key=self._categories.get))

    def images_of(self, class_name: str) -> List[dict]:
        """The images that show a class, in ascending order of their ids.

        Returns:
            list[dict]: COCO's, with ``file_name``.

        Raises:
            KeyError: There is no such category.
            ValueError: An annotation is of an image that the file does not list.
        """
        ids = sorted({
            a['image_id']
            for a in self._coco.dataset['annotations']
            if a['category_id'] == self._categories[class_name]
            and not a.get('iscrowd')
        })
        unknown = [i for i in ids if i not in self._coco.imgs]
        if unknown:
            raise ValueError(
                f'{self.path}: annotations of {class_name!r} name image ids that '
                f'"images" does not list: {unknown[:5]}. Export it again.')
        return [self._coco.imgs[i] for i in ids]

    @staticmethod
    def size(image: dict) -> Tuple[int, int]:
        """Width and height of an image."""
        return int(image['width']), int(image['height'])

    def mask(self, class_name: str, img_path: str = '') -> np.ndarray:
        """Draw all objects of a class.

        Args:
            class_name (str): The category's name; of any name, if the file has
                one category only.
            img_path (str): The photo, whose path ends with the ``file_name``; not
                needed if the file has one image only.

        Returns:
            np.ndarray: bool, ``(H, W)``, of the size that the file states.

        Raises:
            ValueError: There is no such image or category, or no object, or its
                segmentation is damaged.
        """
        image = self.find_image(img_path)
        if len(self._categories) == 1:
            class_name, = self._categories
        if class_name not in self._categories:
            near = difflib.get_close_matches(class_name, self._categories)
            raise ValueError(
                f'{self.path} has no category {class_name!r}. There are: '
                f'{", ".join(near or list(self.classes)[:20])}. Name the class as '
                'the category.')
        category = self._categories[class_name]
        objects = [a for a in self._coco.imgToAnns[image['id']]
                   if a['category_id'] == category and not a.get('iscrowd')]
        if not objects:
            raise ValueError(f'{self.path} outlines no {class_name!r} in '
                             f'{image["file_name"]}.')
        size = self.size(image)
        mask = np.zeros(size[::-1], bool)
        for item in objects:
            try:
                mask |= decode(item['segmentation'], size)
            except Exception as error:  # pycocotools raises a bare one, too
                raise ValueError(
                    f'{self.path}: the segmentation of annotation '
                    f'{item.get("id")} ({image["file_name"]}) cannot be drawn: '
                    f'{error}. Export it again.') from error
        return mask

    def find_image(self, img_path: str) -> dict:
        """The file's entry of a photo: the longest ``file_name`` that fits.

        Raises:
            ValueError: There is none, or several fit alike.
        """
        images = self._coco.dataset['images']
        if not img_path:
            if len(images) == 1:
                return images[0]
            raise ValueError(
                f'{self.path} has {len(images)} images: give the photo as a path, '
                'so that it is known which of them it is.')
        path = img_path.replace('\\', '/')
        found = [i for i in self._by_name.get(path.rpartition('/')[2], [])
                 if f'/{path}'.endswith(f'/{i["file_name"]}')]
        longest = max((len(i['file_name']) for i in found), default=0)
        found = [i for i in found if len(i['file_name']) == longest]
        if len(found) != 1:
            raise ValueError(
                f'{self.path} has {len(found) or "no"} image(s) whose "file_name" '
                f'is the end of {img_path}.')
        return found[0]


def decode(segmentation, size: Tuple[int, int],
           first_only: bool = False) -> np.ndarray:
    """Decode polygons or a run-length encoding.

    Args:
        segmentation (list | dict): COCO's.
        size (tuple[int, int]): Width and height of the image.
        first_only (bool): Draw only the first of several polygons. Defaults to
            False.

    Returns:
        np.ndarray: The object's pixels, bool, ``(H, W)``.

    Raises:
        ValueError: It fits neither form, or another size.
    """
    import pycocotools.mask as mask_api
    width, height = size
    if isinstance(segmentation, list):
        polygons = segmentation[:1] if first_only else segmentation
        # pycocotools takes four numbers for a box, and drops an odd one
        if not polygons or any(len(p) < 6 or len(p) % 2 for p in polygons):
            raise ValueError('a polygon needs x and y of three points or more')
        rle = mask_api.merge(mask_api.frPyObjects(polygons, height, width))
    else:
        rle = segmentation
        if list(rle['size']) != [height, width]:
            raise ValueError(
                f'its size (height, width) is {rle["size"]}, not '
                f'{[height, width]}')
        if isinstance(rle['counts'], list):
            # pycocotools would leave the rest of the mask to chance
            if sum(rle['counts']) != height * width:
                raise ValueError('its counts do not add up to the image')
            rle = mask_api.frPyObjects(rle, height, width)
    return mask_api.decode(rle).astype(bool)
