from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .correlation import hypercorrelation
from .layout import channels_last


class Conv4d(nn.Module):
    """Base of the 4-D convolutions: over a query plane and a support plane.

    Padding keeps the planes' size; the stride shrinks the support plane only.

    Tensors are ``(B, C, Hq, Wq, Hs, Ws)`` with the channels last in memory, see
    :func:`channels_last`: both planes' convolutions then read them as they lie,
    with the libraries' fastest kernels. Other layouts work, slower.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): Side of the kernel in all four dimensions, odd.
        support_stride (int): Stride over the support plane. Defaults to 1;
            over the query plane it is always 1.

    Raises:
        ValueError: ``kernel_size`` is even.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int,
                 support_stride: int = 1) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, not {kernel_size}.')
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = kernel_size
        self.support_stride = support_stride

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x (Tensor): ``(B, C_in, Hq, Wq, Hs, Ws)``.

        Returns:
            Tensor: ``(B, C_out, Hq, Wq, ceil(Hs / s), ceil(Ws / s))``.
        """
        raise NotImplementedError

    def correlate(self, query: Sequence[Tensor],
                  support: Sequence[Tensor]) -> Tensor:
        """Convolve the hypercorrelation of query and support maps.

        Args: as of :func:`hypercorrelation`.

        Returns:
            Tensor: As of :meth:`forward`.
        """
        return self(channels_last(hypercorrelation(query, support)))

    def extra_repr(self) -> str:
        return (f'{self.in_channels}, {self.out_channels}, '
                f'kernel_size={self.kernel_size}, '
                f'support_stride={self.support_stride}')


def conv_support_plane(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """2-D convolution over the support plane, at every query position.

    It reads the tensor as it lies, with the query positions as the batch.

    Args:
        x (Tensor): ``(B, C_in, Hq, Wq, Hs, Ws)``, channels last in memory.
        weight (Tensor): ``(C_out, C_in, k, k)``, k odd.
        stride (int): Of the convolution. Defaults to 1.

    Returns:
        Tensor: ``(B, C_out, Hq, Wq, ceil(Hs / stride), ceil(Ws / stride))``.
    """
    if (x.device.type == 'cpu'  # a GPU convolves them faster
            and x.shape[4:].numel() <= weight.shape[2:].numel()):
        return _product_with_support_plane(x, weight, stride)
    images = x.movedim(1, -1).flatten(0, 2).movedim(-1, 1)
    if weight.shape[-1] == 1:
        # with a stride, PyTorch 2.13's gradient on one CPU thread writes past
        # its memory
        images, stride = images[..., ::stride, ::stride], 1
    y = F.conv2d(images, weight, stride=stride, padding=weight.shape[-1] // 2)
    y = y.movedim(1, -1).unflatten(0, (x.shape[0], *x.shape[2:4]))
    return channels_last(y.movedim(-1, 1))


def _product_with_support_plane(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The same as one matrix product, for planes no larger than the kernel.

    There most of a convolution's multiplications are with its padding.
    """
    c_out, c_in, k, _ = weight.shape
    positions = x.shape[4:]
    # the matrix: what the convolution makes of a 1 at each support position
    ones = torch.eye(
        positions.numel(), dtype=weight.dtype, device=weight.device)
    matrix = F.conv2d(
        ones.view(-1, 1, *positions),
        weight.view(-1, 1, k, k),
        stride=stride,
        padding=k // 2)
    out = matrix.shape[2:]
    # (positions, c_out, c_in, *out) -> ((*out, c_out), (positions, c_in))
    matrix = matrix.unflatten(1, (c_out, c_in)).flatten(3).permute(3, 1, 0, 2)
    y = F.linear(
        x.movedim(1, -1).flatten(3), matrix.flatten(2).flatten(0, 1))
    return y.unflatten(3, (*out, c_out)).movedim(-1, 1)
