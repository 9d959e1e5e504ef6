import logging
import os.path as osp
from typing import Dict, List, Optional, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.utils import mkdir_or_exist
from PIL import Image
from prettytable import PrettyTable

from mmfss.registry import METRICS

# objects by the share of the query that they cover
SIZES = {'small (< 1/16)': (0, 1 / 16), 'medium': (1 / 16, 1 / 4),
         'large (>= 1/4)': (1 / 4, 1.01)}
RESAMPLES = 1000


@METRICS.register_module()
class FewShotIoU(BaseMetric):
    """mIoU and FB-IoU of few-shot segmentation, in percent.

    - ``mIoU``: foreground intersection and union are summed per class over all
      episodes; the mean of the classes' IoUs.
    - ``FB-IoU``: intersections and unions of foreground and of background are
      summed over everything; the mean of the two IoUs.
    - ``mIoU_all_foreground``: the mIoU of calling every pixel foreground, on
      the same episodes. A model that understands nothing gets this.
    - ``mIoU_low``, ``mIoU_high``: 95 % bootstrap interval of the mIoU, over
      the episodes of each class.
    - ``mIoU_std``, ``FB-IoU_std``: with several seeds, the spread over their
      lists (with n - 1); the figures themselves are means over the lists.

    Pixels labelled 255 are left out. Areas are integers until the last
    division, so the figures do not depend on the number of processes.

    Args:
        output_dir (str, optional): Save predicted masks there as PNG (0, 255).
        collect_device (str): 'cpu' or 'gpu'. Defaults to 'cpu'.
        prefix (str, optional): Of the metrics' names. Defaults to None.

    Attributes:
        breakdown (dict): After an evaluation, on the first process: IoU,
            all-foreground IoU, episodes and summed areas in pixels by class
            name (``per_class``) and by object size (``per_size``), and mIoU and
            FB-IoU by seed (``per_seed``).
    """
    default_prefix = ''

    def __init__(self,
                 output_dir: Optional[str] = None,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.output_dir = output_dir
        self.breakdown: dict = {}
        if output_dir:
            mkdir_or_exist(output_dir)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the areas of each episode.

        Args:
            data_batch (dict): Unused.
            data_samples (Sequence[dict]): With ``pred_sem_seg``, ``gt_sem_seg``,
                ``class_id`` and ``seed``.
        """
        for sample in data_samples:
            pred = sample['pred_sem_seg']['data'][0]
            label = sample['gt_sem_seg']['data'][0]
            valid = label != 255
            pred_fg, label_fg = (pred == 1) & valid, label == 1
            areas = (pred_fg & label_fg, pred_fg, label_fg, valid)
            self.results.append((sample['class_id'], sample.get('seed', 0),
                                 *(int(area.sum()) for area in areas)))
            if self.output_dir:
                name = f'{sample["sample_idx"]:04d}_{sample["class_name"]}_' \
                       f'{sample["query"].replace("/", "_")}.png'
                Image.fromarray(
                    (pred.cpu().numpy() * 255).astype(np.uint8)).save(
                        osp.join(self.output_dir, name))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Sum the areas and divide.

        Args:
            results (list[tuple]): Per episode: class, seed, and the areas of
                intersection, predicted, labelled and valid pixels.

        Returns:
            dict[str, float]: The figures, see the class.
        """
        classes = self.dataset_meta['class_ids']
        names = [self.dataset_meta['classes'][c] for c in classes]
        results = np.asarray(results, dtype=np.int64)
        class_ids, seeds, areas = results[:, 0], results[:, 1], results[:, 2:]
        masks = [class_ids == c for c in classes]

        missing = [name for name, m in zip(names, masks) if not m.any()]
        if missing:
            print_log(
                f'No episode of {", ".join(missing)}: each counts as IoU 0 in '
                'the mIoU. Evaluate more episodes.',
                logger='current',
                level=logging.WARNING)
        per_seed = {}
        for seed in np.unique(seeds).tolist():
            sums = np.stack([areas[m & (seeds == seed)].sum(axis=0) for m in masks])
            per_seed[seed] = dict(
                mIoU=float(_iou(sums).mean()), **{'FB-IoU': _fb_iou(sums)})
        sums = np.stack([areas[m].sum(axis=0) for m in masks])
        trivial = _percent(sums[:, 2], sums[:, 3])
        share = areas[:, 2] / np.maximum(areas[:, 3], 1)
        sizes = {
            name: (low <= share) & (share < high)
            for name, (low, high) in SIZES.items()
        }
        self.breakdown = dict(
            per_class={
                name: _row(areas[m])
                for name, m in zip(names, masks)
            },
            per_size={
                name: _row(areas[m])
                for name, m in sizes.items()
            },
            per_seed=per_seed)
        for title, key in (('Class', 'per_class'), ('Object size', 'per_size')):
            table = PrettyTable([title, 'IoU', 'all foreground', 'Episodes'])
            for name, row in self.breakdown[key].items():
                table.add_row([
                    name, f'{row["IoU"]:.2f}', f'{row["all_foreground"]:.2f}',
                    row['episodes']
                ])
            print_log(
                f'{title.lower()} results:\n{table.get_string()}',
                logger='current')

        figures = {}
        for key in ('mIoU', 'FB-IoU'):
            values = [figure[key] for figure in per_seed.values()]
            figures[key] = float(np.mean(values))
            if len(values) > 1:
                figures[f'{key}_std'] = float(np.std(values, ddof=1))
        low, high = _bootstrap([areas[m] for m in masks])
        return dict(
            figures,
            mIoU_all_foreground=float(trivial.mean()),
            mIoU_low=low,
            mIoU_high=high)


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return 100 * part / np.maximum(whole, 1)


def _iou(areas: np.ndarray) -> np.ndarray:
    """Foreground IoU from areas ``(..., 4)``, in percent."""
    inter, pred, label, _ = np.moveaxis(areas, -1, 0)
    return _percent(inter, pred + label - inter)


def _fb_iou(areas: np.ndarray) -> float:
    inter, pred, label, valid = areas.sum(axis=0)
    union = pred + label - inter
    both = _percent(
        np.array([inter, valid - union]), np.array([union, valid - inter]))
    return float(both.mean())


def _row(areas: np.ndarray) -> dict:
    sums = areas.sum(axis=0)
    inter, pred, label, valid = sums.tolist()
    return dict(
        IoU=float(_iou(sums)),
        all_foreground=float(_percent(sums[2], sums[3])),
        episodes=len(areas),
        intersection=inter,
        union=pred + label - inter,
        labelled=label,
        valid=valid)


def _bootstrap(areas: List[np.ndarray]) -> tuple:
    """2.5 % and 97.5 % points of the mIoU, resampling each class's episodes."""
    rs = np.random.RandomState(0)
    ious = []
    for of_class in areas:
        n = max(len(of_class), 1)
        counts = rs.multinomial(len(of_class), [1 / n] * n, size=RESAMPLES)
        ious.append(_iou(counts[:, :len(of_class)] @ of_class))
    low, high = np.percentile(np.mean(ious, axis=0), [2.5, 97.5])
    return float(low), float(high)
