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
from mmfss.utils import file_name

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
    - ``mIoU_low``, ``mIoU_high``: 95 % bootstrap interval of the mIoU. Each
      class's queries are resampled, a query with all its episodes: a list
      repeats queries, and episodes of one query are no independent draws.
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
            predicted through labelled area (``area_ratio``), all-foreground
            IoU, episodes and summed areas in pixels by class name
            (``per_class``) and by object size (``per_size``), and mIoU and
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
                ``class_id``, ``query`` and ``seed``.
        """
        for sample in data_samples:
            pred = sample['pred_sem_seg']['data'][0]
            label = sample['gt_sem_seg']['data'][0]
            valid = label != 255
            pred_fg, label_fg = (pred == 1) & valid, label == 1
            areas = (pred_fg & label_fg, pred_fg, label_fg, valid)
            self.results.append(
                (sample['class_id'], sample['seed'], sample['query'],
                 *(int(area.sum()) for area in areas)))
            if self.output_dir:
                name = file_name(
                    f'{sample["sample_idx"]:04d}_{sample["class_name"]}_'
                    f'{sample["query"]}.png')
                Image.fromarray(
                    (pred.cpu().numpy() * 255).astype(np.uint8)).save(
                        osp.join(self.output_dir, name))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Sum the areas and divide.

        Args:
            results (list[tuple]): Per episode: class, seed, query, and the
                areas of intersection, predicted, labelled and valid pixels.

        Returns:
            dict[str, float]: The figures, see the class.
        """
        classes = self.dataset_meta['class_ids']
        names = [self.dataset_meta['classes'][c] for c in classes]
        class_ids = np.array([result[0] for result in results])
        seeds, seed_index = np.unique([result[1] for result in results],
                                      return_inverse=True)
        queries = np.array([result[2] for result in results])
        areas = np.array([result[3:] for result in results], dtype=np.int64)
        masks = [class_ids == c for c in classes]

        per_seed = {}
        for i, seed in enumerate(seeds.tolist()):
            in_list = seed_index == i
            sums = np.stack([areas[m & in_list].sum(axis=0) for m in masks])
            per_seed[seed] = dict(
                mIoU=float(_iou(sums).mean()), **{'FB-IoU': _fb_iou(sums)})
            missing = [n for n, m in zip(names, masks) if not (m & in_list).any()]
            if missing:
                print_log(
                    f'The list of seed {seed} has no episode of '
                    f'{", ".join(missing)}: each counts as IoU 0 in the mIoU. '
                    'Evaluate more episodes.',
                    logger='current',
                    level=logging.WARNING)
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
            table = PrettyTable(
                [title, 'IoU', 'area / true', 'all foreground', 'Episodes'])
            for name, row in self.breakdown[key].items():
                table.add_row([
                    name, f'{row["IoU"]:.2f}', f'{row["area_ratio"]:.2f}',
                    f'{row["all_foreground"]:.2f}', row['episodes']
                ])
            print_log(
                f'{title.lower()} results:\n{table.get_string()}',
                logger='current')

        if len(per_seed) > 1:
            table = PrettyTable(['Seed', 'mIoU', 'FB-IoU'])
            for seed, row in per_seed.items():
                table.add_row([seed, f'{row["mIoU"]:.2f}', f'{row["FB-IoU"]:.2f}'])
            print_log(f'seed results:\n{table.get_string()}', logger='current')

        figures = {}
        for key in ('mIoU', 'FB-IoU'):
            values = [figure[key] for figure in per_seed.values()]
            figures[key] = float(np.mean(values))
            if len(values) > 1:
                figures[f'{key}_std'] = float(np.std(values, ddof=1))
        low, high = _bootstrap([
            _by_query(queries[m], seed_index[m], areas[m], len(seeds))
            for m in masks
        ])
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
        area_ratio=pred / max(label, 1),
        all_foreground=float(_percent(sums[2], sums[3])),
        episodes=len(areas),
        intersection=inter,
        union=pred + label - inter,
        labelled=label,
        valid=valid)


def _by_query(queries: np.ndarray, seeds: np.ndarray, areas: np.ndarray,
              num_seeds: int) -> np.ndarray:
    """Areas summed per query and list, ``(queries, lists, 4)``."""
    unique, index = np.unique(queries, return_inverse=True)
    sums = np.zeros((len(unique), num_seeds, areas.shape[-1]), np.int64)
    np.add.at(sums, (index, seeds), areas)
    return sums


def _bootstrap(classes: List[np.ndarray]) -> tuple:
    """2.5 % and 97.5 % points of the mIoU, resampling each class's queries.

    Args:
        classes (list[np.ndarray]): Per class, see :func:`_by_query`.
    """
    rs = np.random.RandomState(0)
    ious = []
    for sums in classes:
        n = len(sums)
        counts = rs.multinomial(n, [1 / max(n, 1)] * n, size=RESAMPLES)
        ious.append(_iou(np.einsum('bq,qsa->bsa', counts, sums)))
    # (classes, resamples, lists): the mIoU of each list, then their mean
    low, high = np.percentile(np.mean(ious, axis=(0, 2)), [2.5, 97.5])
    return float(low), float(high)
