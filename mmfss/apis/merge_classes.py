import math
from typing import Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmfss.models.layers import merge_votes


def merge_classes(logits: Dict[str, Optional[Tensor]], size: Tuple[int, int],
                  score_thr: float) -> Tuple[Tensor, Dict[str, float]]:
    """One mask from what the supports of each class say about an image.

    A *score* is the softmax of foreground. A class claims the pixels that its
    supports vote for (:func:`kshot_vote`; a support votes for a score above
    ``score_thr``). The class with the best mean score gets a pixel.

    Args:
        logits (dict[str, Tensor]): By class, ``(K, 2, h, w)``, float32; None
            of a class that gets no pixel.
        size (tuple[int, int]): The mask's height and width.
        score_thr (float): Between 0 and 1.

    Returns:
        tuple: The mask (uint8, ``(H, W)``, the n-th class is n), and by class
        the mean score of its pixels, 0 without any.
    """
    mask = torch.zeros(size, dtype=torch.uint8)
    best = torch.zeros(size)
    for index, logit in enumerate(logits.values(), 1):
        if logit is not None:
            claimed, score = claim(logit, size, score_thr)
            claimed &= score > best
            mask.masked_fill_(claimed, index)
            torch.where(claimed, score, best, out=best)
    scores = {}
    for index, name in enumerate(logits, 1):
        pixels = best[mask == index]
        scores[name] = float(pixels.mean()) if len(pixels) else 0.
    return mask, scores


def claim(logits: Tensor, size: Tuple[int, int],
           score_thr: float) -> Tuple[Tensor, Tensor]:
    """What a class's supports vote for, bool, and their mean score, ``(H, W)``."""
    least = math.log(score_thr / (1 - score_thr))  # 0: the larger logit wins
    votes = torch.zeros(size, dtype=torch.int16)
    score = torch.zeros(size)
    for logit in logits.split(1):  # of a large photo, all at once are too many
        background, foreground = F.interpolate(
            logit, size, mode='bilinear', align_corners=True)[0]
        margin = foreground.sub_(background)
        votes += margin > least
        score += margin.sigmoid_()
    return merge_votes(votes[None])[0], score.div_(len(logits))
