from torch import Tensor, nn

from mmfss.registry import MODELS

from .conv4d import Conv4d, conv_support_plane
from .query_plane_conv import conv_query_plane


@MODELS.register_module()
class SeparableConv4d(Conv4d):
    """Separable 4-D convolution: over the support plane, then the query plane.

    The 4-D kernel is the product of two 2-D ones, summed over ``out_channels``
    inner channels: ``W[o, i, a, b, c, d] = sum_m Q[o, m, a, b] S[m, i, c, d]``.
    The support plane comes first, with the stride, so that the second
    convolution runs on the smaller tensor. Only the second has a bias: one
    between them would do nothing but at the borders.

    An ablation; the paper names a separable kernel without defining it, and
    this definition is ours.

    Args: as of :class:`Conv4d`.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int,
                 support_stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, support_stride)
        # they hold the weights, initialised as usual
        self.support_conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, bias=False)
        self.query_conv = nn.Conv2d(out_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """As of :class:`Conv4d`."""
        x = conv_support_plane(x, self.support_conv.weight, self.support_stride)
        return conv_query_plane(x, self.query_conv.weight, self.query_conv.bias)
