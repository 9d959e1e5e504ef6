import torch.nn.functional as F
from torch import Tensor, nn


class CenterPivotConv4d(nn.Module):
    """Center-pivot 4-D convolution (HSNet, section 4.2).

    Of a 4-D kernel only the weights that pivot on the centre of one plane are
    kept, so it is the sum of two 2-D convolutions: one over the query plane at
    the support positions kept by the stride (``0, s, 2s, ...``), one over the
    support plane with stride s at every query position.

    Both run as 3-D convolutions on the tensor as it lies in memory, with a
    kernel of size 1 along the flattened other plane: nothing is permuted.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): Side of both planes' kernels, odd.
        support_stride (int): Stride over the support plane. Defaults to 1;
            over the query plane it is always 1.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int,
                 support_stride: int = 1) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, not {kernel_size}.')
        self.support_stride = support_stride
        self.padding = kernel_size // 2
        # they hold the weights, each with its own bias, initialised as usual
        self.query_conv = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.support_conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x (Tensor): ``(B, C_in, Hq, Wq, Hs, Ws)``.

        Returns:
            Tensor: ``(B, C_out, Hq, Wq, ceil(Hs / s), ceil(Ws / s))``.
        """
        s, p = self.support_stride, self.padding
        hq, wq = x.shape[2:4]
        kept = x[..., ::s, ::s]
        over_query = F.conv3d(
            kept.flatten(4),
            self.query_conv.weight[..., None],
            self.query_conv.bias,
            padding=(p, p, 0))
        over_support = F.conv3d(
            x.flatten(2, 3),
            self.support_conv.weight[:, :, None],
            self.support_conv.bias,
            stride=(1, s, s),
            padding=(0, p, p))
        return (over_query.view(*over_query.shape[:4], *kept.shape[4:]) +
                over_support.unflatten(2, (hq, wq)))

    def extra_repr(self) -> str:
        return f'support_stride={self.support_stride}'
