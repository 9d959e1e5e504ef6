from typing import Sequence, Tuple

import torch
from torch import Tensor, nn

from mmfss.registry import MODELS
from mmfss.utils.is_traced import is_traced

from .conv4d import Conv4d, conv_support_plane
from .correlation import check_pairs, hypercorrelation
from .layout import channels_last
from .limits import numbers_at_a_time
from .object_window import object_window, put_back
from .query_plane_conv import conv_query_plane

# Of the hypercorrelation, at a time: what a CPU's cache holds. (Elsewhere it is
# there twice: it is copied to another layout.)
_CPU_BYTES = 20 * 2**20


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
        """As of :class:`Conv4d`."""
        keep = _Kept.apply if torch.is_grad_enabled() else _kept
        x, kept = keep(x, self.support_stride)
        return _sum(self._over_support(x), self._over_query(kept))

    def correlate(self, query: Sequence[Tensor],
                  support: Sequence[Tensor]) -> Tensor:
        """Convolve the hypercorrelation of query and support maps.

        In inference it never exists as a whole where it is large: the query
        plane's convolution needs it at the kept support positions only, and the
        support plane's needs one query position at a time. (Training keeps the
        parts for the gradient.) On a CPU it is made around the object only:
        masked out, it is zero, and the convolutions give their biases.

        Args: as of :meth:`Conv4d.correlate`.
        """
        if type(self).forward is not CenterPivotConv4d.forward:
            return super().correlate(query, support)  # a subclass has its own
        check_pairs(query, support)
        if is_traced():
            return self._correlate(query, support)
        if support[0].device.type != 'cpu':
            planes = query[0][0, 0].numel() * support[0][:, 0].numel()
            if self.in_channels * planes <= numbers_at_a_time(query[0], _CPU_BYTES):
                return self(hypercorrelation(query, support))
            return self._correlate(query, support)
        inside, kept = object_window(support, self.kernel_size,
                                     self.support_stride)
        y = self._correlate(
            query, [channels_last(x[(..., *inside)]) for x in support])
        grid = [-(-side // self.support_stride) for side in support[0].shape[2:]]
        if y.shape[4:] == tuple(grid):
            return y
        return put_back(y, self._bias().to(y.dtype), grid, kept)

    def _correlate(self, query: Sequence[Tensor],
                   support: Sequence[Tensor]) -> Tensor:
        _, _, rows, columns = query[0].shape
        row = self.in_channels * columns * support[0][0, 0].numel()
        step = max(1, numbers_at_a_time(query[0], _CPU_BYTES) // row)
        parts, kept_parts = [], []
        for n in range(len(support[0])):
            supports = [x[n:n + 1] for x in support]
            for i in range(0, rows, step):
                queries = [x[n:n + 1, :, i:i + step] for x in query]
                x, kept = _kept(
                    hypercorrelation(queries, supports), self.support_stride)
                parts.append(self._over_support(x))
                kept_parts.append(channels_last(kept))
        return _sum(_joined(parts, rows),
                    self._over_query(_joined(kept_parts, rows)))

    def _over_query(self, x: Tensor) -> Tensor:
        return conv_query_plane(
            channels_last(x), self.query_conv.weight, self._bias())

    def _over_support(self, x: Tensor) -> Tensor:
        return conv_support_plane(x, self.support_conv.weight, self.support_stride)

    def _bias(self) -> Tensor:
        """Of both, which the convolution over the query plane adds."""
        return self.query_conv.bias + self.support_conv.bias


class _Kept(torch.autograd.Function):
    """A tensor, and what of it the stride keeps.

    The gradients of both are added in place of the first, which is its
    convolution's alone; PyTorch would fill a tensor of x's size with zeros for
    the second, and add them in a third.
    """

    @staticmethod
    def forward(ctx, x, stride):
        ctx.stride = stride
        return _kept(x, stride)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, of_kept):
        gradient[..., ::ctx.stride, ::ctx.stride] += of_kept
        return gradient, None


def _kept(x: Tensor, stride: int) -> Tuple[Tensor, Tensor]:
    # sliced in the memory's order, as the gradient will then be
    kept = x.movedim(1, -1)[..., ::stride, ::stride, :].movedim(-1, 1)
    return x, kept


def _joined(parts: Sequence[Tensor], rows: int) -> Tensor:
    """Of several queries, each in parts of some rows of the query plane."""
    whole = torch.cat([x[0].movedim(0, -1) for x in parts])
    return whole.unflatten(0, (-1, rows)).movedim(-1, 1)


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """In place of x, unless its gradient would then take copies."""
    return x + y if torch.is_grad_enabled() else x.add_(y)
