from typing import List, Optional, Sequence, Union

import torch
from torch import Tensor

from mmfss.registry import MODELS
from mmfss.utils.is_traced import is_traced

from .few_shot_segmentor import FewShotSegmentor


@MODELS.register_module()
class HSNet(FewShotSegmentor):
    """Hypercorrelation Squeeze Network (Min et al., ICCV 2021).

    ``backbone`` (frozen) → levels of feature maps → ``neck`` (hypercorrelation,
    4-D pyramid) → context → ``decode_head`` → logits.

    Args:
        backbone (dict): Config of any backbone of the zoo.
        neck (dict): Config of the neck; ``in_channels`` and ``strides``, the
            number of maps per level and their strides, are filled in from the
            taps where they are not given.
        decode_head (dict): Config of the decode head; ``in_channels`` is filled
            in from the neck's ``out_channels`` where it is not given.
        taps (str | Sequence[Sequence[str]]): See :class:`FeatureTaps`.
        data_preprocessor (dict, optional): Config of the preprocessor.
        init_cfg (dict, optional): As of :class:`mmengine.model.BaseModule`.
        feature_cache (dict, optional): See :class:`FeatureCache`.
    """

    def __init__(self,
                 backbone: dict,
                 neck: dict,
                 decode_head: dict,
                 taps: Union[str, Sequence[Sequence[str]]] = 'auto',
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None,
                 feature_cache: Optional[dict] = None) -> None:
        super().__init__(backbone, taps, data_preprocessor, init_cfg,
                         feature_cache)
        self.neck = MODELS.build({
            'in_channels': self.taps.num_maps,
            'strides': self.taps.strides,
            **neck
        })
        self.decode_head = MODELS.build({
            'in_channels': self.neck.out_channels,
            **decode_head
        })

    def encode_support(self, features: List[List[Tensor]],
                       masks: Tensor) -> List[List[Tensor]]:
        """The supports' masked unit features; see the base class."""
        return self.neck.encode_support(features, masks)

    def encode_query(self,
                     features: List[List[Tensor]]) -> List[List[Tensor]]:
        """The queries' unit features; see the base class."""
        return self.neck.encode_query(features)

    def decode(self, query: List[List[Tensor]],
               support: List[List[Tensor]]) -> Tensor:
        """Segment each query once per support; see the base class.

        In eval mode on a CPU one support at a time: the last bits of a logit then
        do not depend on the other supports, as in :meth:`encode_decode`.
        """
        queries, supports = len(query[0][0]), len(support[0][0])
        if self.training or query[0][0].device.type != 'cpu' or is_traced():
            logits = self._decode(query, support)
        else:
            shots = supports // queries
            logits = torch.cat([
                self._decode(_only(query, i // shots), _only(support, i))
                for i in range(supports)
            ])
        return logits.unflatten(0, (queries, -1))

    def _decode(self, query: List[List[Tensor]],
                support: List[List[Tensor]]) -> Tensor:
        return self.decode_head(self.neck.encode(query, support))


def _only(levels: List[List[Tensor]], i: int) -> List[List[Tensor]]:
    """Of a batch, the one with this number."""
    return [[x[i:i + 1] for x in maps] for maps in levels]
