import json
import os.path as osp
from functools import lru_cache
from typing import Optional, Union

from .coco_instances import CocoInstances
from .image_files import read_bytes
from .labelme_file import LabelMeFile


def read_json(path: str) -> Union[LabelMeFile, CocoInstances]:
    """Read outlines, of LabelMe or in COCO's format.

    The last few files are remembered while they do not change.

    Args:
        path (str): The JSON file.

    Raises:
        ImportError: It is of COCO, and pycocotools is not installed.
        ValueError: It cannot be read, or is neither.
    """
    return _read_json(path, osp.getmtime(path) if osp.isfile(path) else None)


@lru_cache(maxsize=4)
def _read_json(path: str, changed: Optional[float]):
    try:
        content = json.loads(read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f'{path} is cut off or no JSON: {error}. Replace the file.') from error
    if isinstance(content, dict) and 'shapes' in content:
        return LabelMeFile(content, path)
    if isinstance(content, dict) and {'images', 'annotations'} <= content.keys():
        return CocoInstances(content, path)
    raise ValueError(
        f'{path} is neither of LabelMe (it would have "shapes") nor an instances '
        'file of COCO ("images", "annotations", "categories").')
