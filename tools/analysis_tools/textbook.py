"""HSNet as its formulas read: the yardstick of the benchmark."""
from typing import Dict, List, Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from torch import Tensor, nn

from mmfss.models import CenterPivotConv4d
from mmfss.structures import FewShotDataSample


class Textbook(nn.Module):
    """The straightforward form of HSNet, on a built model's weights.

    Each formula is written down with PyTorch's usual operators: a center-pivot
    convolution permutes the planes into a batch of images, convolves them and
    permutes back; K supports are K passes through everything, the query's
    features included; no operation works in place. It is called as the model
    is, and gives the same numbers.

    Args:
        model (nn.Module): An HSNet with center-pivot convolutions and
            GroupNorm. Its weights are used, not copied.

    Raises:
        ValueError: The model has other 4-D convolutions or norms.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for block in (*model.neck.squeeze, *model.neck.mix):
            for layers, known in ((block[0::3], CenterPivotConv4d),
                                  (block[1::3], nn.GroupNorm)):
                for layer in layers:
                    if not isinstance(layer, known):
                        raise ValueError(
                            'The textbook form knows center-pivot convolutions '
                            f'and GroupNorm only, not {type(layer).__name__}. '
                            "Leave model.neck's conv_cfg and norm_cfg at "
                            "HSNet's, or use --amp, which compares without it.")
        self.model = model

    def forward(self, inputs: Dict[str, Tensor],
                data_samples: List[FewShotDataSample], mode: str):
        """As of the model.

        Args:
            inputs (dict): ``query`` ``(B, 3, H, W)``, ``support``
                ``(B, K, 3, H, W)``.
            data_samples (list[FewShotDataSample]): With ``support_masks`` and,
                for the loss and the size of the masks, ``gt_sem_seg``.
            mode (str): 'tensor' gives logits ``(B, K, 2, h, w)``, 'loss' a
                dict, 'predict' the samples with ``pred_sem_seg``.
        """
        masks = torch.stack([s.support_masks for s in data_samples]) == 1
        logits = [
            self.decode(
                self.encode(
                    self.correlate(
                        self.extract_feat(inputs['query']),
                        self.extract_feat(inputs['support'][:, k]),
                        masks[:, k]))) for k in range(masks.shape[1])
        ]
        if mode == 'tensor':
            return torch.stack(logits, dim=1)
        labels = torch.cat([s.gt_sem_seg.data for s in data_samples])
        if mode == 'predict':
            masks = self.vote([self.segment(x, labels.shape[-2:]) for x in logits])
            for sample, mask in zip(data_samples, masks):
                sample.pred_sem_seg = PixelData(data=mask[None])
            return data_samples
        losses = [
            F.cross_entropy(
                _resize(x, labels.shape[-2:]), (labels == 1).long())
            for x in logits
        ]
        return dict(loss_ce=sum(losses) / len(losses))

    @torch.no_grad()
    def extract_feat(self, images: Tensor) -> List[List[Tensor]]:
        """Features of the frozen backbone, read by the model's taps."""
        with torch.enable_grad():  # the norms are then computed, not folded
            return self.model.taps(images)

    def correlate(self, query: Sequence[Sequence[Tensor]],
                  support: Sequence[Sequence[Tensor]],
                  support_masks: Tensor) -> List[Tensor]:
        """Per level ``(B, L, Hq, Wq, Hs, Ws)``; arguments as of the neck."""
        return [
            torch.stack([
                self.cosine(q, s, support_masks)
                for q, s in zip(query_maps, support_maps)
            ], dim=1) for query_maps, support_maps in zip(query, support)
        ]

    def cosine(self, query: Tensor, support: Tensor, masks: Tensor) -> Tensor:
        """Of a map ``(B, C, Hq, Wq)`` with one ``(B, C, Hs, Ws)``."""
        if self.model.neck.mask_support:
            support = support * _resize(masks[:, None].float(), support.shape[-2:])
        q, s = query.flatten(2), support.flatten(2)
        q = q / (q.norm(dim=1, keepdim=True) + 1e-5)
        s = s / (s.norm(dim=1, keepdim=True) + 1e-5)
        cosine = torch.bmm(q.transpose(1, 2), s).clamp(min=0)
        return cosine.view(-1, *query.shape[-2:], *support.shape[-2:])

    def encode(self, correlations: Sequence[Tensor]) -> Tensor:
        """The pyramid: the context, ``(B, C, Hq, Wq)``."""
        neck = self.model.neck
        squeezed = [
            _block(x, block) for x, block in zip(correlations, neck.squeeze)
        ]
        x = squeezed[0]
        for mix, shallower in zip(neck.mix, squeezed[1:]):
            x = _resize_query_plane(x, shallower.shape[2:4])
            grid = [min(sides) for sides in zip(x.shape[4:], shallower.shape[4:])]
            x = _pool_support_plane(x, grid) + _pool_support_plane(shallower, grid)
            x = _block(x, mix)
        return x.mean(dim=(4, 5))

    def decode(self, context: Tensor) -> Tensor:
        """The decoder: logits, ``(B, 2, 2 Hq, 2 Wq)``."""
        head = self.model.decode_head
        x = F.relu(head.before[0](context))
        x = F.relu(head.before[2](x))
        x = _resize(x, [2 * side for side in x.shape[-2:]])
        x = F.relu(head.after[0](x))
        return head.after[2](x)

    @staticmethod
    def segment(logits: Tensor, size: Sequence[int]) -> Tensor:
        """The mask that one support gives, ``(B, H, W)``."""
        return _resize(logits, size).argmax(dim=1)

    @staticmethod
    def vote(masks: Sequence[Tensor]) -> Tensor:
        """Merge the masks of K supports, each ``(B, H, W)``."""
        votes = torch.stack(masks).sum(dim=0)
        most = votes.amax(dim=(1, 2), keepdim=True).clamp(min=1)
        return (votes / most >= 0.5).long()


def _block(x: Tensor, block: nn.Sequential) -> Tensor:
    """[4-D convolution, GroupNorm, ReLU], thrice."""
    for conv, norm in zip(block[0::3], block[1::3]):
        x = _center_pivot(x, conv)
        flat = F.group_norm(
            x.flatten(2), norm.num_groups, norm.weight, norm.bias, norm.eps)
        x = F.relu(flat.view(x.shape))
    return x


def _center_pivot(x: Tensor, conv: CenterPivotConv4d) -> Tensor:
    """``(B, C, Hq, Wq, Hs, Ws)``, the support plane strided."""
    stride, padding = conv.support_stride, conv.kernel_size // 2

    images, put_back = _query_planes(x[..., ::stride, ::stride])
    over_query = put_back(
        F.conv2d(
            images,
            conv.query_conv.weight,
            conv.query_conv.bias,
            padding=padding))

    images, put_back = _support_planes(x)
    over_support = put_back(
        F.conv2d(
            images,
            conv.support_conv.weight,
            conv.support_conv.bias,
            stride=stride,
            padding=padding))
    return over_query + over_support


def _query_planes(x: Tensor):
    """As images ``(B Hs Ws, C, Hq, Wq)``, and the way back."""
    b, c, hq, wq, hs, ws = x.shape

    def put_back(y: Tensor) -> Tensor:
        return y.view(b, hs, ws, *y.shape[1:]).permute(0, 3, 4, 5, 1, 2)

    return x.permute(0, 4, 5, 1, 2, 3).reshape(-1, c, hq, wq), put_back


def _support_planes(x: Tensor):
    """As images ``(B Hq Wq, C, Hs, Ws)``, and the way back."""
    b, c, hq, wq, hs, ws = x.shape

    def put_back(y: Tensor) -> Tensor:
        return y.view(b, hq, wq, *y.shape[1:]).permute(0, 3, 1, 2, 4, 5)

    return x.permute(0, 2, 3, 1, 4, 5).reshape(-1, c, hs, ws), put_back


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size, mode='bilinear', align_corners=True)


def _resize_query_plane(x: Tensor, size: Sequence[int]) -> Tensor:
    images, put_back = _query_planes(x)
    return put_back(_resize(images, size))


def _pool_support_plane(x: Tensor, size: Sequence[int]) -> Tensor:
    """Where the levels' squeezed planes differ: to the smaller one."""
    if list(x.shape[4:]) == list(size):
        return x
    images, put_back = _support_planes(x)
    return put_back(F.adaptive_avg_pool2d(images, size))
