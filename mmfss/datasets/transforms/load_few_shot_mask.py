import io
from typing import Optional

import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmfss.datasets.annotations import SupportAnnotation
from mmfss.datasets.annotations.image_files import colours, foreground
from mmfss.datasets.annotations.support_annotation import is_json
from mmfss.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadFewShotMask(BaseTransform):
    """Load a mask and reduce it to the episode's class: 0, 1, 255 (boundary).

    Required keys: ``img``, ``seg_map_path``, ``num_classes`` and
    ``class_value``, the mask's value for the class, or None for a binary mask
    where the values from ``foreground_from`` on are the class (optional; 1, so
    any colour but black, if absent). Of a palette, the indices are the values,
    but in the last case the colours. Where ``seg_map_path`` ends in ``.json``, it
    holds outlines, see :class:`SupportAnnotation`, which needs ``class_name`` and
    ``img_path``.

    Added keys: ``gt_seg_map`` (np.uint8, ``(H, W)``); ``ori_seg_map``, the same,
    which no transform touches; ``seg_fields``, which tells mmseg's transforms
    about the first.

    Args:
        backend_args (dict, optional): Arguments of mmengine's file backend.

    Raises:
        ValueError: The mask has another size than its image, is in colour
            where class values are expected, holds unknown values, or is not
            8-bit where ``foreground_from`` is; or the outlines cannot be used.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the mask of one image."""
        path, value = results['seg_map_path'], results['class_value']
        outlined, least = is_json(path), results.get('foreground_from', 1)
        if outlined:
            mask = SupportAnnotation(path, results['class_name']).mask(
                results['img'], results['img_path'])
        else:
            content = fileio.get(path, self.backend_args)
            with Image.open(io.BytesIO(content)) as image:
                by_colour = value is None and least == 1
                mask = colours(image) if by_colour else np.array(image)
        if mask.shape[:2] != results['img'].shape[:2]:
            raise ValueError(
                f'the mask has size {mask.shape[:2]} (height, width), the image '
                f'{results["img"].shape[:2]}. Replace one of them.')
        if value is None or outlined:
            label = foreground(mask, least)
        else:
            self._check_values(mask, results['num_classes'])
            label = (mask == value).astype(np.uint8)
            label[mask == 255] = 255
        results['gt_seg_map'] = results['ori_seg_map'] = label
        results['seg_fields'] = ['gt_seg_map']
        return results

    @staticmethod
    def _check_values(mask: np.ndarray, num_classes: int) -> None:
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise ValueError(
                f'the mask must be a palette or 8-bit grey PNG of class values, '
                f'not {mask.dtype} of shape {mask.shape}. Convert it.')
        present = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        unknown = [v for v in present.tolist() if num_classes < v < 255]
        if unknown:
            raise ValueError(
                f'the mask holds unknown values {unknown[:10]}; known are 0 '
                f'(background), 1 to {num_classes} and 255 (boundary). Check '
                'that it is the right folder of masks.')
