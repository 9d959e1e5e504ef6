"""Six-dimensional tensors with the channels last in memory."""
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """The same tensor with its channels last in memory.

    As ``torch.channels_last``, which exists for four and five dimensions.

    Args:
        x (Tensor): ``(B, C, ...)``; left as it is if it lies so already.

    Example:
        >>> import torch
        >>> channels_last(torch.zeros(2, 3, 4, 5, 6, 7)).stride()
        (2520, 1, 630, 126, 21, 3)
    """
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def merged(x: Tensor, first: int, last: int) -> Tensor:
    """Merge neighbouring dimensions other than the channels.

    A view, where a plain ``flatten`` of a batch of one may leave strides from
    which PyTorch does not see that the channels are last.

    Args:
        x (Tensor): ``(B, C, ...)``, channels last in memory.
        first (int): First dimension to merge, counted in ``(B, ..., C)``.
        last (int): Last dimension to merge; with C's, they become channels.

    Example:
        >>> import torch
        >>> merged(torch.zeros(2, 3, 4, 5, 6, 7), 1, 2).shape
        torch.Size([2, 3, 20, 6, 7])
    """
    return x.movedim(1, -1).flatten(first, last).movedim(-1, 1)
