from mmseg.structures import SegDataSample
from torch import Tensor


class FewShotDataSample(SegDataSample):
    """A query's annotation and prediction, with its support set's masks.

    In addition to the fields of :class:`mmseg.structures.SegDataSample`
    (``gt_sem_seg``, ``pred_sem_seg``, ``seg_logits``; labels are 0, 1 and
    255 = left out of the IoU):

    - ``support_masks`` (Tensor): uint8, ``(K, H, W)``, the same labels.

    Example:
        >>> import torch
        >>> from mmfss.structures import FewShotDataSample
        >>> sample = FewShotDataSample(metainfo=dict(class_name='teapot'))
        >>> sample.support_masks = torch.zeros(5, 40, 40, dtype=torch.uint8)
        >>> sample.shot
        5
    """

    @property
    def support_masks(self) -> Tensor:
        return self._support_masks

    @support_masks.setter
    def support_masks(self, value: Tensor) -> None:
        self.set_field(value, '_support_masks', dtype=Tensor)

    @support_masks.deleter
    def support_masks(self) -> None:
        del self._support_masks

    @property
    def shot(self) -> int:
        """int: Number of supports, K."""
        return len(self.support_masks)
