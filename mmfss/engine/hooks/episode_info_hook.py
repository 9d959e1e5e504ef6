from mmengine.dist import get_world_size
from mmengine.hooks import Hook

from mmfss.datasets.episodes import checksum
from mmfss.registry import HOOKS


@HOOKS.register_module()
class EpisodeInfoHook(Hook):
    """Logs what a run trains on, and under which protocol a figure was got.

    Example:
        >>> custom_hooks = [dict(type='EpisodeInfoHook')]
    """

    def before_train(self, runner) -> None:
        """Log the episodes of an epoch and the effective batch."""
        loader = runner.train_dataloader
        processes = get_world_size()
        accumulation = runner.optim_wrapper._accumulative_counts
        effective = loader.batch_size * processes * accumulation
        published = (runner.auto_scale_lr or {}).get('base_batch_size', '?')
        runner.logger.info(
            f'Training on {len(loader.dataset)} episodes per epoch '
            f'({loader.dataset.shot}-shot) of the classes '
            f'{_class_names(loader.dataset)}.')
        runner.logger.info(
            f'Effective batch: {loader.batch_size} per process x {processes} '
            f'process(es) x {accumulation} accumulated = {effective}; the '
            f"learning rate is meant for {published}.")

    def before_val_epoch(self, runner) -> None:
        """Log the protocol of a validation."""
        self._log_protocol(runner, runner.val_dataloader.dataset)

    def before_test_epoch(self, runner) -> None:
        """Log the protocol of a test."""
        self._log_protocol(runner, runner.test_dataloader.dataset)

    @staticmethod
    def _log_protocol(runner, dataset) -> None:
        runner.logger.info(
            f"Evaluating under protocol 'hsnet': {len(dataset)} episodes, "
            f'{dataset.shot}-shot, seed {dataset.seed}, classes '
            f'{_class_names(dataset)}, list SHA-256 '
            f'{checksum(dataset.episodes)[:16]}')


def _class_names(dataset) -> str:
    meta = dataset.metainfo
    names = [meta['classes'][c] for c in meta['class_ids']]
    if len(names) > 100:  # FSS-1000's would fill the screen
        names[3:-3] = [f'... ({len(names) - 6} more)']
    return ', '.join(names)
