"""Images and masks from wherever they come, in the orientation as displayed."""
import glob
import io
import os
import os.path as osp
from typing import List, Sequence, Union

import mmengine.fileio as fileio
import numpy as np
from PIL import ExifTags, Image

from mmfss.datasets.annotations import AnnotationType, SupportAnnotation
from mmfss.datasets.annotations.image_files import ImageType, describe, open_image
from mmfss.datasets.folder_dataset import IMG_SUFFIXES, is_photo


def list_images(inputs: Union[ImageType, Sequence[ImageType]]) -> List[ImageType]:
    """Write out folders (not those inside them) and glob patterns.

    Args:
        inputs: A path, folder, glob pattern, array or PIL image, or several.

    Returns:
        list: Paths, each of one file, arrays and PIL images. A path that does
        not exist stays in it.

    Raises:
        ValueError: A folder cannot be read or has no image, a pattern fits
            none, or there is nothing at all.
    """
    if not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    sources = []
    for source in inputs:
        is_path = isinstance(source, (str, os.PathLike))
        sources += _expand(os.fspath(source)) if is_path else [source]
    if not sources:
        raise ValueError('There is no image to segment: the list is empty.')
    return sources


def _expand(path: str) -> List[str]:
    if osp.isdir(path):
        try:
            files = sorted(os.listdir(path))
        except OSError as error:
            raise ValueError(
                f'Cannot read the folder {path}: {error.strerror}. Check its '
                'permissions.') from error
        images = [osp.join(path, file) for file in files if is_photo(file)]
        if not images:
            raise ValueError(
                f'The folder {path} holds no image ({" ".join(IMG_SUFFIXES)}).')
        return images
    if glob.has_magic(path) and not osp.exists(path) and '://' not in path:
        files = sorted(filter(osp.isfile, glob.glob(path, recursive=True)))
        if not files:
            raise ValueError(f'No file fits the pattern {path}.')
        return files
    return [path]


def read_image(source: ImageType) -> np.ndarray:
    """Read an image.

    Grey, palette, CMYK and transparent images become BGR; transparency is
    ignored. A file or PIL image is turned as its EXIF says.

    Args:
        source: A path or URL, a PIL image, or an array: uint8, BGR
            ``(H, W, 3)``, BGRA ``(H, W, 4)`` or grey ``(H, W)``.

    Returns:
        np.ndarray: BGR, uint8, ``(H, W, 3)``.

    Raises:
        ValueError: It is no image, is damaged, or is not 8-bit.
    """
    if isinstance(source, np.ndarray):
        image = source[..., None] if source.ndim == 2 else source
        if (image.dtype != np.uint8 or image.ndim != 3 or not image.size
                or image.shape[2] not in (1, 3, 4)):
            raise ValueError(
                'an image array must be uint8, BGR (H, W, 3), BGRA (H, W, 4) or '
                f'grey (H, W); this one is {source.dtype} {source.shape}. '
                'Convert it.')
        if image.shape[2] == 1:
            image = image.repeat(3, axis=2)
        return np.ascontiguousarray(image[..., :3])
    image = open_image(source)
    if image.mode[0] in 'IF':  # I, I;16, F
        raise ValueError(
            f'{describe(source)} has 16 or 32 bits per pixel (Pillow mode '
            f'{image.mode}), and which values are black and white is unknown. '
            'Save it with 8 bits per channel.')
    return np.ascontiguousarray(np.asarray(image.convert('RGB'))[..., ::-1])


def read_support(image: ImageType,
                 annotation: AnnotationType,
                 class_name: str = 'object') -> dict:
    """Read an annotated image.

    Args:
        image: As of :func:`read_image`.
        annotation: As of :class:`SupportAnnotation`.
        class_name (str): Which label or category of a JSON file.

    Returns:
        dict: ``img``, ``gt_seg_map`` (uint8, ``(H, W)``) and ``img_path`` (the
        image's name), as the transforms want them.

    Raises:
        ImportError: pycocotools, needed for a file of COCO, is missing.
        ValueError: The mask does not fit the image, is empty, or covers it all.
    """
    img = read_image(image)
    annotation = SupportAnnotation(annotation, class_name)
    name = describe(image)
    what = f'{name} with {annotation}'
    is_file = isinstance(image, (str, os.PathLike, Image.Image))
    try:
        seg_map = annotation.mask(img, name if is_file else '')
    except ValueError as error:
        raise ValueError(f'{what}: {error}') from error
    size, mask_size = img.shape[1::-1], seg_map.shape[::-1]
    if size != mask_size:
        hint = 'Use the mask that was drawn on this image.'
        if size == mask_size[::-1] and _is_turned(image):
            hint = ('The photo is stored lying and displayed upright (EXIF), and '
                    'the mask fits it as stored: turn the mask.')
        raise ValueError(
            f'{what}: the mask is {mask_size} (width, height), the image {size}. '
            f'{hint}')
    if not seg_map.any():
        raise ValueError(
            f'{what}: the mask is empty (all zero, or the object is only in its '
            'alpha channel, or outlined outside of the photo). Paint or outline '
            'the object; in a mask image, in a colour other than black.')
    if seg_map.all():
        raise ValueError(
            f'{what}: the mask is foreground everywhere; some background is '
            'needed, which in a mask image is exactly 0. A JPEG is no mask (its '
            'black is noisy): save it as PNG.')
    return dict(img=img, gt_seg_map=seg_map.astype(np.uint8), img_path=name)


def _is_turned(source: ImageType) -> bool:
    if isinstance(source, (str, os.PathLike)):
        with Image.open(io.BytesIO(fileio.get(source))) as image:
            return _is_turned(image)
    return (isinstance(source, Image.Image)
            and source.getexif().get(ExifTags.Base.Orientation, 1) > 4)
