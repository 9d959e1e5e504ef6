from torch import Tensor, nn

from mmfss.registry import MODELS

from .conv4d import Conv4d, conv_query_plane, conv_support_plane


@MODELS.register_module()
class CenterPivotConv4d(Conv4d):
    """Center-pivot 4-D convolution (HSNet, section 4.2).

    Of a 4-D kernel only the weights that pivot on the centre of one plane are
    kept, so it is the sum of two 2-D convolutions, each with its own bias: one
    over the query plane at the support positions kept by the stride
    (``0, s, 2s, ...``), one over the support plane with stride s at every query
    position.

    Args: as of :class:`Conv4d`.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int,
                 support_stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, support_stride)
        # they hold the weights, initialised as usual
        self.query_conv = nn.Conv2d(in_channels, out_channels, kernel_size)
        self.support_conv = nn.Conv2d(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        s = self.support_stride
        over_query = conv_query_plane(
            x[..., ::s, ::s], self.query_conv.weight, self.query_conv.bias)
        over_support = conv_support_plane(
            x, self.support_conv.weight, self.support_conv.bias, stride=s)
        return over_query + over_support
