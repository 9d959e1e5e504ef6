"""Checkpoints are files from strangers: load tensors and plain values only.

mmengine's own loaders fall back to unpickling arbitrary objects, which runs
code from the file. The loaders here replace them through mmengine's extension
point, ``CheckpointLoader.register_scheme``, so ``load_from``, ``--resume`` and
``init_cfg=dict(type='Pretrained', ...)`` all go through them.
"""
import os
import os.path as osp
import pickle
import re
from hashlib import sha256
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader


def _statistic(owner: type, name: str):
    """Stands in for ``getattr``, with which HistoryBuffer pickles its methods.

    The real one, which mmengine's allow-list holds, reaches ``__globals__``.
    """
    if owner is HistoryBuffer and name in ('mean', 'min', 'max', 'current'):
        return getattr(owner, name)
    raise pickle.UnpicklingError(
        f'weights_only: the file asks for attribute {name!r} of {owner!r}')


# Inert building blocks of honest checkpoints: numpy scalars and arrays, and
# the logged losses that mmengine's resume files hold.
_numpy_core = np._core if hasattr(np, '_core') else np.core
_SAFE = [
    HistoryBuffer, (_statistic, 'builtins.getattr'), np.ndarray, np.dtype,
    (_numpy_core.multiarray._reconstruct, 'numpy._core.multiarray._reconstruct'),
    (_numpy_core.multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
    (_numpy_core.multiarray.scalar, 'numpy._core.multiarray.scalar'),
    (_numpy_core.multiarray.scalar, 'numpy.core.multiarray.scalar'),
] + [type(np.dtype(t)) for t in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8',
                                 'u1', 'u2', 'u4', 'u8', '?')]


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location=None) -> dict:
    """Load a checkpoint from disk, never running code from it.

    Args:
        filename (str): Path of the file.
        map_location: As in :func:`torch.load`.

    Raises:
        FileNotFoundError: There is no such file.
        RuntimeError: The file is cut off, is no checkpoint, or holds objects
            other than tensors and plain values.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(
            f'There is no checkpoint {filename} (looked in {osp.abspath(".")}).')
    with open(filename, 'rb') as file:
        head = file.read(20)
    if head.startswith(b'version https://git-'):
        raise RuntimeError(f'{filename} is a pointer of Git LFS, not the file '
                           'itself. Fetch that: git lfs pull.')
    try:
        if not head.startswith((b'PK', b'\x80')):  # neither zip nor pickle
            raise ValueError(f'it begins with {head!r}')
        with torch.serialization.safe_globals(_SAFE):
            return torch.load(
                filename, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if 'weights_only' not in str(error).lower().replace(' ', '_'):
            raise RuntimeError(_damaged(filename, error)) from error
        raise RuntimeError(
            f'{filename} holds more than tensors and plain values, so loading '
            'it could run code; it was not loaded. If you trust its source, '
            'save its "state_dict" alone to a new file and load that.\n'
            f'(torch said: {str(error).splitlines()[0]})') from error
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes torch raise
        raise RuntimeError(_damaged(filename, error)) from error


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'), force=True)
def load_from_http(filename: str, map_location=None, model_dir=None) -> dict:
    """Download a checkpoint once (to torch hub's cache), then load it safely.

    Raises:
        RuntimeError: The file could not be downloaded, or see
            :func:`load_from_local`.
    """
    directory = model_dir or osp.join(torch.hub.get_dir(), 'checkpoints')
    name = osp.basename(urlparse(filename).path)
    if not re.search('-[0-9a-f]{8}', name):  # its hash, as the zoos write it
        # others have files of the same name
        directory = osp.join(directory, sha256(filename.encode()).hexdigest()[:8])
    path = osp.join(directory, name)
    if is_main_process():
        _download(filename, path)
    barrier()
    _download(filename, path)  # where the other nodes have a disk of their own
    return load_from_local(path, map_location)


def refuse(filename: str, map_location=None) -> None:
    """Stands in for mmengine's loaders that may run code from a file.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f'{filename}: mmfss loads checkpoints from a path or an http(s) URL '
        'only. Give the file\'s URL, or download it first.')


for _scheme in list(CheckpointLoader._schemes):
    if _scheme not in ('', 'http://', 'https://'):
        CheckpointLoader.register_scheme(_scheme, refuse, force=True)


def _download(url: str, path: str) -> None:
    if osp.isfile(path):
        return
    try:
        os.makedirs(osp.dirname(path), exist_ok=True)
        torch.hub.download_url_to_file(url, path)
    except (URLError, OSError) as error:
        raise RuntimeError(
            f'Cannot download {url}: {error}. Without internet, bring the file '
            f'along and put it at {path}, or name it in the config, e.g. '
            '--cfg-options model.backbone.init_cfg.checkpoint=/path/to/file.pth'
        ) from error


def _damaged(filename: str, error: Exception) -> str:
    return (f'{filename} is damaged or is no PyTorch checkpoint '
            f'({str(error).splitlines()[0] if str(error) else error!r}). '
            'If a copy or a run was cut off, use an earlier file.')
