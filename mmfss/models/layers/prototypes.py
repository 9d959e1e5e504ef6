import torch.nn.functional as F
from torch import Tensor


def prototypes(features: Tensor, masks: Tensor) -> Tensor:
    """The mean feature of each image's object, of length 1.

    Args:
        features (Tensor): ``(N, C, h, w)``.
        masks (Tensor): bool, ``(N, H, W)``.

    Returns:
        Tensor: ``(N, C)``; zero where a mask is empty.
    """
    weights = F.interpolate(
        masks[:, None].to(features.dtype), features.shape[-2:], mode='area')
    return F.normalize((features * weights).sum(dim=(2, 3)), dim=1)
