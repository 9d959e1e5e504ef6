import os.path as osp
import shutil
from collections import Counter, defaultdict
from typing import Dict

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmfss.datasets import EpisodicDataset
from mmfss.models.backbones.feature_cache import GB, FeatureCache
from mmfss.registry import HOOKS

COUNTS = ('passes', 'memory', 'disk')


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Says what the model's feature cache needs and may use, and what it saved.

    Silent without a cache. The model's config switches it on, see
    :class:`FeatureCache`: ``model.feature_cache=dict(memory_gb=8)``.

    Example:
        >>> custom_hooks = [dict(type='FeatureCacheHook')]
    """

    def __init__(self) -> None:
        self._announced = set()
        self._counts: Dict[str, Counter] = defaultdict(Counter)

    def _after_iter(self, runner, batch_idx, data_batch=None, outputs=None,
                    mode='train') -> None:
        cache = _cache(runner)
        if cache is None:
            return
        self._counts[mode] += cache.counts
        cache.counts.clear()
        if mode not in self._announced:
            self._announce(runner, cache, mode)

    def _after_epoch(self, runner, mode='train') -> None:
        if _cache(runner) is None:
            return
        counts = self._counts.pop(mode, {})
        counts = torch.tensor([counts.get(name, 0) for name in COUNTS])
        all_reduce(counts)
        passes, memory, disk = counts.tolist()
        runner.logger.info(
            f'Feature cache ({mode}): {passes} backbone passes for '
            f'{passes + memory + disk} images; {memory} came from memory, {disk} '
            'from disk.')
        if mode == 'train' and runner.epoch > 0 and not memory + disk:
            runner.logger.warning(
                'The feature cache served no image of this epoch: it is too small, or '
                'the pipeline changes the images at random. Without it '
                '(model.feature_cache=None) training is as fast.')

    def _announce(self, runner, cache: FeatureCache, mode: str) -> None:
        """After the first batch, when the size of a picture's maps is known."""
        modes = [mode]
        if mode == 'train' and runner.val_loop is not None:
            modes.append('val')
        self._announced.update(modes)
        datasets = [getattr(runner, f'{m}_dataloader').dataset for m in modes]
        if not all(isinstance(d, EpisodicDataset) for d in datasets):
            return
        each = cache.image_bytes
        number = sum(len(d.pictures) for d in datasets)
        need = number * each
        processes = get_world_size()
        text = (f'Feature cache ({" + ".join(modes)}): {number} pictures x '
                f'{each / 1e6:.3g} MB ({cache.dtype}) = {need / GB:.3g} GB. Memory '
                f'of {cache.limit / GB:.3g} GB'
                f'{" in each process" if processes > 1 else ""} holds '
                f'{min(number, cache.limit // each)} of them')
        allowed = cache.limit
        if cache.files is not None:
            folder = cache.files.folder
            free = shutil.disk_usage(folder).free
            text += (f', {osp.abspath(folder)} with {cache.files.limit / GB:.3g} GB '
                     f'{min(number, cache.files.limit // each)} '
                     f'(free there: {free / GB:.3g} GB)')
            allowed = max(allowed, cache.files.limit)
        if need <= allowed:
            text += ': each passes the backbone once'
            if processes > 1:
                text += ' in each process that meets it'
                text += ' and finds no file of it' if cache.files else ''
            runner.logger.info(f'{text}.')
        else:
            enough = f'{need / GB * 1.01:.3g}'
            runner.logger.warning(
                f'{text}: those used longest ago are forgotten, and pass again. '
                f'model.feature_cache.memory_gb={enough}, or a cache_dir with '
                f'disk_gb={enough}, would hold all.')


def _cache(runner) -> FeatureCache:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return getattr(model, 'feature_cache', None)
