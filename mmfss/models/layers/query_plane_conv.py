import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import merged


def conv_query_plane(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """2-D convolution over the query plane, at every support position.

    On a GPU it is a 3-D one, with a kernel of size 1 along the support plane,
    merged. For the CPU, query columns and support positions are merged into one
    axis, along which a dilated kernel walks from column to column: the tensor is
    read as it lies, too, but with oneDNN's 2-D kernels and in long rows.

    Args:
        x (Tensor): ``(B, C_in, Hq, Wq, Hs, Ws)``, channels last in memory.
        weight (Tensor): ``(C_out, C_in, k, k)``, k odd.
        bias (Tensor): ``(C_out, )``.

    Returns:
        Tensor: ``(B, C_out, Hq, Wq, Hs, Ws)``, channels last in memory.
    """
    if x.device.type != 'cpu':
        p = weight.shape[-1] // 2
        y = F.conv3d(merged(x, 3, 4), weight[..., None], bias, padding=(p, p, 0))
        return y.unflatten(4, x.shape[4:])
    if not torch.is_grad_enabled():
        return _dilated_conv(x, weight, bias)
    if torch.is_autocast_enabled('cpu'):  # its casts have gradients, too
        dtype = torch.get_autocast_dtype('cpu')
        x, weight, bias = (t.to(dtype) for t in (x, weight, bias))
    return _QueryPlaneConv.apply(x, weight, bias)


class _QueryPlaneConv(torch.autograd.Function):
    """On the CPU, with gradients.

    That of the weights is not a dilated convolution's, whose kernels for it are
    slow: it takes the query planes as images, one per support position.
    """

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _dilated_conv(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        of_x, *of_weights = ctx.needs_input_grad
        x_gradient, weight_gradients = None, [None, None]
        if of_x:
            x_gradient, *_ = _backward(
                merged(gradient, 2, 4), merged(x, 2, 4), weight,
                **_dilated(x, weight), of=(True, False, False))
            x_gradient = _unmerged(x_gradient, x)
        if any(of_weights):
            _, *weight_gradients = _backward(
                _planes(gradient), _planes(x), weight,
                padding=[weight.shape[-1] // 2] * 2, dilation=[1, 1],
                of=(False, *of_weights))
        return x_gradient, *weight_gradients


def _dilated_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return _unmerged(
        F.conv2d(merged(x, 2, 4), weight, bias, **_dilated(x, weight)), x)


def _dilated(x: Tensor, weight: Tensor) -> dict:
    step, p = x.shape[4:].numel(), weight.shape[-1] // 2
    return dict(padding=[p, p * step], dilation=[1, step])


def _unmerged(y: Tensor, x: Tensor) -> Tensor:
    """``(B, C, Hq, Wq * Hs * Ws)`` to ``(B, C, Hq, Wq, Hs, Ws)``."""
    return y.movedim(1, -1).unflatten(2, x.shape[3:]).movedim(-1, 1)


def _planes(x: Tensor) -> Tensor:
    """A copy, ``(B * Hs * Ws, C, Hq, Wq)``, channels last in memory."""
    planes = x.permute(0, 4, 5, 2, 3, 1).contiguous()
    return planes.flatten(0, 2).movedim(-1, 1)


def _backward(gradient, x, weight, padding, dilation, of):
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, [len(weight)], [1, 1], padding, dilation, False,
        [0, 0], 1, of)
