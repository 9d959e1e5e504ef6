"""Which annotated images of a class help, and which hurt?"""
from typing import List, Sequence

import numpy as np
import torch

from mmfss.datasets.annotations import AnnotationType
from mmfss.datasets.annotations.image_files import ImageType
from mmfss.models.layers import merge_votes
from mmfss.visualization import foreground_iou

from .merge_classes import claim


def score_supports(inferencer, images: Sequence[ImageType],
                   masks: Sequence[AnnotationType], class_name: str,
                   score_thr: float) -> List[dict]:
    """Segment each annotated image with the others.

    Args:
        inferencer (FewShotInferencer): Its fitted classes stay as they are.
        images, masks, class_name: See :meth:`FewShotInferencer.fit`.
        score_thr (float): See :meth:`FewShotInferencer.__call__`.

    Returns:
        list[dict]: See :meth:`FewShotInferencer.score_supports`.

    Raises:
        ValueError: There are fewer than two, or one cannot be used.
    """
    images, masks = ([x] if not isinstance(x, (list, tuple)) else x
                     for x in (images, masks))
    count = len(images)
    if count < 2 or len(masks) != count:
        raise ValueError(
            f'class {class_name!r}: {count} image(s) and {len(masks)} mask(s). To '
            'score annotated images by each other takes at least two, with one '
            'mask each.')
    support_set = inferencer.support_set
    fitted, support_set.supports = support_set.supports, {}
    # of image q: by all but q, by all but q and s, by s alone
    by_others = np.zeros(count)
    by_others_but, by_one = np.full((2, count, count), np.nan)
    try:
        encoded, queries, truths, names = [], [], [], []
        for image, mask in zip(images, masks):
            pair = inferencer.read_support(image, mask, class_name)
            inferencer.fit_read([pair], class_name)
            encoded.append(support_set.supports[class_name])
            queries.append(inferencer.preprocess(pair['img']))
            truths.append(torch.from_numpy(pair['gt_seg_map']))
            names.append(pair['img_path'])
        for q, (query, truth) in enumerate(zip(queries, truths)):
            # each of the others as a class of its own
            support_set.supports = {
                str(s): encoded[s] for s in range(count) if s != q
            }
            logits, _ = support_set.segment(query, score_thr)
            votes = {
                int(s): claim(logit.cpu(), truth.shape, score_thr)[0].short()
                for s, logit in logits.items()
            }
            total = sum(votes.values())
            by_others[q] = foreground_iou(merge_votes(total[None])[0], truth)
            for s, voted in votes.items():
                by_others_but[q, s] = foreground_iou(
                    merge_votes(total[None] - voted)[0], truth)
                by_one[q, s] = foreground_iou(voted == 1, truth)
    finally:
        support_set.supports = fitted
    gains = by_others[:, None] - by_others_but
    return [
        dict(
            name=name,
            iou=float(by_others[n]),
            iou_alone=float(np.nanmean(by_one[:, n])),
            gain=float(np.nanmean(gains[:, n])) if count > 2 else None)
        for n, name in enumerate(names)
    ]
