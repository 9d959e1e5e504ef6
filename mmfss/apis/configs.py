"""What the inferencer reads from a config."""
import difflib
import glob
import os
import os.path as osp
from inspect import signature
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

# What a Runner reads from a config
_SETTINGS = {*signature(Runner).parameters, 'activation_checkpointing', 'compile',
             'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn'}
# and in those that it reads itself
_INNER = dict(
    auto_scale_lr=['enable', 'base_batch_size'],
    env_cfg=['cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'],
    randomness=['seed', 'diff_rank_seed', 'deterministic'])
ZOO = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), 'zoo')


def model_names() -> List[str]:
    """Names of the trained models that come with mmfss."""
    return sorted(
        osp.splitext(file)[0] for file in os.listdir(ZOO) if file.endswith('.py'))


def read_config(path: str, options: Optional[Dict[str, Any]] = None) -> Config:
    """Read a config file, or that of a model that comes with mmfss.

    Args:
        path (str): The file, or a name of :func:`model_names`; its config has
            the weights in ``load_from``.
        options (dict, optional): Settings to replace, nested keys with dots.
            Defaults to None.

    Raises:
        FileNotFoundError: There is no such file or model; names those like it.
        ValueError: An option would change nothing, or an item of a list that is
            not there.
    """
    cfg = _read(path)
    for option in options or {}:
        _check_option(cfg, option)
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'--cfg-options: {error.args[0]}. The items of a list are numbered: '
            'custom_hooks.0.type=...') from error
    return cfg


def _read(path: str) -> Config:
    if path in model_names():
        return Config.fromfile(osp.join(ZOO, f'{path}.py'))
    if osp.isfile(path):
        return Config.fromfile(path)
    repo = osp.join(osp.dirname(__file__), '..', '..', 'configs')
    configs = {
        osp.splitext(osp.basename(file))[0]: osp.relpath(file)
        for folder in (repo, osp.dirname(path) or '.')
        for file in glob.glob(osp.join(folder, '*.py'))
    }
    configs.update((name, name) for name in model_names())
    name = osp.splitext(osp.basename(path))[0]
    near = [configs[n] for n in difflib.get_close_matches(name, configs)]
    raise FileNotFoundError(
        f'There is no config or model {path} (seen from {osp.abspath(".")}). '
        f'{"Near: " + ", ".join(near) + "." if near else ""}')


def _check_option(cfg: Config, option: str) -> None:
    """Refuse what nothing reads: a typing error, or a variable of the file."""
    key, *inner = option.split('.')
    known = _INNER.get(key)
    if known and inner and inner[0] not in (*known, '_delete_'):
        raise ValueError(f'--cfg-options {option}: {key} has no {inner[0]}, but '
                         f'{", ".join(known)}.')
    if key in _SETTINGS:
        return
    if key not in cfg:
        near = difflib.get_close_matches(key, _SETTINGS)
        raise ValueError(
            f'--cfg-options {option}: there is no setting {key}. '
            f'{"Near: " + ", ".join(near) + "." if near else ""}')
    places = [place for name in cfg if name in _SETTINGS
              for place in _places(cfg[name], key, name)]
    raise ValueError(
        f'--cfg-options {option}: {key} is a variable of the config file, which has '
        'been read by then: nothing would change. '
        f'Set {" and ".join(places) or "it in a config of your own"}.')


def _places(value: Any, key: str, place: str) -> Iterator[str]:
    """Where in a setting a key stands, with dots."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield f'{place}.{name}'
            yield from _places(inner, key, f'{place}.{name}')


def image_transforms(cfg: ConfigDict) -> List[dict]:
    """What the test pipeline does to each image after loading.

    Raises:
        ValueError: The pipeline has no ForEachImage.
    """
    for step in cfg.test_dataloader.dataset.pipeline:
        if step['type'].split('.')[-1] == 'ForEachImage':
            return [t for t in step['transforms']
                    if not t['type'].split('.')[-1].startswith('Load')]
    raise ValueError(
        'The config\'s test_dataloader.dataset.pipeline has no ForEachImage, '
        'whose transforms prepare an image.')
