from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def mask_features(features: Sequence[Tensor], masks: Tensor) -> List[Tensor]:
    """Zero the background of support features (HSNet, section 4.1).

    Args:
        features (Sequence[Tensor]): Maps of one level, each ``(N, C, h, w)``.
        masks (Tensor): 1 on the object, else 0; ``(N, H, W)``, any dtype. They
            are resized to the maps bilinearly with aligned corners.

    Returns:
        list[Tensor]: The masked maps.
    """
    masks = F.interpolate(
        masks[:, None].to(features[0].dtype),
        features[0].shape[-2:],
        mode='bilinear',
        align_corners=True)
    return [feature * masks for feature in features]


def hypercorrelation(query: Sequence[Tensor],
                     support: Sequence[Tensor],
                     eps: float = 1e-5) -> Tensor:
    """Correlate every query position with every support position.

    ``relu((q / (|q| + eps)) . (s / (|s| + eps)))`` per pair of maps (HSNet,
    section 4.1), the maps stacked as channels.

    Args:
        query (Sequence[Tensor]): L maps of one level, each ``(B, C, Hq, Wq)``.
        support (Sequence[Tensor]): The same L maps of the supports, each
            ``(B * K, C, Hs, Ws)``, the K supports of an episode together.
        eps (float): Added to the norms. Defaults to 1e-5.

    Returns:
        Tensor: ``(B * K, L, Hq, Wq, Hs, Ws)``, from 0 to 1.
    """
    grids = (*query[0].shape[-2:], *support[0].shape[-2:])
    correlations = []
    for q, s in zip(query, support):
        q = _normalized(q.flatten(2), eps)
        s = _normalized(s.flatten(2), eps).unflatten(0, (len(q), -1))
        correlations.append(q.transpose(1, 2)[:, None] @ s)  # (B, K, Nq, Ns)
    stacked = torch.stack(correlations, dim=2).clamp_(min=0)
    return stacked.view(-1, len(correlations), *grids)


def _normalized(x: Tensor, eps: float) -> Tensor:
    return x / (x.norm(dim=1, keepdim=True) + eps)
