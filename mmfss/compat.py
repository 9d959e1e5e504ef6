"""Every workaround for the installed libraries, each with its cause.

Nothing else in the package knows which line of OpenMMLab (the original one or
the maintained OneDL one) is installed.
"""
import contextlib
import importlib
import importlib.metadata
import io
import sys
import types
import warnings

import torch

# mmcv without compiled ops warns at import about an operator that no few-shot
# model uses.
warnings.filterwarnings(
    'ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def _refuse_mixed_lines() -> None:
    """The two lines install files of the same names and overwrite each other.

    pip does not notice, and the mixture fails later in obscure ways.
    """
    mixed = []
    for name in ('mmengine', 'mmcv', 'mmsegmentation', 'mmpretrain'):
        installed = []
        for distribution in (name, f'onedl-{name}'):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                importlib.metadata.distribution(distribution)
                installed.append(distribution)
        if len(installed) == 2:
            mixed.append(' and '.join(installed))
    if mixed:
        raise ImportError(
            f'Both lines of OpenMMLab are installed ({"; ".join(mixed)}); they '
            'overwrite each other\'s files. Make a new virtual environment and '
            'install one: pip install "mmfss[onedl]" or "mmfss[openmmlab]".')


def import_zoo() -> None:
    """Import the backbones of mmpretrain and mmseg, quietly.

    ``mmpretrain.models`` imports ``torchvision.ops.boxes`` for two multimodal
    files. Where torchvision is missing or does not fit torch, empty stand-ins
    take its place for the length of this import only (left in
    ``sys.modules`` they would mislead mmengine's ``collect_env``).

    The OneDL line prints 'Could not import OneDL' while it is imported.
    """
    stand_ins = []
    try:
        importlib.import_module('torchvision.ops')
    except (ImportError, RuntimeError):
        # a broken torchvision leaves halves of itself behind
        for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
            del sys.modules[name]
        stand_ins = ['torchvision', 'torchvision.ops', 'torchvision.ops.boxes']
        for name in stand_ins:
            sys.modules[name] = types.ModuleType(name)
            parent, _, child = name.rpartition('.')
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            for name in ('mmpretrain.models', 'mmseg.models'):
                importlib.import_module(name)
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def prepare_distributed(cfg) -> None:
    """Let the Runner train over several processes without CUDA, too.

    - mmengine's ``init_dist`` calls ``torch.cuda.set_device`` whatever the
      backend. The Runner keeps a process group that exists already, so make
      the gloo group first.
    - The Runner wraps the model with ``device_ids=[LOCAL_RANK]``, which DDP
      refuses for a model on the CPU.

    Args:
        cfg (mmengine.Config): The run's config, changed in place.
    """
    if cfg.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise RuntimeError(
            f'--launcher {cfg.launcher} needs CUDA, and there is none here. On '
            'CPU, start the processes with torchrun and --launcher pytorch.')
    if not torch.distributed.is_initialized():  # a second run in one process
        torch.distributed.init_process_group(backend='gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False)


_refuse_mixed_lines()
