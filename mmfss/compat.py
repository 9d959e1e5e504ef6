"""Every workaround for the installed libraries, each with its cause.

Nothing else in the package knows which line of OpenMMLab (the original one or
the maintained OneDL one) is installed.
"""
import contextlib
import importlib
import importlib.metadata
import io
import os
import sys
import types
import warnings

import torch

# mmcv without compiled ops warns at import about an operator that no few-shot
# model uses.
warnings.filterwarnings(
    'ignore', message='Fail to import ``MultiScaleDeformableAttention``')


# what starts the processes, and what it sets in their environment
_LAUNCHERS = dict(
    pytorch=('torchrun (tools/dist_train.sh)',
             ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')),
    slurm=('srun (tools/slurm_train.sh)',
           ('SLURM_PROCID', 'SLURM_LOCALID', 'SLURM_NTASKS', 'SLURM_NODELIST',
            'SLURM_STEP_NUM_NODES')),
    mpi=("Open MPI's mpirun",
         ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK',
          'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_SIZE')))


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
            'install one: pip install -e ".[onedl]" or ".[openmmlab]".')


def import_zoo() -> None:
    """Import the backbones of mmpretrain and mmseg, quietly.

    ``mmpretrain.models`` imports ``torchvision.ops.boxes`` for two multimodal
    files. Where torchvision is missing or does not fit torch, empty stand-ins
    take its place for the length of this import only (left in
    ``sys.modules`` they would mislead mmengine's ``collect_env``).

    mmpretrain's multimodal models, which are no backbones, do not run with
    transformers 5, and their import fails. They are left out as where there is
    no transformers.

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
            dependency = importlib.import_module('mmpretrain.utils.dependency')
            if dependency.satisfy_requirement('transformers>=5'):
                dependency.WITH_MULTIMODAL = False
            for name in ('mmpretrain.models', 'mmseg.models'):
                importlib.import_module(name)
    finally:
        for name in stand_ins:
            sys.modules.pop(name, None)


def prepare_distributed(cfg) -> None:
    """Let the Runner join the processes that a launcher started, on CPU, too.

    - mmengine's ``init_dist`` calls ``torch.cuda.set_device`` whatever the
      backend, which fails without CUDA.
    - The Runner wraps the model with ``device_ids=[LOCAL_RANK]``, which DDP
      refuses for a model on the CPU, and which ``mpirun`` does not set.
    - For slurm it asks ``scontrol``, which a container may not have, for the
      first node's address, for mpi nobody; on one node it is known.

    Args:
        cfg (mmengine.Config): The run's config, changed in place.

    Raises:
        RuntimeError: The launcher named did not start this process.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none':
        return
    program, needed = _LAUNCHERS[launcher]
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher {launcher}: {", ".join(missing)} not set, so {program} '
            'did not start this process. Start it so, or leave --launcher out.')
    env = os.environ
    if launcher == 'slurm' and env['SLURM_STEP_NUM_NODES'] == '1':
        env.setdefault('MASTER_ADDR', '127.0.0.1')
    if launcher == 'mpi':
        env['LOCAL_RANK'] = env['OMPI_COMM_WORLD_LOCAL_RANK']
        if env['OMPI_COMM_WORLD_LOCAL_SIZE'] == env['OMPI_COMM_WORLD_SIZE']:
            env.setdefault('MASTER_ADDR', '127.0.0.1')
        elif 'MASTER_ADDR' not in env:
            raise RuntimeError(
                '--launcher mpi on several nodes: set MASTER_ADDR to the address '
                'of the node of rank 0, e.g. mpirun -x MASTER_ADDR=10.0.0.1 ...')
    if torch.cuda.is_available():
        return
    torch.cuda.set_device = lambda device: None
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False)


def leave_distributed() -> None:
    """End what :func:`prepare_distributed` began, when all processes are done.

    mmengine leaves the connections and their threads to the interpreter's end,
    where a process whose work was done was seen to abort ("terminate called
    without an active exception").
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


_refuse_mixed_lines()
