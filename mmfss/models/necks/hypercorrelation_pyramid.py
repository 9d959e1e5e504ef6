from typing import List, Optional, Sequence

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmfss.registry import MODELS

from ..layers import hypercorrelation, mask_features
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
        mask_support: bool = True) -> None:
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
        self.out_channels = channels[-1]
        self.squeeze = nn.ModuleList(
            _block((maps, *channels), kernels, strides, conv_cfg, norm_cfg)
            for maps, kernels, strides in zip(in_channels, kernel_sizes,
                                              support_strides))
        self.mix = nn.ModuleList(
            _block((self.out_channels, ) * 4, (3, 3, 3), (1, 1, 1), conv_cfg,
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
        return self.encode(self.correlate(query, support, support_masks))

    def correlate(self, query: Sequence[Sequence[Tensor]],
                  support: Sequence[Sequence[Tensor]],
                  support_masks: Tensor) -> List[Tensor]:
        """The hypercorrelation of each level.

        Args: as of :meth:`forward`.

        Returns:
            list[Tensor]: Per level ``(B * K, L, Hq, Wq, Hs, Ws)``.
        """
        if self.mask_support:
            support = [mask_features(maps, support_masks) for maps in support]
        return [hypercorrelation(q, s) for q, s in zip(query, support)]

    def encode(self, correlations: Sequence[Tensor]) -> Tensor:
        """The pyramid of 4-D convolutions.

        Args:
            correlations (Sequence[Tensor]): Of :meth:`correlate`.

        Returns:
            Tensor: As of :meth:`forward`.
        """
        squeezed = [block(c) for block, c in zip(self.squeeze, correlations)]
        mixed = squeezed[0]
        for mix, shallower in zip(self.mix, squeezed[1:]):
            mixed = _resize_query(mixed, shallower.shape[2:4])
            mixed, shallower = _same_support(mixed, shallower)
            mixed = mix(mixed + shallower)
        return mixed.mean(dim=(-2, -1))


def _block(channels: Sequence[int], kernel_sizes: Sequence[int],
           support_strides: Sequence[int], conv_cfg: dict,
           norm_cfg: dict) -> nn.Sequential:
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
    return nn.Sequential(*layers)


def _resize_query(x: Tensor, size: Sequence[int]) -> Tensor:
    """Enlarge the query plane bilinearly, corners aligned.

    Trilinear with the flattened support plane as third axis: that axis keeps
    its size, so it is copied exactly.
    """
    support = x.shape[4:]
    x = F.interpolate(
        x.flatten(4), (*size, support.numel()),
        mode='trilinear',
        align_corners=True)
    return x.unflatten(4, support)


def _same_support(*tensors: Tensor) -> List[Tensor]:
    """Average-pool support planes to the smallest where they differ.

    The published plan squeezes every level to 2 x 2 at 400 pixels; other sizes
    may leave, say, 3 x 3 beside 2 x 2.
    """
    smallest = tuple(min(sizes) for sizes in zip(*(t.shape[4:] for t in tensors)))
    return [
        t if t.shape[4:] == smallest else F.adaptive_avg_pool2d(
            t.flatten(0, 3), smallest).unflatten(0, t.shape[:4]) for t in tensors
    ]
