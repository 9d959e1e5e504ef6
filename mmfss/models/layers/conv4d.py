"""What the 4-D convolutions share."""
from typing import Optional

import torch.nn.functional as F
from torch import Tensor, nn


class Conv4d(nn.Module):
    """Base of the 4-D convolutions: over a query plane and a support plane.

    Padding keeps the planes' size; the stride shrinks the support plane only.

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

    def extra_repr(self) -> str:
        return (f'{self.in_channels}, {self.out_channels}, '
                f'kernel_size={self.kernel_size}, '
                f'support_stride={self.support_stride}')


# The plane convolutions run as 3-D ones on the tensor as it lies in memory,
# with a kernel of size 1 along the flattened other plane: nothing is permuted.


def conv_query_plane(x: Tensor,
                     weight: Tensor,
                     bias: Optional[Tensor] = None) -> Tensor:
    """2-D convolution over the query plane, at every support position.

    Args:
        x (Tensor): ``(B, C_in, Hq, Wq, Hs, Ws)``.
        weight (Tensor): ``(C_out, C_in, k, k)``, k odd.
        bias (Tensor, optional): ``(C_out, )``.

    Returns:
        Tensor: ``(B, C_out, Hq, Wq, Hs, Ws)``.
    """
    p = weight.shape[-1] // 2
    y = F.conv3d(x.flatten(4), weight[..., None], bias, padding=(p, p, 0))
    return y.unflatten(4, x.shape[4:])


def conv_support_plane(x: Tensor,
                       weight: Tensor,
                       bias: Optional[Tensor] = None,
                       stride: int = 1) -> Tensor:
    """2-D convolution over the support plane, at every query position.

    Args:
        x (Tensor): ``(B, C_in, Hq, Wq, Hs, Ws)``.
        weight (Tensor): ``(C_out, C_in, k, k)``, k odd.
        bias (Tensor, optional): ``(C_out, )``.
        stride (int): Of the convolution. Defaults to 1.

    Returns:
        Tensor: ``(B, C_out, Hq, Wq, ceil(Hs / stride), ceil(Ws / stride))``.
    """
    p = weight.shape[-1] // 2
    y = F.conv3d(
        x.flatten(2, 3),
        weight[:, :, None],
        bias,
        stride=(1, stride, stride),
        padding=(0, p, p))
    return y.unflatten(2, x.shape[2:4])
