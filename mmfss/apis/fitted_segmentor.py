from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfss.models.layers import channels_last, kshot_vote
from mmfss.models.segmentors import HSNet


class FittedSegmentor(nn.Module):
    """An HSNet and the encoded supports of one class, as one plain network.

    It computes what :meth:`HSNet.predict` does, in a form that can be exported:
    images in, logits and mask out; a batch of any size in one go, without the
    loops and the memory reuse that make the model itself fast.

    Args:
        model (HSNet): The model; it is put into eval mode.
        supports (Sequence[list[list[Tensor]]]): Groups of supports, each of
            :meth:`HSNet.encode_support`.

    Raises:
        ValueError: The model is no HSNet.
    """

    def __init__(self, model: HSNet,
                 supports: Sequence[List[List[Tensor]]]) -> None:
        super().__init__()
        if not isinstance(model, HSNet):
            raise ValueError(
                f'Only HSNet can be exported, not {type(model).__name__}.')
        self.model = model
        # each support alone: the network then needs the memory of one
        self.supports = [[[x[k] for x in maps] for maps in levels]
                         for levels in supports for k in range(len(levels[0][0]))]
        self.eval()

    def forward(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        """Segment.

        Args:
            images (Tensor): RGB, 0 to 255, ``(B, H, W, 3)``, uint8.

        Returns:
            tuple: ``logits`` of background and foreground, float32,
            ``(B, 2, H, W)``, the mean of the K supports' logits; ``mask``,
            uint8, ``(B, H, W)``, 0 or 1, the supports' vote.
        """
        preprocessor = self.model.data_preprocessor
        x = images.permute(0, 3, 1, 2).float()
        if not preprocessor.bgr_to_rgb:  # the backbone wants BGR
            x = x.flip(1)
        x = (x - preprocessor.mean) / preprocessor.std
        query = self.model.neck.encode_query(self.model.taps(x))
        logits = torch.stack([
            F.interpolate(
                self._decode(query, support),
                images.shape[1:3],
                mode='bilinear',
                align_corners=True) for support in self.supports
        ], dim=1)
        mask = kshot_vote(logits[:, :, 1] > logits[:, :, 0])
        return logits.mean(dim=1), mask.to(torch.uint8)

    def _decode(self, query: List[List[Tensor]],
                support: List[List[Tensor]]) -> Tensor:
        """Logits of the queries with one support, ``(B, 2, h, w)``."""
        correlations = []
        for q_maps, s_maps in zip(query, support):
            level = torch.stack([
                q.flatten(2).transpose(1, 2) @ s.flatten(1)
                for q, s in zip(q_maps, s_maps)
            ], dim=-1).relu()  # (B, Hq * Wq, Hs * Ws, L)
            level = level.unflatten(2, s_maps[0].shape[1:]).unflatten(
                1, q_maps[0].shape[2:])
            correlations.append(channels_last(level.movedim(-1, 1)))
        return self.model.decode_head(self.model.neck.pyramid(correlations))
