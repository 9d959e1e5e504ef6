from typing import Optional

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import BaseTransform

from mmfss.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadFewShotMask(BaseTransform):
    """Load a mask and reduce it to the episode's class: 0, 1, 255 (boundary).

    Required keys: ``img``, ``seg_map_path``, ``num_classes`` and
    ``class_value``, the mask's value for the class, or None for a binary mask
    where the values from ``foreground_from`` on are the class (optional; 1, so
    any non-zero value, if absent).

    Added keys: ``gt_seg_map`` (np.uint8, ``(H, W)``); ``ori_seg_map``, the same,
    which no transform touches; ``seg_fields``, which tells mmseg's transforms
    about the first.

    Args:
        backend_args (dict, optional): Arguments of mmengine's file backend.

    Raises:
        ValueError: The mask has another size than its image, is in colour
            where class values are expected, holds unknown values, or is not
            8-bit where ``foreground_from`` is.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Load the mask of one image."""
        mask = mmcv.imfrombytes(
            fileio.get(results['seg_map_path'], self.backend_args),
            flag='unchanged',
            backend='pillow')
        if mask.shape[:2] != results['img'].shape[:2]:
            raise ValueError(
                f'the mask has size {mask.shape[:2]} (height, width), the image '
                f'{results["img"].shape[:2]}. Replace one of them.')
        if results['class_value'] is None:
            label = self.foreground(mask, results.get('foreground_from', 1))
        else:
            self._check_values(mask, results['num_classes'])
            label = (mask == results['class_value']).astype(np.uint8)
            label[mask == 255] = 255
        results['gt_seg_map'] = results['ori_seg_map'] = label
        results['seg_fields'] = ['gt_seg_map']
        return results

    @staticmethod
    def foreground(mask: np.ndarray, foreground_from: int = 1) -> np.ndarray:
        """Reduce a binary mask to 0 and 1.

        Args:
            mask (np.ndarray): ``(H, W)`` or ``(H, W, C)``; transparency, the
                last of 2 or 4 channels, is ignored.
            foreground_from (int): The least foreground value. Defaults to 1.

        Returns:
            np.ndarray: uint8, ``(H, W)``.
        """
        if mask.ndim == 3:
            colours = 3 if mask.shape[-1] >= 3 else 1  # the rest is alpha
            mask = mask[..., :colours].max(axis=-1)
        label = (mask >= foreground_from).astype(np.uint8)
        if foreground_from > 1 and (mask.dtype != np.uint8
                                    or (mask.any() and not label.any())):
            raise ValueError(
                f'the mask must be an 8-bit grey or RGB PNG whose values from '
                f'{foreground_from} on are the class; it is {mask.dtype}, its '
                f'greatest value is {mask.max()}. Convert it.')
        return label

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
