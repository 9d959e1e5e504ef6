"""A rough hint, made into a mask by OpenCV's GrabCut."""
from typing import Optional, Tuple

import cv2
import numpy as np

ITERATIONS = 5
SIDE = 512  # pixels; GrabCut takes seconds and more for larger images
CORE = 0.1  # of a box's sides: what must be the object
NEAR = 0.15  # of the shorter side: how far the object may reach from a mark
FRAME = 0.01  # of the shorter side: what must be background without a box


def grab_cut(image: np.ndarray,
             box: Optional[Tuple[float, float, float, float]] = None,
             marks: Optional[np.ndarray] = None,
             background: Optional[np.ndarray] = None) -> np.ndarray:
    """Find the object that a box holds or that marks lie on.

    GrabCut (Rother et al., SIGGRAPH 2004) learns the colours of object and
    background from what is surely or probably one of them:

    - **box**: outside it is surely background, inside probably the object; an
      ellipse in its centre, of a tenth of its width and height, surely. The
      photo is cut to the box and half its size around.
    - **marks**: surely the object; probably what is within 15 % of the photo's
      shorter side of them. The rest is probably background, the photo's frame
      (1 % of the shorter side) surely.
    - **background**: surely background.

    Five iterations, on the image shrunk to 512 pixels on its longer side. The
    random numbers of GrabCut's start are seeded: the same input gives the same
    mask.

    Args:
        image (np.ndarray): BGR, uint8, ``(H, W, 3)``.
        box (tuple[float], optional): ``(x1, y1, x2, y2)`` in pixels.
        marks (np.ndarray, optional): Pixels of the object, bool, ``(H, W)``;
            needed without a box.
        background (np.ndarray, optional): Pixels that are not the object, bool,
            ``(H, W)``.

    Returns:
        np.ndarray: bool, ``(H, W)``; nothing where GrabCut found no more than
        the centre of the box.

    Raises:
        ValueError: There is no pixel of background to learn from.
    """
    height, width = image.shape[:2]
    window = np.s_[:, :]
    if box is not None:
        window, box = _surroundings(box, width, height)
    part = image[window]
    scale = min(1, SIDE / max(part.shape[:2]))
    size = [max(1, round(side * scale)) for side in part.shape[1::-1]]
    marks, background = (
        _shrink(pixels[window], size) if pixels is not None else None
        for pixels in (marks, background))
    if box is not None:
        labels, sure = _from_box([side * scale for side in box], size)
    else:
        labels, sure = _from_marks(marks), marks
    if background is not None:
        labels[background] = cv2.GC_BGD
    if not np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        raise ValueError('nothing is left as background, whose colours GrabCut '
                         'must know. Mark less as the object.')
    if not np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        raise ValueError('the background strokes cover the object. Mark less as '
                         'background.')
    cv2.setRNGSeed(0)
    cv2.grabCut(
        cv2.resize(part, size, interpolation=cv2.INTER_AREA), labels, None,
        np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    mask = np.zeros((height, width), bool)
    if box is None or (found & ~sure).any():
        mask[window] = cv2.resize(
            found.astype(np.float32), part.shape[1::-1]) >= 0.5
    return mask


def _surroundings(box: tuple, width: int, height: int) -> tuple:
    """Half the box's size around it, as slices, and the box therein."""
    x1, y1, x2, y2 = box
    left, right = (int(np.clip(x, 0, width))
                   for x in (x1 - (x2 - x1) / 2, np.ceil(x2 + (x2 - x1) / 2)))
    top, bottom = (int(np.clip(y, 0, height))
                   for y in (y1 - (y2 - y1) / 2, np.ceil(y2 + (y2 - y1) / 2)))
    inside = (x1 - left, y1 - top, x2 - left, y2 - top)
    return np.s_[top:bottom, left:right], inside


def _shrink(pixels: np.ndarray, size: list) -> np.ndarray:
    """Thin strokes must not vanish: a part of a pixel counts as all of it."""
    return cv2.resize(
        pixels.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0


def _from_box(box: list, size: list) -> Tuple[np.ndarray, np.ndarray]:
    x1, y1, x2, y2 = box
    labels = np.full(size[::-1], cv2.GC_BGD, np.uint8)
    labels[round(y1):max(round(y2), round(y1) + 1),
           round(x1):max(round(x2), round(x1) + 1)] = cv2.GC_PR_FGD
    core = np.zeros(size[::-1], np.uint8)
    centre = (int((x1 + x2) / 2), int((y1 + y2) / 2))
    axes = (int((x2 - x1) * CORE / 2), int((y2 - y1) * CORE / 2))
    cv2.ellipse(core, centre, axes, 0, 0, 360, 1, cv2.FILLED)
    labels[core == 1] = cv2.GC_FGD
    return labels, core == 1


def _from_marks(marks: np.ndarray) -> np.ndarray:
    shorter = min(marks.shape)
    distance = cv2.distanceTransform(
        (~marks).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    labels = np.where(distance <= NEAR * shorter, cv2.GC_PR_FGD,
                      cv2.GC_PR_BGD).astype(np.uint8)
    frame = max(1, round(FRAME * shorter))
    labels[:frame] = labels[-frame:] = cv2.GC_BGD
    labels[:, :frame] = labels[:, -frame:] = cv2.GC_BGD
    labels[marks] = cv2.GC_FGD
    return labels
