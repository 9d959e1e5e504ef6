from typing import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import PixelData

from mmfss.registry import TRANSFORMS
from mmfss.structures import FewShotDataSample


@TRANSFORMS.register_module()
class PackFewShotInputs(BaseTransform):
    """Pack a loaded episode for the model.

    Returns a dict with

    - ``inputs``: ``query`` (uint8, ``(3, H, W)``) and ``support`` (uint8,
      ``(K, 3, H, W)``), BGR as everywhere in OpenMMLab;
    - ``data_samples``: a :class:`FewShotDataSample` with ``gt_sem_seg`` (at the
      size on disk where the protocol compares there) and ``support_masks``.

    Args:
        meta_keys (Sequence[str]): Keys of the query that become metainfo, as
            far as they are there.

    Raises:
        ValueError: The supports have different sizes.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = ('img_path', 'seg_map_path', 'ori_shape',
                                    'img_shape', 'scale_factor')
    ) -> None:
        self.meta_keys = meta_keys

    def transform(self, results: dict) -> dict:
        """Pack one episode."""
        query, supports = results['query'], results['supports']
        shapes = {s['img'].shape for s in supports}
        if len(shapes) > 1:
            raise ValueError(
                'the supports of an episode have different sizes '
                f'({sorted(shapes)}): resize to a fixed scale in the pipeline.')
        sample = FewShotDataSample(
            metainfo=dict(
                class_id=results['class_id'],
                class_name=results['class_name'],
                sample_idx=results['sample_idx'],
                seed=results['seed'],
                query=query['name'],
                supports=[s['name'] for s in supports],
                support_img_paths=[s['img_path'] for s in supports],
                support_ori_shapes=[s['ori_shape'] for s in supports],
                **{k: query[k]
                   for k in self.meta_keys if k in query}))
        label = query[
            'ori_seg_map' if results['original_size'] else 'gt_seg_map']
        sample.gt_sem_seg = PixelData(
            data=torch.from_numpy(label[None].astype(np.int64)))
        sample.support_masks = torch.from_numpy(
            np.stack([s['gt_seg_map'] for s in supports]))
        inputs = dict(
            query=to_tensor(query['img']),
            support=torch.stack([to_tensor(s['img']) for s in supports]))
        return dict(inputs=inputs, data_samples=sample)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(meta_keys={self.meta_keys})'


def to_tensor(img: np.ndarray) -> torch.Tensor:
    """``(H, W, 3)`` array to a contiguous ``(3, H, W)`` tensor."""
    return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1)))
