from typing import Tuple, Union

import numpy as np
from mmcv.transforms import Resize

from mmfss.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeFewShot(Resize):
    """Resize an image and its mask as the published protocol does.

    The image: Pillow's bilinear filter, which smooths when it shrinks (OpenCV's
    does not). The mask: nearest neighbour with the source index computed in
    float32, ``min(floor(float32(i) * float32(in / out)), in - 1)``; the
    nearest filters of OpenCV, Pillow and mmcv differ from it for some sizes.

    Args:
        scale (int | tuple[int, int]): Target ``(width, height)``.
        keep_ratio (bool): Keep the aspect ratio. Defaults to False: squash, as
            published.
    """

    def __init__(self,
                 scale: Union[int, Tuple[int, int]],
                 keep_ratio: bool = False) -> None:
        super().__init__(
            scale=scale,
            keep_ratio=keep_ratio,
            backend='pillow',
            interpolation='bilinear')

    def _resize_seg(self, results: dict) -> None:
        """Resize the mask, if there is one, to the image's new size."""
        mask = results.get('gt_seg_map')
        if mask is None:
            return
        rows, columns = (
            nearest_index(*sizes)
            for sizes in zip(mask.shape, results['img_shape']))
        results['gt_seg_map'] = mask[rows[:, None], columns]


def nearest_index(size_in: int, size_out: int) -> np.ndarray:
    """Source index of each target position, ``(size_out,)`` int64."""
    step = np.float32(size_in / size_out)
    index = np.floor(np.arange(size_out, dtype=np.float32) * step)
    return np.minimum(index.astype(np.int64), size_in - 1)
