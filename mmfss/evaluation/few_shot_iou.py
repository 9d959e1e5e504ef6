import os.path as osp
from typing import Dict, List, Optional, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.utils import mkdir_or_exist
from PIL import Image
from prettytable import PrettyTable

from mmfss.registry import METRICS


@METRICS.register_module()
class FewShotIoU(BaseMetric):
    """mIoU and FB-IoU of few-shot segmentation (HSNet, section 5), in percent.

    - ``mIoU``: foreground intersection and union are summed per class over all
      episodes; the mean of the classes' IoUs.
    - ``FB-IoU``: intersections and unions of foreground and of background are
      summed over everything; the mean of the two IoUs.
    - ``mIoU_all_foreground``: the mIoU of calling every pixel foreground, on
      the same episodes. A model that understands nothing gets this.

    Pixels labelled 255 are left out. Areas are integers until the last
    division, so the figures do not depend on the number of processes.

    Args:
        output_dir (str, optional): Save predicted masks there as PNG (0, 255).
        collect_device (str): 'cpu' or 'gpu'. Defaults to 'cpu'.
        prefix (str, optional): Of the metrics' names. Defaults to None.
    """
    default_prefix = ''

    def __init__(self,
                 output_dir: Optional[str] = None,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.output_dir = output_dir
        if output_dir:
            mkdir_or_exist(output_dir)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the areas of each episode.

        Args:
            data_batch (dict): Unused.
            data_samples (Sequence[dict]): With ``pred_sem_seg``, ``gt_sem_seg``
                and ``class_id``.
        """
        for sample in data_samples:
            pred = sample['pred_sem_seg']['data'][0]
            label = sample['gt_sem_seg']['data'][0]
            valid = label != 255
            pred_fg, label_fg = (pred == 1) & valid, label == 1
            areas = (pred_fg & label_fg, pred_fg, label_fg, valid)
            self.results.append(
                (sample['class_id'], *(int(area.sum()) for area in areas)))
            if self.output_dir:
                name = f'{sample["sample_idx"]:04d}_{sample["class_name"]}_' \
                       f'{sample["query"].replace("/", "_")}.png'
                Image.fromarray(
                    (pred.cpu().numpy() * 255).astype(np.uint8)).save(
                        osp.join(self.output_dir, name))

    def compute_metrics(self, results: List[tuple]) -> Dict[str, float]:
        """Sum the areas and divide.

        Args:
            results (list[tuple]): Per episode: class, and the areas of
                intersection, predicted, labelled and valid pixels.

        Returns:
            dict[str, float]: ``mIoU``, ``FB-IoU``, ``mIoU_all_foreground``.
        """
        classes = self.dataset_meta['class_ids']
        names = self.dataset_meta['classes']
        results = np.asarray(results, dtype=np.int64)
        sums = np.stack([
            results[results[:, 0] == class_id, 1:].sum(axis=0)
            for class_id in classes
        ])  # (classes, 4)
        inter, pred, label, valid = sums.T
        union = pred + label - inter
        ious = _percent(inter, union)
        trivial = _percent(label, valid)
        fb_ious = _percent(
            np.array([inter.sum(), (valid - union).sum()]),
            np.array([union.sum(), (valid - inter).sum()]))

        table = PrettyTable(['Class', 'IoU', 'all foreground', 'Episodes'])
        for class_id, iou, base in zip(classes, ious, trivial):
            episodes = int((results[:, 0] == class_id).sum())
            table.add_row(
                [names[class_id], f'{iou:.2f}', f'{base:.2f}', episodes])
        print_log(f'per class results:\n{table.get_string()}', logger='current')
        return {
            'mIoU': float(ious.mean()),
            'FB-IoU': float(fb_ious.mean()),
            'mIoU_all_foreground': float(trivial.mean())
        }


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return 100 * part / np.maximum(whole, 1)
