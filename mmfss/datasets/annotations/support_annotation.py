import os
from typing import Any, Union

import cv2
import numpy as np

from .grab_cut import grab_cut
from .image_files import ImageType, describe, read_mask
from .json_file import read_json
from .labelme_file import LabelMeFile

AnnotationType = Union[ImageType, dict]
HINTS = ('box', 'point', 'scribble')
STROKE = 0.02  # of the photo's shorter side


class SupportAnnotation:
    """What says where in a photo the object is.

    Args:
        source: One of

            - a mask image (path, array or PIL image): not black is the object;
            - a path that ends in ``.json``: outlines of LabelMe (polygon,
              rectangle, circle, mask), or an instances file of COCO, where the
              photo is found by its ``file_name``;
            - ``dict(box=(x1, y1, x2, y2))``: the object is inside; x2 and y2 are
              the first pixels beyond;
            - ``dict(point=(x, y))``: it is there;
            - ``dict(scribble=...)``: it is under these strokes, an image (not
              black is a stroke), a list of points ``(x, y)`` that one stroke
              joins, or a list of several such lists. They are drawn 2 % of the
              photo's shorter side wide; so is a point.

            Box, point and scribble are made into a mask by :func:`grab_cut`;
            ``background=...``, strokes like a scribble, may stand beside them
            and says where the object is not.

            Coordinates are pixels of the photo, (0, 0) is its top left corner.
        class_name (str): Which label of a LabelMe file that has several, which
            category of COCO. Defaults to 'object'.

    Raises:
        ValueError: The dict has other keys.

    Example:
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> image[10:30, 20:40] = (0, 0, 255)
        >>> mask = SupportAnnotation(dict(box=(15, 5, 45, 35))).mask(image)
        >>> mask.shape, int(mask.sum()), bool(mask[10:30, 20:40].all())
        ((40, 60), 400, True)
    """

    def __init__(self, source: AnnotationType, class_name: str = 'object') -> None:
        if isinstance(source, dict):
            hints = [key for key in HINTS if key in source]
            if len(hints) != 1 or set(source) - {*HINTS, 'background'}:
                raise ValueError(
                    f'an annotation has one of {", ".join(HINTS)}, and '
                    f'background if you like; not {", ".join(source) or "none"}. '
                    'E.g. dict(box=(x1, y1, x2, y2)).')
        self.source = source
        self.class_name = class_name

    def mask(self, image: np.ndarray, img_path: str = '') -> np.ndarray:
        """Where the object is.

        Args:
            image (np.ndarray): The photo, BGR, uint8, ``(H, W, 3)``.
            img_path (str): Its path, by which it is found in a file of COCO.

        Returns:
            np.ndarray: bool, ``(H, W)``; of a mask image or JSON: the size that
            it has or states itself, which the caller compares with the photo's.

        Raises:
            ImportError: pycocotools, needed for a file of COCO, is missing.
            ValueError: It cannot be used, or GrabCut finds nothing.
        """
        if isinstance(self.source, dict):
            return self._from_hints(image)
        if not is_json(self.source):
            return read_mask(self.source)
        file = read_json(os.fspath(self.source))
        if isinstance(file, LabelMeFile):
            return file.mask(self.class_name, image.shape[1::-1])
        return file.mask(self.class_name, img_path)

    def __str__(self) -> str:
        """For messages."""
        if not isinstance(self.source, dict):
            return f'mask {describe(self.source)}'
        return ', '.join(
            key if isinstance(value, np.ndarray) else f'{key} {value}'
            for key, value in self.source.items())

    def _from_hints(self, image: np.ndarray) -> np.ndarray:
        hints = self.source
        box = marks = background = None
        if 'box' in hints:
            box = _box(hints['box'], image)
        elif 'point' in hints:
            marks = _strokes([hints['point']], image, 'point')
        else:
            marks = _strokes(hints['scribble'], image, 'scribble')
        if hints.get('background') is not None:
            background = _strokes(hints['background'], image, 'background')
        mask = grab_cut(image, box, marks, background)
        if not mask.any():
            raise ValueError(
                f'GrabCut finds no object in the box {tuple(box)}: its colours '
                'are those of its surroundings. Draw the box closer around it, or '
                'give a scribble with background strokes, or paint a mask.')
        return mask


def is_json(source: Any) -> bool:
    """Whether an annotation is outlines in a JSON file."""
    return (isinstance(source, (str, os.PathLike))
            and os.fspath(source).lower().endswith('.json'))


def _numbers(value: Any, shape: tuple, what: str, form: str) -> np.ndarray:
    try:
        numbers = np.array(value, float)
    except (TypeError, ValueError):
        numbers = None
    if (numbers is None or numbers.ndim != len(shape) or not numbers.size
            or shape[-1] != numbers.shape[-1] or not np.isfinite(numbers).all()):
        raise ValueError(f'the {what} must be {form} in pixels, not {value!r}.')
    return numbers


def _box(value: Any, image: np.ndarray) -> np.ndarray:
    box = _numbers(value, (4, ), 'box', '(x1, y1, x2, y2)')
    (x1, y1, x2, y2), (height, width) = box, image.shape[:2]
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(
            f'the box {value} is not inside the photo, {width} x {height} '
            '(width x height), or not (x1, y1, x2, y2) with x1 < x2, y1 < y2.')
    if (x2 - x1) * (y2 - y1) == height * width:
        raise ValueError(
            f'the box {value} is the whole photo, {width} x {height}: nothing is '
            'left as background. Draw it around the object.')
    return box


def _strokes(value: Any, image: np.ndarray, what: str) -> np.ndarray:
    """Draw strokes, or read an image of them: bool, ``(H, W)``."""
    height, width = image.shape[:2]
    if not isinstance(value, (list, tuple)):
        strokes = read_mask(value)
        if strokes.shape != (height, width) or not strokes.any():
            raise ValueError(
                f'the {what} {describe(value)} must be an image of the photo\'s '
                f'size, {width} x {height} (width x height), with strokes that '
                f'are not black; it is {strokes.shape[1]} x {strokes.shape[0]}'
                f'{"" if strokes.any() else " and all black"}.')
        return strokes
    several = bool(value) and np.ndim(value[0]) == 2
    drawn = np.zeros((height, width), np.uint8)
    thickness = max(1, round(STROKE * min(height, width)))
    form = '(x, y)' if what == 'point' else 'a list of points (x, y)'
    for stroke in value if several else [value]:
        points = _numbers(stroke, (0, 2), what, form)
        outside = [
            f'({x:g}, {y:g})' for x, y in points
            if not (0 <= x < width and 0 <= y < height)
        ]
        if outside:
            raise ValueError(
                f'the {what} has {", ".join(outside)}, which is not inside the '
                f'photo, {width} x {height} (width x height).')
        pixels = np.int32(points)
        cv2.polylines(drawn, [pixels], False, 1, thickness)
        for pixel in pixels.tolist():  # a line of one point has no pixel
            cv2.circle(drawn, pixel, thickness // 2, 1, cv2.FILLED)
    return drawn == 1
