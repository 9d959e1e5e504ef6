import base64
import io
import math
from typing import Optional, Tuple

import numpy as np
from PIL import Image, ImageDraw


class LabelMeFile:
    """A photo's outlines, drawn with LabelMe.

    Polygons, rectangles, circles and masks; drawn with Pillow as LabelMe draws
    them, outline included.

    Args:
        content (dict): Of the JSON file.
        path (str): The file, for messages.

    Raises:
        ValueError: The file is no such file.
    """

    def __init__(self, content: dict, path: str) -> None:
        self.path = path
        self.shapes = content['shapes']
        if not isinstance(self.shapes, list) or not all(
                isinstance(s, dict) and isinstance(s.get('label'), str)
                and s.get('points') for s in self.shapes):
            raise ValueError(
                f'{path}: "shapes" must be a list of shapes, each with "label" '
                'and "points". Save it again with LabelMe.')
        size = content.get('imageWidth'), content.get('imageHeight')
        #: Width and height of the photo, where the file says it
        self.size: Optional[Tuple[int, int]] = size if all(size) else None

    def mask(self, class_name: str, size: Tuple[int, int]) -> np.ndarray:
        """Draw the shapes of a class: those of its label, or all if there is
        one label only.

        Args:
            class_name (str): The class.
            size (tuple[int, int]): Width and height, where the file has none.

        Returns:
            np.ndarray: bool, ``(H, W)``.

        Raises:
            ValueError: There is none, or it encloses nothing.
        """
        labels = sorted({shape['label'] for shape in self.shapes})
        if len(labels) == 1:
            class_name = labels[0]
        if class_name not in labels:
            raise ValueError(
                f'{self.path} has no shape labelled {class_name!r}. There are: '
                f'{", ".join(map(repr, labels)) or "none"}. Name the class as it '
                'is labelled.')
        image = Image.new('1', self.size or size)
        for shape in self.shapes:
            if shape['label'] == class_name:
                self._draw(image, shape)
        return np.array(image)

    def _draw(self, image: Image.Image, shape: dict) -> None:
        kind = shape.get('shape_type') or 'polygon'
        draw = ImageDraw.Draw(image)
        try:
            points = [(float(x), float(y)) for x, y in shape['points']]
            if kind == 'polygon' and len(points) > 2:
                draw.polygon(points, fill=1, outline=1)
            elif kind == 'rectangle' and len(points) in (2, 4):
                (x1, x2), (y1, y2) = (sorted((min(side), max(side)))
                                      for side in zip(*points))
                draw.rectangle((x1, y1, x2, y2), fill=1, outline=1)
            elif kind == 'circle' and len(points) == 2:
                (x, y), edge = points
                r = math.dist((x, y), edge)
                draw.ellipse((x - r, y - r, x + r, y + r), fill=1, outline=1)
            elif kind == 'mask' and len(points) == 2:
                with Image.open(io.BytesIO(base64.b64decode(shape['mask']))) as mask:
                    pixels = mask.convert('L').point(lambda v: 255 * (v > 0))
                image.paste(1, tuple(map(int, points[0])), pixels.convert('1'))
            else:
                raise ValueError('polygons (3 points or more), rectangles, circles '
                                 'and masks can be used')
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise ValueError(
                f'{self.path}: the shape {shape["label"]!r} of type {kind!r} with '
                f'{len(shape["points"])} point(s) cannot be used: {error}. Draw it '
                'again in LabelMe.') from error
