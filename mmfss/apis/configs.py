"""What the inferencer reads from a config."""
import difflib
import glob
import os
import os.path as osp
from typing import List

from mmengine.config import Config, ConfigDict

ZOO = osp.join(osp.dirname(osp.dirname(osp.abspath(__file__))), 'zoo')


def model_names() -> List[str]:
    """Names of the trained models that come with mmfss."""
    return sorted(
        osp.splitext(file)[0] for file in os.listdir(ZOO) if file.endswith('.py'))


def read_config(path: str) -> Config:
    """Read a config file, or that of a model that comes with mmfss.

    Args:
        path (str): The file, or a name of :func:`model_names`; its config has
            the weights in ``load_from``.

    Raises:
        FileNotFoundError: There is no such file or model; names those like it.
    """
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
