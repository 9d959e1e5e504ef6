from typing import Callable, List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmfss.registry import MODELS

from ..layers import (
    channels_last,
    group_norm,
    hypercorrelation,
    merged,
    numbers_at_a_time,
    unit_features,
)
from .squeeze_plan import squeeze_plan

# Of a tensor. Where all supports' would be larger, fewer are taken at a time:
# larger ones come slowly from the operating system, page by page, each time anew
# (glibc keeps blocks of up to 32 MiB).
_CPU_BYTES = 32 * 2**20


@MODELS.register_module()
class HypercorrelationPyramid(BaseModule):
    """Hypercorrelations, squeezed by a pyramid of 4-D convolutions.

    HSNet, sections 4.1 and 4.2. Per level: correlate query and support maps,
    squeeze the support plane with three 4-D convolutions. Then top-down:
    enlarge the deeper level's query plane, add, mix with three more. Last, the
    mean over what is left of the support plane. A single level has no mixing.

    :class:`HSNet` calls the parts of :meth:`forward`, so that supports may be
    encoded once: override :meth:`encode_support`, :meth:`encode_query` and
    :meth:`encode` in a neck of your own.

    Args:
        in_channels (Sequence[int]): Number of maps per level, deep to shallow.
        channels (Sequence[int]): Output channels of the three convolutions of a
            squeezing block. Defaults to (16, 64, 128).
        strides (Sequence[int]): Of the levels' maps. Defaults to (32, 16, 8).
        kernel_sizes (Sequence[Sequence[int]], optional): Of each level's
            squeezing block. They and the support strides follow from
            ``strides`` by :func:`squeeze_plan`; for the default strides they
            are the published ones. A map may be smaller than its kernel: it is
            padded with zeros.
        support_strides (Sequence[Sequence[int]], optional): Over the support
            plane, of each level's squeezing block.
        conv_cfg (dict): The 4-D convolution: 'CenterPivotConv4d' (the default,
            HSNet's own), or for ablations 'FullConv4d' or 'SeparableConv4d'.
        norm_cfg (dict): Defaults to GroupNorm with 4 groups.
        mask_support (bool): Zero the supports' background before correlating.
            Defaults to True; False is the ablation HSNet† (a model of its own).
        with_cp (bool): In training, keep only the blocks' inputs and compute
            the rest again for the gradient: less memory, more time. Defaults to
            False.

    Raises:
        ValueError: ``kernel_sizes`` or ``support_strides`` do not have one item
            per level, and in it one number per item of ``channels``; or a
            kernel size is even.

    Example:
        >>> import torch
        >>> neck = HypercorrelationPyramid((1, 2, 1))
        >>> def maps():
        ...     return [[torch.rand(1, 8, s, s)] * n
        ...             for s, n in ((4, 1), (8, 2), (16, 1))]
        >>> neck(maps(), maps(), torch.ones(1, 64, 64)).shape
        torch.Size([1, 128, 16, 16])
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int] = (16, 64, 128),
        strides: Sequence[int] = (32, 16, 8),
        kernel_sizes: Optional[Sequence[Sequence[int]]] = None,
        support_strides: Optional[Sequence[Sequence[int]]] = None,
        conv_cfg: dict = dict(type='CenterPivotConv4d'),
        norm_cfg: dict = dict(type='GN', num_groups=4),
        mask_support: bool = True,
        with_cp: bool = False) -> None:
        super().__init__()
        plan = squeeze_plan(strides, len(channels))
        kernel_sizes = kernel_sizes or plan[0]
        support_strides = support_strides or plan[1]
        _check_plan('kernel_sizes', kernel_sizes, in_channels, channels)
        _check_plan('support_strides', support_strides, in_channels, channels)
        self.mask_support = mask_support
        self.with_cp = with_cp
        self.out_channels = channels[-1]
        self.squeeze = nn.ModuleList(
            _block((maps, *channels), kernels, strides, conv_cfg, norm_cfg)
            for maps, kernels, strides in zip(in_channels, kernel_sizes,
                                              support_strides))
        self.mix = nn.ModuleList(
            _block((self.out_channels, ) * 4, (3, 3, 3), (1, 1, 1), conv_cfg,
                   norm_cfg) for _ in in_channels[1:])
        self._mixes_a_batch = any(
            isinstance(m, nn.modules.batchnorm._BatchNorm)
            for m in self.modules())

    def forward(self, query: Sequence[Sequence[Tensor]],
                support: Sequence[Sequence[Tensor]],
                support_masks: Tensor) -> Tensor:
        """Encode how each query position relates to the masked supports.

        Args:
            query (Sequence[Sequence[Tensor]]): Maps of the query images per
                level, deep to shallow, each ``(B, C, Hq, Wq)``.
            support (Sequence[Sequence[Tensor]]): The same of the supports, each
                ``(B * K, C, Hs, Ws)``, an episode's K supports together.
            support_masks (Tensor): 1 on the object, else 0; ``(B * K, H, W)``.

        Returns:
            Tensor: The context, ``(B * K, channels[-1], Hq, Wq)`` at the
            shallowest level's query size.
        """
        return self.encode(
            self.encode_query(query), self.encode_support(support, support_masks))

    def encode_support(self, support: Sequence[Sequence[Tensor]],
                       support_masks: Tensor) -> List[List[Tensor]]:
        """The part of :meth:`forward` that no query changes.

        Args: as of :meth:`forward`.

        Returns:
            list[list[Tensor]]: Per level the masked unit vectors of each map,
            ``(B * K, C, Hs, Ws)``.
        """
        masks = support_masks if self.mask_support else None
        return [unit_features(maps, masks) for maps in support]

    def encode_query(
            self, query: Sequence[Sequence[Tensor]]) -> List[List[Tensor]]:
        """The part of :meth:`forward` that no support changes.

        Args:
            query (Sequence[Sequence[Tensor]]): As of :meth:`forward`.

        Returns:
            list[list[Tensor]]: Per level the unit vectors of each map,
            ``(B, C, Hq, Wq)``.
        """
        return [unit_features(maps) for maps in query]

    def encode(self, query: Sequence[Sequence[Tensor]],
               support: Sequence[Sequence[Tensor]]) -> Tensor:
        """The rest of :meth:`forward`.

        Args:
            query (Sequence[Sequence[Tensor]]): Of :meth:`encode_query`.
            support (Sequence[Sequence[Tensor]]): Of :meth:`encode_support`.

        Returns:
            Tensor: As of :meth:`forward`.
        """
        query = _for_each_support(query, support)
        number = step = len(support[0][0])
        if not self._mixes_a_batch:
            largest = max(
                block[0].out_channels * q[0][0, 0].numel() *
                s[0][0, 0, ::block[0].support_stride, ::block[0].support_stride].numel()
                for block, q, s in zip(self.squeeze, query, support))
            step = max(1, numbers_at_a_time(query[0][0], _CPU_BYTES) // largest)
        return torch.cat([
            self._encode([[x[i:i + step] for x in maps] for maps in query],
                         [[x[i:i + step] for x in maps] for maps in support])
            for i in range(0, number, step)
        ])

    def _encode(self, query: Sequence[Sequence[Tensor]],
                support: Sequence[Sequence[Tensor]]) -> Tensor:
        return self._mix([
            self._run(block.correlate, *maps)
            for block, *maps in zip(self.squeeze, query, support)
        ])

    def correlate(self, query: Sequence[Sequence[Tensor]],
                  support: Sequence[Sequence[Tensor]],
                  support_masks: Tensor) -> List[Tensor]:
        """The hypercorrelations, for a look at them.

        :meth:`forward` need not hold them as a whole.

        Args: as of :meth:`forward`.

        Returns:
            list[Tensor]: Per level ``(B * K, L, Hq, Wq, Hs, Ws)``.
        """
        support = self.encode_support(support, support_masks)
        query = _for_each_support(self.encode_query(query), support)
        return [hypercorrelation(q, s) for q, s in zip(query, support)]

    def pyramid(self, correlations: Sequence[Tensor]) -> Tensor:
        """The pyramid of 4-D convolutions on hypercorrelations that exist.

        Args:
            correlations (Sequence[Tensor]): Of :meth:`correlate`.

        Returns:
            Tensor: As of :meth:`forward`.
        """
        return self._mix([
            self._run(block, c) for block, c in zip(self.squeeze, correlations)
        ])

    def _mix(self, squeezed: Sequence[Tensor]) -> Tensor:
        """From the deepest level up, and the mean over the support plane."""
        mixed = squeezed[0]
        for mix, shallower in zip(self.mix, squeezed[1:]):
            mixed = _resize_query(mixed, shallower.shape[2:4])
            mixed, shallower = _same_support(mixed, shallower)
            mixed = self._run(mix, mixed + shallower)
        # the same as over the last two dimensions, but in the memory's order
        return mixed.movedim(1, -1).mean(dim=(3, 4)).movedim(-1, 1)

    def _run(self, block: Callable[..., Tensor], *inputs) -> Tensor:
        if not (self.with_cp and torch.is_grad_enabled()):
            return block(*inputs)
        return checkpoint(
            block, *inputs, use_reentrant=False, preserve_rng_state=False)


class _Block(nn.Sequential):
    """[4-D convolution, norm, ReLU], repeated."""

    def forward(self, x: Tensor) -> Tensor:
        return self._after_first(self[0](x))

    def correlate(self, query: Sequence[Tensor],
                  support: Sequence[Tensor]) -> Tensor:
        """Apply to the hypercorrelation of query and support maps.

        Args: as of :func:`hypercorrelation`.

        Returns:
            Tensor: ``(N, channels[-1], Hq, Wq, ...)``, what is left of the
            support plane last.
        """
        return self._after_first(self[0].correlate(query, support))

    def _after_first(self, x: Tensor) -> Tensor:
        layers = list(self)
        for conv, norm, relu in zip(layers[0::3], layers[1::3], layers[2::3]):
            if conv is not layers[0]:
                x = conv(x)
            image = merged(x, 2, 4)  # norms know no six dimensions
            image = (
                group_norm(norm, image)
                if isinstance(norm, nn.GroupNorm) else norm(image))
            x = relu(image).unflatten(3, x.shape[3:])
        return x


def _check_plan(key: str, plan: Sequence[Sequence[int]],
                in_channels: Sequence[int], channels: Sequence[int]) -> None:
    wrong = [f'level {n} has {len(level)}' for n, level in enumerate(plan)
             if len(level) != len(channels)]
    if len(plan) != len(in_channels):
        wrong = [f'it has {len(plan)} level(s)']
    if wrong:
        raise ValueError(
            f'HypercorrelationPyramid: {key} needs one item per level '
            f'({len(in_channels)}, as in_channels), each with one number per '
            f'convolution ({len(channels)}, as channels), but {", ".join(wrong)}.')


def _for_each_support(query: Sequence[Sequence[Tensor]],
                      support: Sequence[Sequence[Tensor]]) -> List[List[Tensor]]:
    """The queries' maps, ``(B, ...)``, once per support, ``(B * K, ...)``.

    A copy only where there are several queries and several supports of each.
    """
    shots = len(support[0][0]) // len(query[0][0])
    return [[
        x[:, None].expand(-1, shots, -1, -1, -1).flatten(0, 1) for x in maps
    ] for maps in query]


def _block(channels: Sequence[int], kernel_sizes: Sequence[int],
           support_strides: Sequence[int], conv_cfg: dict,
           norm_cfg: dict) -> _Block:
    """[4-D convolution, norm, ReLU] for each step of the channels."""
    layers = []
    for i, (kernel, stride) in enumerate(zip(kernel_sizes, support_strides)):
        layers += [
            MODELS.build(
                dict(
                    conv_cfg,
                    in_channels=channels[i],
                    out_channels=channels[i + 1],
                    kernel_size=kernel,
                    support_stride=stride)),
            build_norm_layer(norm_cfg, channels[i + 1])[1],
            nn.ReLU(inplace=True)
        ]
    return _Block(*layers)


def _resize_query(x: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge the query plane bilinearly, corners aligned."""
    support_and_channels = (*x.shape[4:], x.shape[1])
    x = F.interpolate(
        merged(x, 3, 5), tuple(size), mode='bilinear', align_corners=True)
    return x.movedim(1, -1).unflatten(3, support_and_channels).movedim(-1, 1)


def _same_support(*tensors: Tensor) -> List[Tensor]:
    """Average-pool support planes to the smallest where they differ.

    The published plan squeezes every level to 2 x 2 at 400 pixels; other sizes
    may leave, say, 3 x 3 beside 2 x 2.
    """
    smallest = tuple(min(sizes) for sizes in zip(*(t.shape[4:] for t in tensors)))
    return [
        t if t.shape[4:] == smallest else channels_last(
            F.adaptive_avg_pool2d(t.flatten(0, 3), smallest).unflatten(
                0, t.shape[:4])) for t in tensors
    ]
