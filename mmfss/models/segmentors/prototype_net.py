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

    A prototype is the mean feature of a support's object. A query's position is
    foreground where its features are more alike to it, by cosine similarity,
    than to the prototype of the support's background, or than a threshold. The
    last map of each level is taken, and similarities are averaged over the
    levels, at the shallowest.

    Args:
        backbone (dict): Config of any backbone of the zoo, with pretrained
            weights.
        threshold (float, optional): The similarity, -1 to 1, above which a
            position is foreground. What separates best depends on the backbone
            and its taps: choose it on training classes. Defaults to None: the
            similarity to the background, which is nothing to choose, but wants
            supports and queries before like backgrounds.
        taps (str | Sequence[Sequence[str]]): See :class:`FeatureTaps`.
        data_preprocessor (dict, optional): Config of the preprocessor.
        init_cfg (dict, optional): As of :class:`mmengine.model.BaseModule`.
        feature_cache (dict, optional): See :class:`FeatureCache`.

    Raises:
        ValueError: The threshold is no similarity.
    """

    def __init__(self,
                 backbone: dict,
                 threshold: Optional[float] = None,
                 taps: Union[str, Sequence[Sequence[str]]] = 'auto',
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None,
                 feature_cache: Optional[dict] = None) -> None:
        super().__init__(backbone, taps, data_preprocessor, init_cfg,
                         feature_cache)
        if threshold is not None and not -1 <= threshold <= 1:
            raise ValueError('PrototypeNet: threshold is a cosine similarity, '
                             f'between -1 and 1, not {threshold}.')
        self.threshold = threshold

    def encode_support(self, features: List[List[Tensor]],
                       masks: Tensor) -> List[Tensor]:
        """The supports' prototypes; see the base class.

        Returns:
            list[Tensor]: Per level the prototypes of background and object,
            ``(B * K, 2, C)``.
        """
        return [
            torch.stack([  # float16 would not hold the sums
                prototypes(maps[-1].float(), part) for part in (~masks, masks)
            ], dim=1) for maps in features
        ]

    def encode_query(self, features: List[List[Tensor]]) -> List[Tensor]:
        """The queries' unit features; see the base class.

        Returns:
            list[Tensor]: Per level, ``(B, C, h, w)``.
        """
        return unit_features([maps[-1] for maps in features])

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
        if self.threshold is not None:
            logits[:, 0] = self.threshold
        return _SCALE * logits.unflatten(0, pairs.shape[:2])

    def loss(self, inputs: Dict[str, Tensor],
             data_samples: List[FewShotDataSample]) -> Dict[str, Tensor]:
        """There is none.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError('PrototypeNet has nothing to train: test it, '
                           'python tools/test.py CONFIG.')
