"""Is a class in an image at all? The segmentors are never asked in training."""
from torch import Tensor


def presence(query: Tensor, supports: Tensor) -> float:
    """How alike what was found is to what was annotated.

    Args:
        query (Tensor): Prototype of the segmented object, ``(1, C)``.
        supports (Tensor): Prototypes of the annotated objects, ``(K, C)``.

    Returns:
        float: Cosine similarity to the nearest support, 0 to 1.
    """
    return max(0., float((supports @ query[0]).max()))
