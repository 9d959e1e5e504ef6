from typing import List, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmfss.registry import MODELS


@MODELS.register_module()
class FewShotDataPreProcessor(BaseDataPreprocessor):
    """Batch episodes on the device and normalise their images.

    Args:
        mean (Sequence[float]): Per channel, on the scale 0 to 255.
        std (Sequence[float]): Per channel, on the scale 0 to 255.
        bgr_to_rgb (bool): Images come as BGR, the backbone wants RGB.
            Defaults to True.
        non_blocking (bool): Of the copy to the device. Defaults to False.
    """

    def __init__(self,
                 mean: Sequence[float] = (123.675, 116.28, 103.53),
                 std: Sequence[float] = (58.395, 57.12, 57.375),
                 bgr_to_rgb: bool = True,
                 non_blocking: bool = False) -> None:
        super().__init__(non_blocking=non_blocking)
        for name, values in (('mean', mean), ('std', std)):
            self.register_buffer(
                name, torch.tensor(values).view(-1, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb

    def forward(self, data: dict, training: bool = False) -> dict:
        """Turn a collated batch into the model's input.

        Args:
            data (dict): ``inputs`` with lists (one item per episode) of
                ``query`` ``(3, H, W)`` and ``support`` ``(K, 3, H, W)``, uint8,
                or of one of the two; and ``data_samples``, a list of
                :obj:`FewShotDataSample`.
            training (bool): Training and testing do the same here.

        Returns:
            dict: ``inputs`` with float32 ``query`` ``(B, 3, H, W)`` and
            ``support`` ``(B, K, 3, H, W)``; ``data_samples`` on the device.

        Raises:
            ValueError: The episodes of a batch differ in size or in K.
        """
        data = self.cast_data(data)
        inputs = {
            key: self._normalize(self._stack(images, key))
            for key, images in data['inputs'].items()
        }
        return dict(inputs=inputs, data_samples=data.get('data_samples'))

    @staticmethod
    def _stack(images: List[Tensor], key: str) -> Tensor:
        shapes = {tuple(i.shape) for i in images}
        if len(shapes) > 1:
            raise ValueError(
                f'The {key} images of a batch have different shapes '
                f'({sorted(shapes)}). Resize to a fixed scale in the pipeline, '
                'or set batch_size=1.')
        return torch.stack(tuple(images))

    def _normalize(self, images: Tensor) -> Tensor:
        if self.bgr_to_rgb:
            images = images.flip(-3)
        return (images.float() - self.mean) / self.std
