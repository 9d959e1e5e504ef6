"""How an activation holds its grid of positions."""
import itertools
import math
from typing import NamedTuple, Tuple

from torch import Tensor

# class, distillation and register tokens; the zoo puts them in front
_MOST_EXTRA_TOKENS = 8


class TapLayout(NamedTuple):
    """Where the grid of positions is in what a tap gives.

    Found once, from a square image, whose grid is square too.

    Args:
        kind (str): 'map' (N, C, h, w), 'channels_last' (N, h, w, C) or 'tokens'
            (N, L, C).
        stride (float): Pixels of the image per position.
        extra (int): Number of tokens in front that are no positions.
    """
    kind: str
    stride: float
    extra: int = 0

    @classmethod
    def of(cls, tap: str, value: Tensor, side: int) -> 'TapLayout':
        """Find the layout.

        Args:
            tap (str): Name of the tap, for messages.
            value (Tensor): What it gives for a square image.
            side (int): The image's side.

        Raises:
            ValueError: There is no grid.
        """
        shape = tuple(value.shape)
        if len(shape) == 4 and shape[2] == shape[3] > 1:
            return cls('map', side / shape[2])
        if len(shape) == 4 and shape[1] == shape[2] > 1:
            return cls('channels_last', side / shape[1])
        if len(shape) == 3:
            grid = math.isqrt(shape[1])
            extra = shape[1] - grid**2
            if grid > 1 and side % grid == 0 and extra <= _MOST_EXTRA_TOKENS:
                return cls('tokens', side / grid, extra)
        raise ValueError(
            f'taps: {tap!r} gives a tensor of shape {shape} for an image of '
            f'{side} x {side} pixels. That is neither a map (N, C, h, w) nor '
            'tokens (N, L, C): its grid of positions is gone. Tap a module '
            'before it.')

    def to_map(self, tap: str, value: Tensor, size: Tuple[int, int]) -> Tensor:
        """Bring what a tap gives into the form of a map.

        Args:
            tap (str): Name of the tap, for messages.
            value (Tensor): What it gives.
            size (tuple[int, int]): Height and width of the images.

        Returns:
            Tensor: ``(N, C, h, w)``.

        Raises:
            ValueError: The tokens do not fold to a grid.
        """
        if self.kind == 'map':
            return value
        if self.kind == 'channels_last':
            return value.permute(0, 3, 1, 2)
        count = value.shape[1] - self.extra
        # A last patch that is not whole is padded or left out; where strides
        # multiply, by one rule in one stage and by the other in the next. The
        # longer side never has fewer.
        height, width = ({math.ceil(side / self.stride),
                          math.floor(side / self.stride)} for side in size)
        for h, w in itertools.product(height, width):
            if h * w == count and (h - w) * (size[0] - size[1]) >= 0:
                tokens = value[:, self.extra:].transpose(1, 2)
                return tokens.unflatten(2, (h, w))
        raise ValueError(
            f'taps: {tap!r} gives {count} tokens for images of {size[0]} x '
            f'{size[1]} pixels, which fold to no grid of stride '
            f'{self.stride:g}. Resize the images to multiples of the stride.')
