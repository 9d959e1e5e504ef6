"""Is a class in an image at all? The segmentors are never asked in training."""
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


def presence(query: Tensor, supports: Tensor) -> float:
    """How alike what was found is to what was annotated.

    Args:
        query (Tensor): Prototype of the segmented object, ``(1, C)``.
        supports (Tensor): Prototypes of the annotated objects, ``(K, C)``.

    Returns:
        float: Cosine similarity to the nearest support, 0 to 1.
    """
    return max(0., float((supports @ query[0]).max()))
