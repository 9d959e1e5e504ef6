import os
import os.path as osp
from typing import List, Optional, Tuple

from mmfss.registry import DATASETS

from .annotations.json_file import read_json
from .annotations.labelme_file import LabelMeFile
from .annotations.support_annotation import is_json
from .class_split import choose_classes
from .episodic_dataset import EpisodicDataset

IMG_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


def is_photo(file: str) -> bool:
    """Whether a file is a photo by its name, and not hidden."""
    return file.lower().endswith(IMG_SUFFIXES) and not file.startswith('.')


def class_folders(root: str) -> List[str]:
    """Names of the folders in a folder, sorted, without hidden ones."""
    return sorted(
        d.name for d in os.scandir(root) if d.is_dir() and not d.name.startswith('.'))


@DATASETS.register_module()
class FolderDataset(EpisodicDataset):
    """Own photos: one folder of images and one of masks per class.

    The folder below ``data_root``::

        images/<class>/<name>.jpg     (or .jpeg .png .bmp .webp)
        masks/<class>/<name>.png      non-zero = the class
                     (or .json, of LabelMe: seg_map_suffix='.json')

    Name the classes to use with ``metainfo=dict(classes=[...])``, e.g. some
    for training and others for testing, or let ``split`` choose them; without
    both, all are used.

    Args:
        data_root (str): The folder that holds both.
        data_prefix (dict): Folders below ``data_root``. Defaults to those
            above.
        seg_map_suffix (str): Defaults to '.png'.
        split (dict, optional): Use a random part of the classes, see
            :func:`choose_classes`: ``dict(part='train', train=0.7, seed=0)``, and
            ``part='test'`` for the others. Defaults to None.
        **kwargs: As of :class:`EpisodicDataset`.
    """
    DATA_PREFIX = dict(img_path='images', seg_map_path='masks')

    def __init__(self,
                 data_root: str,
                 seg_map_suffix: str = '.png',
                 split: Optional[dict] = None,
                 **kwargs) -> None:
        self.split = split
        self.seg_map_suffix = seg_map_suffix
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Pair the images and masks of each class, in the order of names."""
        img_root = self.data_prefix['img_path']
        if not osp.isdir(img_root):
            raise FileNotFoundError(
                f'FolderDataset: there is no folder {img_root}; images belong '
                'in images/<class>/, masks in masks/<class>/.')
        self._metainfo['classes'] = choose_classes(
            class_folders(img_root), self._metainfo.get('classes'), self.split,
            f'FolderDataset: {img_root}')
        entries = []
        for class_id, name in enumerate(self._metainfo['classes']):
            files = sorted(filter(is_photo, os.listdir(osp.join(img_root, name))))
            for one, other in zip(files, files[1:]):
                if osp.splitext(one)[0] == osp.splitext(other)[0]:
                    raise ValueError(
                        f'FolderDataset: {one} and {other} in '
                        f'{osp.join(img_root, name)} would share a mask. Rename '
                        'one of them.')
            entries += [self._entry(class_id, name, file) for file in files]
        return entries

    def mask_size(self, entry: dict) -> Optional[Tuple[int, int]]:
        """Width and height of an entry's mask; None where a JSON has none."""
        if not is_json(entry['seg_map_path']):
            return super().mask_size(entry)
        file = read_json(entry['seg_map_path'])
        return file.size if isinstance(file, LabelMeFile) else None

    def _entry(self, class_id: int, class_name: str, file: str) -> dict:
        img_path = osp.join(self.data_prefix['img_path'], class_name, file)
        stem = osp.splitext(file)[0]
        return dict(
            name=f'{class_name}/{stem}',
            class_id=class_id,
            class_value=None,
            img_path=img_path,
            seg_map_path=osp.join(self.data_prefix['seg_map_path'], class_name,
                                  stem + self.seg_map_suffix),
            source=osp.dirname(img_path))
