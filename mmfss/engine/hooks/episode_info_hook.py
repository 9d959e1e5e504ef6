from typing import List

from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from mmfss.datasets import EpisodicDataset
from mmfss.registry import HOOKS


@HOOKS.register_module()
class EpisodeInfoHook(Hook):
    """Logs what a run trains on, and its effective batch.

    Its scalars also have, where the run starts, the episodes of an epoch and of
    an iteration (``episodes_per_epoch``, ``episodes_per_iter``), from which
    ``tools/analysis_tools/plot_logs.py`` counts.

    Example:
        >>> custom_hooks = [dict(type='EpisodeInfoHook')]
    """

    def before_train(self, runner) -> None:
        """Log the episodes of an epoch and the effective batch."""
        loader = runner.train_dataloader
        if not isinstance(loader.dataset, EpisodicDataset):
            return
        names = loader.dataset.class_names
        processes = get_world_size()
        accumulation = runner.optim_wrapper._accumulative_counts
        effective = loader.batch_size * processes * accumulation
        meant = (runner.auto_scale_lr or {}).get('base_batch_size', '?')
        runner.logger.info(
            f'Training on {len(loader.dataset)} episodes per epoch '
            f'({loader.dataset.shot}-shot) of the classes {listed(names)}.')
        runner.logger.info(
            f'Effective batch: {loader.batch_size} per process x {processes} '
            f'process(es) x {accumulation} accumulated = {effective}; the '
            f'learning rate is meant for {meant}.')
        runner.visualizer.add_scalars(
            dict(
                episodes_per_epoch=len(loader.dataset),
                episodes_per_iter=loader.batch_size * processes),
            step=runner.iter,
            file_path=f'{runner.timestamp}.json')
        if runner.val_loop is not None:
            tested = getattr(runner.val_dataloader.dataset, 'class_names', [])
            both = [name for name in names if name in tested]
            if both:
                runner.logger.warning(
                    f'Classes {listed(both)} are trained on and validated on: '
                    'few-shot figures are for classes never seen in training.')


def listed(names: List[str]) -> str:
    """Names as text; FSS-1000's hundreds would fill the screen."""
    if len(names) > 100:
        names = [*names[:3], f'... ({len(names) - 6} more)', *names[-3:]]
    return ', '.join(names)
