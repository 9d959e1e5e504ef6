"""Hooks with which a test looks into a training run, or kills it."""
import os
import signal

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmfss.registry import HOOKS
from tests.conftest import REPO


def with_hook(folder, **hook):
    """The quick start's config with one of these hooks."""
    path = folder / 'with_hook.py'
    base = REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py'
    path.write_text(f'_base_ = {str(base)!r}\n'
                    "custom_imports = dict(imports=['tests.training_hooks'])\n"
                    f'custom_hooks = [{hook!r}]\n')
    return path


@HOOKS.register_module()
class RecordHook(Hook):
    """Saves what each rank saw and did as ``rank<n>.pt`` in the work dir."""

    def before_train(self, runner):
        self.record = dict(episodes={}, gradient=None, buckets=None)
        if is_model_wrapper(runner.model):
            data = runner.model._get_ddp_logging_data()
            self.record['buckets'] = data['total_parameter_size_bytes']

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.record['episodes'].setdefault(runner.epoch, []).extend(
            (sample.sample_idx[1], sample.query, tuple(sample.supports))
            for sample in data_batch['data_samples'])
        state = runner.optim_wrapper.optimizer.state
        if state and self.record['gradient'] is None:
            # after Adam's first step: (1 - beta1) times the gradient
            self.record['gradient'] = {
                name: 10 * state[p]['exp_avg'].clone()
                for name, p in runner.model.named_parameters() if p in state
            }

    def after_train(self, runner):
        self.record['backbone'] = {
            key: value
            for key, value in runner.model.state_dict().items()
            if 'backbone.' in key
        }
        torch.save(self.record, f'{runner.work_dir}/rank{get_rank()}.pt')


@HOOKS.register_module()
class KillHook(Hook):
    """Kills the run as ``kill -9`` does.

    Args:
        iteration (int, optional): Before this one.
        saving (int, optional): While this epoch's checkpoint is being written.
        best (bool): While it is written as the best one. Defaults to False.
    """

    def __init__(self, iteration=None, saving=None, best=False):
        self.iteration = iteration
        self.saving = saving
        self.best = best

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    def before_save_checkpoint(self, runner, checkpoint):
        best = 'optimizer' not in checkpoint
        if checkpoint['meta']['epoch'] == self.saving and best == self.best:
            os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
