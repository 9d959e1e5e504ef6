from typing import List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import channels_last


def unit_features(features: Sequence[Tensor],
                  masks: Optional[Tensor] = None,
                  eps: float = 1e-5) -> List[Tensor]:
    """Divide the feature vector of each position by its length.

    In float32 also under autocast, because the squares of a backbone's features
    exceed what float16 holds; the quotients, at most 1, get autocast's type.

    Args:
        features (Sequence[Tensor]): Maps of one level, each ``(N, C, h, w)``.
        masks (Tensor, optional): Multiply the features by them first, to zero
            the background of supports (HSNet, section 4.1). 1 on the object,
            else 0; ``(N, H, W)``, any dtype. They are resized to the maps
            bilinearly with aligned corners.
        eps (float): Added to the lengths. Defaults to 1e-5.

    Returns:
        list[Tensor]: Each ``(N, C, h, w)``, channels last in memory; float32,
        or autocast's type under it.
    """
    device = features[0].device.type
    dtype = torch.float32
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    if masks is not None:
        masks = F.interpolate(
            masks[:, None].float(),
            features[0].shape[-2:],
            mode='bilinear',
            align_corners=True)
    units = []
    for x in features:
        x = channels_last(x.float())
        length = x.norm(dim=1, keepdim=True)
        # so that the maps are read twice only
        scale = 1 / (length + eps) if masks is None else masks / (
            length * masks + eps)
        units.append((x * scale).to(dtype))
    return units


def hypercorrelation(query: Sequence[Tensor],
                     support: Sequence[Tensor]) -> Tensor:
    """Correlate every query position with every support position.

    The cosine similarity, clamped at 0, per pair of maps (HSNet, section 4.1);
    the maps are stacked as channels.

    Args:
        query (Sequence[Tensor]): L maps of one level, each ``(N, C, Hq, Wq)``,
            of unit vectors (:func:`unit_features`).
        support (Sequence[Tensor]): The same L maps of the supports, one for
            each query, ``(N, C, Hs, Ws)``.

    Returns:
        Tensor: ``(N, L, Hq, Wq, Hs, Ws)``, from 0 to 1, of the maps' type.

    Raises:
        ValueError: There are more or fewer supports than queries.
    """
    check_pairs(query, support)
    grids = (*query[0].shape[-2:], *support[0].shape[-2:])
    query = [channels_last(q).flatten(2).mT for q in query]
    support = [channels_last(s).flatten(2) for s in support]
    pairs = list(zip(query, support))
    if any(x.requires_grad for x in (*query, *support)):
        correlations = torch.stack([q @ s for q, s in pairs], dim=2)
    else:  # without a copy, in the order in which a convolution reads it
        (q, s), *_ = pairs
        correlations = q.new_empty(*q.shape[:2], len(pairs), s.shape[2])
        for (q, s), part in zip(pairs, correlations.unbind(dim=2)):
            if q.device.type != 'cpu':
                torch.bmm(q, s, out=part)
                continue
            for one, other, out in zip(q, s, part):  # a CPU is faster so
                torch.mm(one, other, out=out)
    # (N, Hq * Wq, L, Hs * Ws)
    correlations = correlations.relu_().unflatten(3, grids[2:])
    correlations = correlations.unflatten(1, grids[:2]).movedim(3, 1)
    if (correlations.device.type == 'cpu' and correlations.dtype == torch.float32
            and not torch.is_grad_enabled()):
        return correlations  # read as fast, but for the gradient
    return channels_last(correlations)


def check_pairs(query: Sequence[Tensor], support: Sequence[Tensor]) -> None:
    """Refuse what :func:`hypercorrelation` would not take."""
    if len(query[0]) != len(support[0]):
        raise ValueError(
            f'hypercorrelation: {len(query[0])} queries and {len(support[0])} '
            'supports; give each support its query.')
