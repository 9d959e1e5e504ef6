import os
import os.path as osp
import re
from glob import escape, glob
from typing import List, Optional

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import CheckpointLoader

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
    - A resumed run validates first: the epoch's checkpoint is older than its
      validation, in which the run may have been killed.

    Args:
        save_backbone (bool): False leaves the frozen backbone out of the files.
            Loading one takes the backbone from ``model.backbone.init_cfg``.
            Defaults to True: a file of its own that needs no other.
        **kwargs: As of mmengine's ``CheckpointHook``, on a local disk.

    Example:
        >>> default_hooks = dict(checkpoint=dict(
        ...     type='SafeCheckpointHook', interval=1, max_keep_ckpts=2,
        ...     save_best='mIoU', save_backbone=False))
    """

    def __init__(self, save_backbone: bool = True, **kwargs) -> None:
        super().__init__(backend_args=dict(backend='checkpoint'), **kwargs)
        self.save_backbone = save_backbone

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
        """Prepare; after a resume, validate what may not have been."""
        super().before_train(runner)
        loop = runner.train_loop
        if (self.by_epoch and runner.epoch > 0 and runner.val_loop is not None
                and runner.epoch >= loop.val_begin
                and runner.epoch % loop.val_interval == 0):
            self.last_ckpt = runner._load_from
            runner.val_loop.run()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leave the backbone out, if so configured."""
        if not self.save_backbone:
            leave_out_backbone(checkpoint['state_dict'])
            leave_out_backbone(checkpoint.get('ema_state_dict', {}), 'module.')

    def _newest(self, runner) -> Optional[str]:
        """The newest file of a run that can be loaded."""
        folder = runner.work_dir
        if self.out_dir is not None:
            folder = osp.join(self.out_dir, osp.basename(osp.normpath(folder)))
        name = re.sub(r'\{.*?\}', '*', self.filename_tmpl)
        paths = glob(osp.join(escape(folder), name))
        for path in sorted(paths, key=_age, reverse=True):
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


def _age(path: str) -> tuple:
    """Sorts by time of writing; of equal ones, by the number in the name."""
    numbers = re.findall(r'\d+', osp.basename(path))
    return osp.getmtime(path), int(numbers[-1]) if numbers else 0
