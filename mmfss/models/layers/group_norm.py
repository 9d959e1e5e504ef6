import torch
from torch import Tensor, nn

# From how many pixels on PyTorch's sums are not precise enough
_MANY_PIXELS = 2**14


def group_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """Apply a group norm to an image with the channels last in memory.

    On the CPU, PyTorch sums such an image up in one go in float32, which costs
    two digits of 28,561 pixels (13^4) and three of 400,000. Here the rows are
    summed up first, and the mean is subtracted before squaring. Elsewhere, in
    types of fewer digits, for fewer pixels, and without weights, all is PyTorch's.

    Args:
        norm (nn.GroupNorm): The layer.
        x (Tensor): ``(B, C, H, W)``, channels last in memory. Without
            gradients, the result may take its place.

    Returns:
        Tensor: The same shape and layout.
    """
    if (not norm.affine or x.device.type != 'cpu' or x.dtype != torch.float32
            or x[0, 0].numel() < _MANY_PIXELS):
        return norm(x)
    return _GroupNorm.apply(x, norm.weight, norm.bias, norm.num_groups, norm.eps,
                            not torch.is_grad_enabled())


class _GroupNorm(torch.autograd.Function):

    @staticmethod
    def forward(ctx, x, weight, bias, groups, eps, in_place):
        batch, channels, height, width = x.shape
        y = x.movedim(1, -1)  # (B, H, W, C)

        def over_groups(rows):  # (B, H, C), each row's mean
            mean = rows.mean(dim=1).unflatten(1, (groups, -1)).mean(dim=2)
            return mean, mean.repeat_interleave(channels // groups, dim=1)

        mean, shift = over_groups(y.mean(dim=2))
        var, _ = over_groups(
            torch.cat([  # a few rows at a time: they stay in the cache
                (part - shift[:, None, None]).square_().mean(dim=2)
                for part in y.split(max(1, height // 8), dim=1)
            ], dim=1))
        rstd = (var + eps)**-0.5
        scale = weight * rstd.repeat_interleave(channels // groups, dim=1)
        shift = bias - shift * scale
        ctx.save_for_backward(x, weight, mean, rstd)
        ctx.groups = groups
        scale, shift = scale[..., None, None], shift[..., None, None]
        return torch.addcmul(shift, x, scale, out=x if in_place else None)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, mean, rstd = ctx.saved_tensors
        batch, channels, height, width = x.shape
        return (*torch.ops.aten.native_group_norm_backward(
            gradient.contiguous(memory_format=torch.channels_last), x, mean,
            rstd, weight, batch, channels, height * width, ctx.groups,
            ctx.needs_input_grad[:3]), None, None, None)
