from typing import List, Sequence, Tuple

import torch
from torch import Tensor

from .layout import channels_last


def object_window(support: Sequence[Tensor], kernel_size: int,
                  stride: int) -> Tuple[List[slice], List[slice]]:
    """Where a convolution over masked support maps sees the object.

    Args:
        support (Sequence[Tensor]): Maps of one level, each ``(N, C, Hs, Ws)``,
            zero where the background was masked out.
        kernel_size (int): Of a convolution over ``Hs`` and ``Ws``, which pads
            the maps with half of it.
        stride (int): Of that convolution.

    Returns:
        tuple[list[slice], list[slice]]: Two rectangles, rows and columns. The
        first, of the maps, holds all that is not zero. The same convolution of
        it gives the second, of the whole's output; around that it is zero, but
        for its bias.
    """
    seen = torch.stack([x.norm(dim=1).amax(dim=0) for x in support]).amax(dim=0)
    radius = kernel_size // 2
    inside, kept = [], []
    for axis, side in enumerate(seen.shape):
        places = seen.any(dim=1 - axis).nonzero()
        first, last = (places[0].item(), places[-1].item()) if len(places) else (0, 0)
        start = max(0, first - radius) // stride
        stop = min((last + radius) // stride, (side - 1) // stride) + 1
        # to a multiple of the stride: matrix products of odd sizes are slower
        inside.append(slice(start * stride, min(side, stop * stride)))
        kept.append(slice(start, stop))
    return inside, kept


def put_back(window: Tensor, outside: Tensor, grid: Sequence[int],
             kept: Sequence[slice]) -> Tensor:
    """Put a window of the support plane where it belongs.

    Args:
        window (Tensor): ``(B, C, Hq, Wq, h, w)``, channels last in memory.
        outside (Tensor): What is around it at each position, ``(C, )``.
        grid (Sequence[int]): The whole support plane's size.
        kept (Sequence[slice]): The window's rows and columns in it.

    Returns:
        Tensor: ``(B, C, Hq, Wq, *grid)``, channels last in memory.
    """
    return _PutBack.apply(window, outside, grid, kept)


class _PutBack(torch.autograd.Function):
    """PyTorch's own gradients would take two copies of the whole."""

    @staticmethod
    def forward(ctx, window, outside, grid, kept):
        ctx.kept = tuple(kept)
        whole = outside.expand(len(window), *window.shape[2:4], *grid, -1)
        whole = whole.clone().movedim(-1, 1)
        whole[(..., *kept)] = window
        return whole

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        window = (..., *ctx.kept)
        of_outside = gradient.movedim(1, -1).sum(dim=(0, 1, 2)).movedim(-1, 0)
        of_outside[window] = 0
        of_outside = of_outside.sum(dim=(1, 2))
        return channels_last(gradient[window]), of_outside, None, None
