"""Images and masks from files, decoded in one way for all."""
import io
import os
import re
import warnings
from http.client import HTTPException
from typing import Union

import mmengine.fileio as fileio
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

ImageType = Union[str, os.PathLike, np.ndarray, Image.Image]


def read_bytes(path: Union[str, os.PathLike]) -> bytes:
    """The content of a file or URL.

    Raises:
        ValueError: It cannot be read or is empty.
    """
    try:
        content = fileio.get(path)
    except KeyError as error:  # no backend of mmengine has this prefix
        raise ValueError(
            f'{path} cannot be read: {error.args[0]}:// is unknown. Give a file or '
            'an http or https URL.') from error
    except (OSError, HTTPException, ImportError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ValueError(f'{path} cannot be read: {reason}.') from error
    if not content:
        raise ValueError(f'{path} is empty (0 bytes). Replace the file.')
    return content


def open_image(source: Union[str, os.PathLike, Image.Image]) -> Image.Image:
    """The decoded image, turned as its EXIF says.

    Raises:
        ValueError: It is no image, is damaged, or has colours of 16 bits (PNG,
            TIFF), of which Pillow would keep the upper 8 only.
    """
    if isinstance(source, Image.Image):
        return ImageOps.exif_transpose(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            'an image must be a path, a NumPy array or a PIL image, not '
            f'{type(source).__name__}.')
    content = read_bytes(source)
    try:
        with warnings.catch_warnings():
            # large photos are fine: they are made smaller anyway
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
            # as Pillow names what it has to unpack
            deep = image.mode[0] not in 'IF' and re.search(
                ';16[BLN]', str(image.tile))
            image = ImageOps.exif_transpose(image)
    except Exception as error:  # decoders raise anything for damaged files
        reason = ('of an unknown format' if isinstance(error, UnidentifiedImageError)
                  else str(error) or repr(error))
        raise ValueError(
            f'{source} is damaged or no image: {reason}. Replace the file.'
        ) from error
    if deep:
        raise ValueError(
            f'{source} has 16 bits per channel, of which only the upper 8 would be '
            'read. Save it with 8 bits per channel.')
    return image


def read_mask(source: ImageType) -> np.ndarray:
    """Read a mask: where any colour is not zero, the object is.

    A palette's entries are colours, too.

    Args:
        source: A path or URL, a PIL image, or an array of any type, ``(H, W)``
            or ``(H, W, C)``.

    Returns:
        np.ndarray: bool, ``(H, W)``.

    Raises:
        ValueError: It is no mask, or is damaged.
    """
    mask = source if isinstance(source, np.ndarray) else colours(
        open_image(source))
    if mask.ndim not in (2, 3) or not mask.size:
        raise ValueError(
            f'a mask array must be (H, W) or (H, W, C), not {mask.shape}.')
    return foreground(mask) == 1


def colours(image: Image.Image) -> np.ndarray:
    """An image's pixels, ``(H, W)`` or ``(H, W, C)``; those of a palette in RGBA.

    Which index of a palette is black is up to the program that saved it.
    """
    return np.array(image.convert('RGBA') if image.mode in ('P', 'PA') else image)


def foreground(mask: np.ndarray, foreground_from: int = 1) -> np.ndarray:
    """Reduce a binary mask to 0 and 1.

    Args:
        mask (np.ndarray): ``(H, W)`` or ``(H, W, C)``; transparency, the last of
            2 or 4 channels, is ignored.
        foreground_from (int): The least foreground value. Defaults to 1: all but
            zero and NaN, also fractions.

    Returns:
        np.ndarray: uint8, ``(H, W)``.

    Raises:
        ValueError: It is not 8-bit where ``foreground_from`` is more than 1, or
            all its values are between 0 and ``foreground_from``.
    """
    if mask.ndim == 3:
        colours = 3 if mask.shape[-1] >= 3 else 1  # the rest is alpha
        mask = mask[..., :colours].max(axis=-1)
    label = (np.nan_to_num(mask) != 0 if foreground_from == 1 else
             mask >= foreground_from).astype(np.uint8)
    if foreground_from > 1 and (mask.dtype != np.uint8
                                or (mask.any() and not label.any())):
        raise ValueError(
            f'the mask must be an 8-bit grey or RGB PNG whose values from '
            f'{foreground_from} on are the class; it is {mask.dtype}, its '
            f'greatest value is {mask.max()}. Convert it.')
    return label


def describe(source: ImageType) -> str:
    """An image's name for messages."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    if isinstance(source, Image.Image):
        return getattr(source, 'filename', '') or 'the PIL image'
    if isinstance(source, np.ndarray):
        return f'the array {source.shape}'
    return f'{source!r}'
