from typing import Dict, List, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from mmfss.registry import MODELS
from mmfss.structures import FewShotDataSample

from ..layers import prototypes, unit_features
from .few_shot_segmentor import FewShotSegmentor

# From similarities to logits: a difference of 0.1 is a score of 0.88. It changes
# no mask.
_SCALE = 20.


@MODELS.register_module()
class PrototypeNet(FewShotSegmentor):
    """Segmentation by prototypes: a baseline that learns nothing.

    A support has two prototypes: the mean feature of its object, and that of
    its background. A query's position is foreground where its features are more
    alike to the first, by cosine similarity. The last map of each level is
    taken, and similarities are averaged over the levels, at the shallowest.

    The difference of two similarities needs no tuning where one alone does:
    features have a common part, so that everything is alike to everything, how
    much depends on the backbone.

    Args:
        backbone (dict): Config of any backbone of the zoo, with pretrained
            weights.
        threshold (float): By how much the object's similarity must exceed the
            background's, -2 to 2. Defaults to 0.
        taps (str | Sequence[Sequence[str]]): See :class:`FeatureTaps`.
        data_preprocessor (dict, optional): Config of the preprocessor.
        init_cfg (dict, optional): As of :class:`mmengine.model.BaseModule`.
        feature_cache (dict, optional): See :class:`FeatureCache`.

    Raises:
        ValueError: No difference of similarities exceeds the threshold, or
            every one.
    """

    def __init__(self,
                 backbone: dict,
                 threshold: float = 0,
                 taps: Union[str, Sequence[Sequence[str]]] = 'auto',
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None,
                 feature_cache: Optional[dict] = None) -> None:
        super().__init__(backbone, taps, data_preprocessor, init_cfg,
                         feature_cache)
        if not -2 <= threshold <= 2:
            raise ValueError(
                'PrototypeNet: threshold is a difference of two cosine '
                f'similarities, between -2 and 2, not {threshold}.')
        self.threshold = threshold

    def encode_support(self, images: Tensor, masks: Tensor) -> List[Tensor]:
        """The supports' prototypes; see the base class.

        Returns:
            list[Tensor]: Per level the prototypes of background and object,
            ``(B * K, 2, C)``.
        """
        return [
            torch.stack([  # float16 would not hold the sums
                prototypes(maps[-1].float(), part) for part in (~masks, masks)
            ], dim=1) for maps in self.extract_feat(images)
        ]

    def encode_query(self, images: Tensor) -> List[Tensor]:
        """The queries' unit features; see the base class.

        Returns:
            list[Tensor]: Per level, ``(B, C, h, w)``.
        """
        return unit_features([maps[-1] for maps in self.extract_feat(images)])

    def decode(self, query: List[Tensor], support: List[Tensor]) -> Tensor:
        """Compare each query with each of its supports; see the base class."""
        size = query[-1].shape[-2:]  # of the shallowest level
        similarities = []
        for features, prototype in zip(query, support):
            pairs = torch.einsum(
                'bchw,bkpc->bkphw', features,
                prototype.to(features).unflatten(0, (len(features), -1)))
            similarities.append(
                F.interpolate(
                    pairs.flatten(0, 1), size, mode='bilinear',
                    align_corners=True))
        logits = torch.stack(similarities).mean(dim=0)
        logits[:, 1] -= self.threshold
        return _SCALE * logits.unflatten(0, pairs.shape[:2])

    def loss(self, inputs: Dict[str, Tensor],
             data_samples: List[FewShotDataSample]) -> Dict[str, Tensor]:
        """There is none.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError('PrototypeNet has nothing to train: test it, '
                           'python tools/test.py CONFIG.')
