"""What the inferencer reads from a config."""
import difflib
import glob
import os.path as osp
from typing import List

from mmengine.config import Config, ConfigDict


def read_config(path: str) -> Config:
    """Read a config file.

    Raises:
        FileNotFoundError: There is no such file; names those like it.
    """
    if osp.isfile(path):
        return Config.fromfile(path)
    repo = osp.join(osp.dirname(__file__), '..', '..', 'configs')
    configs = {
        osp.splitext(osp.basename(file))[0]: osp.relpath(file)
        for folder in (repo, osp.dirname(path) or '.')
        for file in glob.glob(osp.join(folder, '*.py'))
    }
    name = osp.splitext(osp.basename(path))[0]
    near = [configs[n] for n in difflib.get_close_matches(name, configs)]
    raise FileNotFoundError(
        f'There is no config {path} (seen from {osp.abspath(".")}). '
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
