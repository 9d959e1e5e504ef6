import os
import os.path as osp
import re
from glob import escape, glob
from typing import Callable, Collection, List, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import CheckpointLoader, IterBasedTrainLoop

from mmfss.models.backbones.weights import leave_out_backbone
from mmfss.registry import HOOKS
from mmfss.utils import replacing


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` for runs that may be killed at any moment.

    - A file gets its name when it is complete, never before.
    - An outdated file, also the best so far, is removed when its successor is
      in place. (mmengine removes first: with ``max_keep_ckpts=1``, a run that
      is killed while it saves would have none.)
    - Resuming without a path takes the newest file that can be loaded, and says
      which; mmengine takes the one named in ``last_checkpoint``, whole or not.
    - A run resumed from a file of another folder leaves that folder's best file.
    - A resumed run validates first: a checkpoint is older than its validation,
      in which the run may have been killed.

    Args:
        save_backbone (bool): False leaves the frozen backbone out of the files.
            Loading one takes the backbone from ``model.backbone.init_cfg``.
            Defaults to True: a file of its own that needs no other.
        **kwargs: As of mmengine's ``CheckpointHook``, on a local disk.

    Raises:
        TypeError: An argument is unknown.

    Example:
        >>> default_hooks = dict(checkpoint=dict(
        ...     type='SafeCheckpointHook', interval=1, max_keep_ckpts=2,
        ...     save_best='mIoU', save_backbone=False))
    """

    def __init__(self, save_backbone: bool = True, **kwargs) -> None:
        super().__init__(backend_args=dict(backend='checkpoint'), **kwargs)
        self.save_backbone = save_backbone
        if self.args:  # else found out by the first save
            raise TypeError(
                f'default_hooks.checkpoint has no argument {", ".join(self.args)}.')

    def before_run(self, runner) -> None:
        """Choose the file to resume from, if none is named."""
        if not runner._resume or runner._load_from is not None:
            return
        found = [self._newest(runner) if is_main_process() else None]
        broadcast_object_list(found)
        runner._load_from, = found
        if runner._load_from is None:
            runner._resume = False
            runner.logger.warning(
                f'There is no checkpoint to resume from in {runner.work_dir}: '
                'training starts anew.')
        else:
            runner.logger.info(f'Resuming from {runner._load_from}')

    def before_train(self, runner) -> None:
        """Prepare; after a resume, validate what may not have been.

        Raises:
            ValueError: ``save_best`` names no figure of ``MultiShotValLoop``.
        """
        super().before_train(runner)
        self._forget_best_elsewhere(runner)
        shots = getattr(runner.val_loop, 'dataloaders', None)
        if shots:
            self._check_best(shots)
        loop = runner.train_loop
        done, end = runner.epoch, runner.max_epochs
        if isinstance(loop, IterBasedTrainLoop):
            done, end = runner.iter, runner.max_iters
        loop._decide_current_val_interval()
        if (runner.val_loop is not None and done >= max(1, loop.val_begin)
                and (done % loop.val_interval == 0 or done == end)):
            self.last_ckpt = runner._load_from
            runner.val_loop.run()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse to resume from what is no state of a training.

        Raises:
            ValueError: It has weights only, as the best files have.
        """
        whole = 'iter' in checkpoint.get('meta', {}) and (
            'optimizer' in checkpoint or not self.save_optimizer)
        if runner._resume and not whole:
            raise ValueError(
                f'{runner._load_from} has weights only, no state of a training to '
                'go on from (best_*.pth never has one, epoch_*.pth and iter_*.pth '
                'do unless save_optimizer=False). To start a new one from them: '
                f'--cfg-options load_from={runner._load_from}, without --resume.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leave the backbone out, if so configured."""
        if not self.save_backbone:
            leave_out_backbone(checkpoint['state_dict'])
            leave_out_backbone(checkpoint.get('ema_state_dict', {}), 'module.')

    def _check_best(self, shots: Collection[int]) -> None:
        """Before training, not after the first validation."""
        endings = tuple(f'_{shot}shot' for shot in shots)
        for figure in getattr(self, 'key_indicators', []):
            if figure != 'auto' and not figure.endswith(endings):
                raise ValueError(
                    f'default_hooks.checkpoint.save_best={figure!r}: with several '
                    'numbers of supports the figures are '
                    f'{", ".join(f"mIoU{ending}" for ending in endings)} and the '
                    'like. Name one of them.')

    def _publish_model(self, runner, ckpt_path: Optional[str]) -> None:
        if ckpt_path is not None:  # a figure that has not improved since resuming
            super()._publish_model(runner, ckpt_path)

    def _forget_best_elsewhere(self, runner) -> None:
        """A run resumed from another folder has no best file yet."""
        folder = osp.dirname(runner._load_from or '')
        same = osp.realpath(folder) == osp.realpath(self.out_dir)

        def here(path):  # the folder may have been moved
            path = path and osp.join(self.out_dir, osp.basename(path))
            return path if path and same and osp.isfile(path) else None

        if hasattr(self, 'best_ckpt_path'):
            self.best_ckpt_path = here(self.best_ckpt_path)
        if hasattr(self, 'best_ckpt_path_dict'):
            self.best_ckpt_path_dict = {
                key: here(path) for key, path in self.best_ckpt_path_dict.items()
            }

    def _newest(self, runner) -> Optional[str]:
        """The newest file of a run that can be loaded."""
        folder = runner.work_dir
        if self.out_dir is not None:
            folder = osp.join(self.out_dir, osp.basename(osp.normpath(folder)))
        name = re.sub(r'\{.*?\}', '*', self.filename_tmpl)
        paths = glob(osp.join(escape(folder), name))
        for path in sorted(paths, key=_age(folder), reverse=True):
            try:
                CheckpointLoader.load_checkpoint(path, 'cpu', logger=None)
                return path
            except (RuntimeError, OSError) as error:
                runner.logger.warning(f'Not resuming from {path}: {error}')
        return None

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        self.file_backend.remove_outdated()

    def _save_best_checkpoint(self, runner, metrics) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self.file_backend.remove_outdated()


@register_backend('checkpoint')
class CheckpointBackend(LocalBackend):
    """The local disk; files come whole and go late.

    :meth:`put` renames a complete file to its name; :meth:`remove` waits for
    :meth:`remove_outdated`.
    """

    def __init__(self) -> None:
        self.outdated: List[str] = []

    def put(self, obj: bytes, filepath: str) -> None:
        """Write a file; until it is complete, the old one stays."""
        with replacing(filepath) as temporary, open(temporary, 'wb') as file:
            file.write(obj)
            file.flush()
            os.fsync(file.fileno())

    def remove(self, filepath: str) -> None:
        """Note a file as outdated."""
        self.outdated.append(filepath)

    def remove_outdated(self) -> None:
        """Remove the files noted since the last call."""
        for path in self.outdated:
            super().remove(path)
        self.outdated.clear()


def _age(folder: str) -> Callable[[str], tuple]:
    """A key to sort by: the file that ``last_checkpoint`` names is the newest.

    But for a later one, if the run was killed between the two. A copy may have
    given the files other times, so that is one with a larger number, too. Without
    ``last_checkpoint``, the time of writing decides, then the number.
    """

    def written(path):
        numbers = re.findall(r'\d+', osp.basename(path))
        return osp.getmtime(path), int(numbers[-1]) if numbers else 0

    last = osp.join(folder, 'last_checkpoint')
    if osp.isfile(last):
        with open(last) as file:
            last = osp.join(folder, osp.basename(file.read().strip()))
    if not osp.isfile(last):
        return written
    time, number = written(last)

    def key(path):
        later = all(a >= b for a, b in zip(written(path), (time, number)))
        return later, *written(path)

    return key
