from abc import abstractmethod
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.structures import PixelData
from mmseg.models import BaseSegmentor
from torch import Tensor

from mmfss.registry import MODELS
from mmfss.structures import FewShotDataSample

from ..backbones import FeatureCache, FeatureTaps
from ..backbones.weights import (
    bring_in_backbone,
    check_weights_fit,
    pretrained_cfgs,
    rename_torchvision,
)
from ..layers import kshot_vote

# Images of a test that pass the backbone together, elsewhere than on a CPU
_AT_ONCE = 16


class FewShotSegmentor(BaseSegmentor):
    """Base of the few-shot segmentors: an episode in, a mask out.

    It holds a frozen backbone with its feature taps, and merges K supports by
    the published vote. A method implements :meth:`encode_support`,
    :meth:`encode_query` and :meth:`decode`.

    Inputs of every mode are those of :class:`FewShotDataPreProcessor`:
    ``dict(query=(B, 3, H, W), support=(B, K, 3, H, W))`` and a list of B
    :obj:`FewShotDataSample` with ``support_masks`` (in training also
    ``gt_sem_seg``). Label 255 counts as background in the loss and in the
    support masks, as in the published protocol.

    Args:
        backbone (dict): Config of any backbone of the zoo. It is frozen:
            no gradients, always in eval mode.
        taps (str | Sequence[Sequence[str]]): Which of its activations to use,
            see :class:`FeatureTaps`. Defaults to 'auto'.
        data_preprocessor (dict, optional): Config of the preprocessor.
        init_cfg (dict, optional): As of :class:`mmengine.model.BaseModule`.
        feature_cache (dict, optional): Switches on the cache of the backbone's
            features: the limits of :class:`FeatureCache`, e.g.
            ``dict(memory_gb=8)``. Defaults to None: no cache.
    """

    def __init__(self,
                 backbone: dict,
                 taps: Union[str, Sequence[Sequence[str]]] = 'auto',
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None,
                 feature_cache: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.backbone.requires_grad_(False)
        self.backbone.eval()
        self.taps = FeatureTaps(self.backbone, taps)
        self.feature_cache = None
        if feature_cache is not None:
            self.feature_cache = FeatureCache(self.taps, backbone, **feature_cache)
        self.backbone._register_load_state_dict_pre_hook(
            rename_torchvision, with_module=True)
        self._register_load_state_dict_pre_hook(
            bring_in_backbone, with_module=True)
        for module in (self.backbone, self):
            module._register_load_state_dict_pre_hook(
                check_weights_fit, with_module=True)

    def init_weights(self) -> None:
        """Initialise; loudly if that leaves a frozen backbone random."""
        # timm's come with the backbone, when it is built
        loaded = getattr(self.backbone, 'is_init', False)
        super().init_weights()
        if not (loaded or pretrained_cfgs(self.backbone)):
            print_log(
                f'The frozen {type(self.backbone).__name__} backbone is RANDOM: '
                'model.backbone.init_cfg names no pretrained weights. Few-shot '
                'segmentation does not learn from random features.',
                logger='current',
                level=30)

    def train(self, mode: bool = True) -> 'FewShotSegmentor':
        """Set the mode; the backbone stays in eval mode."""
        super().train(mode)
        self.backbone.eval()
        self.taps.check_weights()
        if self.feature_cache is not None:
            self.feature_cache.check_weights()
        return self

    @torch.no_grad()
    def extract_feat(self, images: Tensor) -> List[List[Tensor]]:
        """Features of the frozen backbone.

        With a feature cache, and in eval mode on a CPU, each image runs alone:
        its features do not depend on those beside it by their last bits.

        Args:
            images (Tensor): ``(N, 3, H, W)``.

        Returns:
            list[list[Tensor]]: Per level, deep to shallow, its maps, each
            ``(N, C, h, w)``.

        Raises:
            ValueError: The backbone or its taps do not take images of this size.
        """
        # which convolutions on the CPU, and in half precision on a GPU, prefer
        images = images.contiguous(memory_format=torch.channels_last)
        if self.feature_cache is None and self.training:
            return self.taps(images)
        extract, at_once = self.taps, 1 if images.device.type == 'cpu' else _AT_ONCE
        if self.feature_cache is not None:
            extract, at_once = self.feature_cache, 1
        each = [extract(part) for part in images.split(at_once)]
        if len(each) == 1 and self.feature_cache is None:
            return each[0]
        return [[torch.cat(maps) for maps in zip(*level)] for level in zip(*each)]

    @abstractmethod
    def encode_support(self, features: List[List[Tensor]], masks: Tensor) -> Any:
        """Encode supports, once for any number of queries.

        Args:
            features (list[list[Tensor]]): Of :meth:`extract_feat`, of
                ``(B * K, 3, H, W)``, the K supports of an episode together.
            masks (Tensor): bool, ``(B * K, H, W)``.

        Returns:
            Any: What :meth:`decode` wants.
        """

    @abstractmethod
    def encode_query(self, features: List[List[Tensor]]) -> Any:
        """Encode queries, once for any number of supports.

        Args:
            features (list[list[Tensor]]): Of :meth:`extract_feat`, of
                ``(B, 3, H, W)``.

        Returns:
            Any: What :meth:`decode` wants.
        """

    @abstractmethod
    def decode(self, query: Any, support: Any) -> Tensor:
        """Segment each query once per support.

        Args:
            query (Any): Of :meth:`encode_query`.
            support (Any): Of :meth:`encode_support`.

        Returns:
            Tensor: Logits of background and foreground, ``(B, K, 2, h, w)``.
        """

    def segment(self, images: Tensor, support: Any) -> Tensor:
        """Segment images with supports that were encoded before.

        Args:
            images (Tensor): Normalised images, ``(B, 3, H, W)``.
            support (Any): Of :meth:`encode_support`.

        Returns:
            Tensor: As of :meth:`decode`.
        """
        return self.decode(
            self.encode_query(self.extract_feat(images)), support)

    def encode_decode(self, inputs: Dict[str, Tensor],
                      data_samples: List[FewShotDataSample]) -> Tensor:
        """Segment each query once per support of its episode.

        In eval mode on a CPU one support at a time, in the memory that one
        takes. Then the libraries choose their algorithms, and with them the last
        bits of a logit, independent of the batch. A GPU would mostly wait for
        its next kernel.

        Returns:
            Tensor: As of :meth:`decode`.
        """
        masks = torch.stack([s.support_masks for s in data_samples]) == 1
        if self.training or masks.device.type != 'cpu':
            query, support = self._extract_both(
                inputs['query'], inputs['support'].flatten(0, 1))
            # under the same names: the features' memory is free for the rest
            query = self.encode_query(query)
            support = self.encode_support(support, masks.flatten(0, 1))
            return self.decode(query, support)
        return torch.cat([
            self._decode_in_turn(
                self.encode_query(self.extract_feat(query)), *supports)
            for query, *supports in zip(inputs['query'].split(1),
                                        inputs['support'], masks)
        ])

    def _extract_both(self, query: Tensor,
                      support: Tensor) -> Tuple[List[List[Tensor]], ...]:
        """In one pass, where they have one size."""
        if query.shape[1:] != support.shape[1:]:
            return self.extract_feat(query), self.extract_feat(support)
        features = self.extract_feat(torch.cat([query, support]))
        return tuple([[x[part] for x in maps] for maps in features]
                     for part in (slice(len(query)), slice(len(query), None)))

    def _decode_in_turn(self, query: Any, images: Tensor,
                        masks: Tensor) -> Tensor:
        return torch.cat([
            self.decode(query, self.encode_support(self.extract_feat(image), mask))
            for image, mask in zip(images.split(1), masks.split(1))
        ], dim=1)

    def _forward(self, inputs: Dict[str, Tensor],
                 data_samples: List[FewShotDataSample]) -> Tensor:
        """``mode='tensor'``: the logits, ``(B, K, 2, h, w)``."""
        return self.encode_decode(inputs, data_samples)

    def loss(self, inputs: Dict[str, Tensor],
             data_samples: List[FewShotDataSample]) -> Dict[str, Tensor]:
        """``mode='loss'``: each support's prediction against the query's mask.

        Args:
            inputs (dict[str, Tensor]): Normalised images: ``query``,
                ``(B, 3, H, W)``, and ``support``, ``(B, K, 3, H, W)``.
            data_samples (list[FewShotDataSample]): B, each with
                ``support_masks``, ``(K, H, W)``, and ``gt_sem_seg``,
                ``(1, H, W)``; 1 is the object.

        Returns:
            dict[str, Tensor]: The decode head's losses, scalars.
        """
        logits = self.encode_decode(inputs, data_samples)
        labels = torch.stack([s.gt_sem_seg.data[0] for s in data_samples])
        foreground = (labels == 1).repeat_interleave(logits.shape[1], dim=0)
        return self.decode_head.loss(logits.flatten(0, 1), foreground)

    def predict(
            self, inputs: Dict[str, Tensor],
            data_samples: List[FewShotDataSample]) -> List[FewShotDataSample]:
        """``mode='predict'``: K masks per query, merged by vote.

        Masks have the size of the ground truth that they will be compared
        with; without one, that of the query on disk.

        Args:
            inputs (dict[str, Tensor]): As of :meth:`loss`.
            data_samples (list[FewShotDataSample]): As of :meth:`loss`; with or
                without ``gt_sem_seg``, which may have any size.

        Returns:
            list[FewShotDataSample]: The given samples, with ``pred_sem_seg``
            (int64, ``(1, H, W)``, 0 or 1) and ``seg_logits`` (float,
            ``(2, H, W)``, the mean of the K supports' logits).
        """
        batch = self.encode_decode(inputs, data_samples)
        for sample, logits in zip(data_samples, batch):
            if 'gt_sem_seg' in sample:
                size = sample.gt_sem_seg.shape
            else:
                size = sample.get('ori_shape', inputs['query'].shape[-2:])
            logits = F.interpolate(
                logits.float(), size, mode='bilinear', align_corners=True)
            mask = kshot_vote((logits[:, 1] > logits[:, 0])[None])
            sample.pred_sem_seg = PixelData(data=mask)
            sample.seg_logits = PixelData(data=logits.mean(dim=0))
        return data_samples
