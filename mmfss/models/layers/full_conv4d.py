import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmfss.registry import MODELS

from .conv4d import Conv4d
from .layout import channels_last


@MODELS.register_module()
class FullConv4d(Conv4d):
    """Convolution with a full 4-D kernel: k^4 weights per pair of channels.

    An ablation: center-pivot's ``2 k^2`` weights are a part of these.

    PyTorch has no 4-D convolution, so the kernel's first dimension, over the
    rows of the query plane, is a sum of 3-D convolutions.

    Args: as of :class:`Conv4d`.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int,
                 support_stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, support_stride)
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels, *[kernel_size] * 4))
        self.bias = nn.Parameter(torch.empty(out_channels))
        # as PyTorch's convolutions
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        bound = (in_channels * kernel_size**4)**-0.5
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """As of :class:`Conv4d`."""
        s, p = self.support_stride, self.kernel_size // 2
        batch, rows = x.shape[0], x.shape[2]
        # (B, Hq + 2p, C, Wq, Hs, Ws): each row of the query is a 3-D image
        x = F.pad(x.transpose(1, 2), (0, 0) * 4 + (p, p))
        y = sum(
            F.conv3d(
                x[:, a:a + rows].flatten(0, 1),
                self.weight[:, :, a],
                self.bias if a == p else None,
                stride=(1, s, s),
                padding=p) for a in range(self.kernel_size))
        return channels_last(y.unflatten(0, (batch, rows)).transpose(1, 2))
