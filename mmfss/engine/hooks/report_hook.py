import os.path as osp
from typing import Optional

import torch
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.fileio import dump
from mmengine.hooks import Hook

from mmfss.datasets import EpisodicDataset
from mmfss.datasets.episodes import checksum
from mmfss.datasets.transforms import ResizeFewShot
from mmfss.registry import HOOKS
from mmfss.utils import replacing

from .episode_info_hook import listed


@HOOKS.register_module()
class ReportHook(Hook):
    """Says under which protocol figures are got, in text and as JSON.

    Before an evaluation it logs the protocol. After a test it writes the
    report: the figures, the protocol, the checksum of each list of episodes,
    and the breakdown by class, object size and seed.

    Args:
        out_file (str, optional): The report's file. Defaults to None:
            ``report.json`` beside the log.

    Example:
        >>> custom_hooks = [dict(type='ReportHook')]
    """

    def __init__(self, out_file: Optional[str] = None) -> None:
        self.out_file = out_file

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Log the protocol of a validation, which may have several lists."""
        if batch_idx == 0:
            self._log(runner, runner.val_loop)

    def before_test_epoch(self, runner) -> None:
        """Log the protocol of a test."""
        self._log(runner, runner.test_loop)

    @master_only
    def after_test_epoch(self, runner, metrics: dict) -> None:
        """Write the report of a test."""
        dataset = runner.test_dataloader.dataset
        if not isinstance(dataset, EpisodicDataset):
            return
        report = dict(
            metrics,
            checkpoint=runner._load_from,
            config=runner.cfg.filename,
            precision=precision(runner.test_loop),
            **describe(dataset))
        for metric in runner.test_evaluator.metrics:
            report.update(getattr(metric, 'breakdown', {}))
        path = self.out_file or osp.join(runner.log_dir, 'report.json')
        with replacing(path) as temporary:
            dump(report, temporary, file_format='json', indent=2)
        runner.logger.info(f'The report is in {path}')

    @staticmethod
    def _log(runner, loop) -> None:
        dataset = loop.dataloader.dataset
        if not isinstance(dataset, EpisodicDataset):
            return
        text = describe(dataset)
        sums = ', '.join(f'seed {seed}: {value[:16]}'
                         for seed, value in text['episodes_sha256'].items())
        runner.logger.info(
            f"Evaluating under protocol '{text['protocol']['name']}': "
            f"{text['dataset']}, {text['lists']} list(s) of "
            f"{text['episodes_per_list']} episodes, {text['shot']}-shot, "
            f"classes {listed(text['classes'])}; "
            f"{text['resize']}; {text['boundary']}; {precision(loop)}; "
            f"lists' SHA-256: {sums}"
            f"{'; ' + dataset.protocol.note if dataset.protocol.note else ''}")


def precision(loop) -> str:
    """In which precision a loop evaluates.

    Args:
        loop (mmengine.runner.BaseLoop): Of validation or test.

    Returns:
        str: 'float32', or the lower one in which autocast does what it may.
    """
    if not loop.fp16:  # mmengine's name for mixed precision of any kind
        return 'float32'
    dtype = torch.get_autocast_dtype(get_device())
    return f'mixed precision ({str(dtype).split(".")[1]})'


def describe(dataset) -> dict:
    """What an evaluation on a dataset does, in plain values.

    Args:
        dataset (EpisodicDataset): In test mode.

    Returns:
        dict: For the log and the report.
    """
    sizes = [
        '{} x {}, Pillow bilinear, aspect ratio {}kept'.format(
            *t.scale, '' if t.keep_ratio else 'not ')
        for outer in dataset.pipeline.transforms
        for t in getattr(getattr(outer, 'transforms', None), 'transforms', [])
        if isinstance(t, ResizeFewShot)
    ]
    resize = f'images resized to {", ".join(sizes)}'
    if not sizes:
        resize = f'images as of {" ".join(repr(dataset.pipeline).split())}'
    compared = 'its size on disk' if dataset.protocol.original_size else 'that size'
    boundary = ('label 255 is background in the support mask and in the loss, '
                'and is left out of the IoU')
    if dataset.data_list[0]['class_value'] is None:
        boundary = 'masks are binary, without a boundary label'
    return dict(
        dataset=type(dataset).__name__,
        fold=getattr(dataset, 'fold', None),
        classes=dataset.class_names,
        shot=dataset.shot,
        episodes_per_list=dataset.num_episodes,
        lists=len(dataset.episode_lists),
        episodes_sha256={
            seed: checksum(episodes)
            for seed, episodes in dataset.episode_lists.items()
        },
        resize=f'{resize}; masks compared at {compared}',
        boundary=boundary,
        protocol=dataset.protocol.to_dict())
