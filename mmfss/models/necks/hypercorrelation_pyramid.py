from typing import Callable, List, Optional, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmfss.registry import MODELS

from ..layers import (
    Conv4d,
    channels_last,
    group_norm,
    hypercorrelation,
    mask_features,
    merged,
    unit_features,
)
from .squeeze_plan import squeeze_plan


@MODELS.register_module()
class HypercorrelationPyramid(BaseModule):
    """Hypercorrelations, squeezed by a pyramid of 4-D convolutions.

    HSNet, sections 4.1 and 4.2. Per level: correlate query and support maps,
    squeeze the support plane with three 4-D convolutions. Then top-down:
    enlarge the deeper level's query plane, add, mix with three more. Last, the
    mean over what is left of the support plane. A single level has no mixing.

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
        if not len(in_channels) == len(kernel_sizes) == len(support_strides):
            raise ValueError(
                'HypercorrelationPyramid: in_channels, kernel_sizes and '
                'support_strides need one item per level, but have '
                f'{len(in_channels)}, {len(kernel_sizes)} and '
                f'{len(support_strides)}.')
        self.mask_support = mask_support
        self.with_cp = with_cp
        self.out_channels = channels[-1]
        self.squeeze = nn.ModuleList(
            _Block((maps, *channels), kernels, strides, conv_cfg, norm_cfg)
            for maps, kernels, strides in zip(in_channels, kernel_sizes,
                                              support_strides))
        self.mix = nn.ModuleList(
            _Block((self.out_channels, ) * 4, (3, 3, 3), (1, 1, 1), conv_cfg,
                   norm_cfg) for _ in in_channels[1:])

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
        return self.encode(query, self.encode_support(support, support_masks))

    def encode_support(self, support: Sequence[Sequence[Tensor]],
                       support_masks: Tensor) -> List[List[Tensor]]:
        """The part of :meth:`forward` that no query changes.

        Args: as of :meth:`forward`.

        Returns:
            list[list[Tensor]]: Per level the masked unit vectors of each map,
            ``(B * K, C, Hs, Ws)``.
        """
        if self.mask_support:
            support = [mask_features(maps, support_masks) for maps in support]
        return [unit_features(maps) for maps in support]

    def encode(self, query: Sequence[Sequence[Tensor]],
               support: Sequence[Sequence[Tensor]]) -> Tensor:
        """The part of :meth:`forward` behind :meth:`encode_support`.

        Args:
            query (Sequence[Sequence[Tensor]]): As of :meth:`forward`.
            support (Sequence[Sequence[Tensor]]): Of :meth:`encode_support`.

        Returns:
            Tensor: As of :meth:`forward`.
        """
        query = [unit_features(maps) for maps in query]
        squeezed = [
            self._run(block.correlate, *maps)
            for block, *maps in zip(self.squeeze, query, support)
        ]
        mixed = squeezed[0]
        for mix, shallower in zip(self.mix, squeezed[1:]):
            mixed = _resize_query(mixed, shallower.shape[2:4])
            mixed, shallower = _same_support(mixed, shallower)
            mixed = self._run(mix, mixed + shallower)
        # the same as over the last two dimensions, but in the memory's order
        return mixed.movedim(1, -1).mean(dim=(3, 4)).movedim(-1, 1)

    def correlate(self, query: Sequence[Sequence[Tensor]],
                  support: Sequence[Sequence[Tensor]],
                  support_masks: Tensor) -> List[Tensor]:
        """The hypercorrelations, for a look at them.

        :meth:`forward` need not hold them as a whole.

        Args: as of :meth:`forward`.

        Returns:
            list[Tensor]: Per level ``(B * K, L, Hq, Wq, Hs, Ws)``.
        """
        return [
            hypercorrelation(unit_features(q), s) for q, s in zip(
                query, self.encode_support(support, support_masks))
        ]

    def _run(self, block: Callable[..., Tensor], *inputs) -> Tensor:
        if not (self.with_cp and torch.is_grad_enabled()):
            return block(*inputs)
        return checkpoint(
            block, *inputs, use_reentrant=False, preserve_rng_state=False)


class _Block(nn.Sequential):
    """[4-D convolution, norm, ReLU] for each step of the channels."""

    def __init__(self, channels: Sequence[int], kernel_sizes: Sequence[int],
                 support_strides: Sequence[int], conv_cfg: dict,
                 norm_cfg: dict) -> None:
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
        super().__init__(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self._after_first(self[0](x))

    def correlate(self, query: Sequence[Tensor],
                  support: Sequence[Tensor]) -> Tensor:
        """Apply to the hypercorrelation of query and support maps."""
        return self._after_first(self[0].correlate(query, support))

    def _after_first(self, x: Tensor) -> Tensor:
        for layer in list(self)[1:]:
            if isinstance(layer, Conv4d):
                x = layer(x)
                continue
            image = merged(x, 2, 4)  # norms know no six dimensions
            image = (
                group_norm(layer, image)
                if isinstance(layer, nn.GroupNorm) else layer(image))
            x = image.unflatten(3, x.shape[3:])
        return x


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
