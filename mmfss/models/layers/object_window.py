from typing import List, Sequence, Tuple

import torch
from torch import Tensor


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
