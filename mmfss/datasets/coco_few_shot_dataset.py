import os.path as osp
from typing import List, Optional, Tuple

from mmfss.registry import DATASETS

from .annotations.json_file import read_json
from .annotations.labelme_file import LabelMeFile
from .class_split import choose_classes
from .episodic_dataset import EpisodicDataset


@DATASETS.register_module()
class CocoFewShotDataset(EpisodicDataset):
    """Own photos whose outlines are in one file of COCO's instances format.

    The classes are the file's categories; an image shows a class if it has an
    annotation of it that is no crowd. Needs pycocotools.

    Args:
        data_root (str): The folder below which the rest is.
        ann_file (str): The JSON file.
        data_prefix (dict): The folder of the images, to which each ``file_name``
            belongs. Defaults to that of ``data_root``.
        split (dict, optional): Use a random part of the classes, see
            :func:`choose_classes`: ``dict(part='train', train=0.7, seed=0)``, and
            ``part='test'`` for the others. Defaults to None: those named with
            ``metainfo=dict(classes=[...])``, else all.
        **kwargs: As of :class:`EpisodicDataset`.
    """

    DATA_PREFIX = dict(img_path='')

    def __init__(self,
                 data_root: str,
                 ann_file: str,
                 split: Optional[dict] = None,
                 **kwargs) -> None:
        self.split = split
        super().__init__(data_root=data_root, ann_file=ann_file, **kwargs)

    def load_data_list(self) -> List[dict]:
        """The images of each class, in ascending order of their ids."""
        file = read_json(self.ann_file)
        if isinstance(file, LabelMeFile):
            raise ValueError(
                f'{self.ann_file} is of LabelMe: CocoFewShotDataset reads instances '
                'files of COCO, FolderDataset with seg_map_suffix=\'.json\' LabelMe.')
        self._metainfo['classes'] = choose_classes(
            file.classes, self._metainfo.get('classes'), self.split, self.ann_file)
        return [
            dict(
                name=image['file_name'],
                class_id=class_id,
                class_value=None,
                img_path=osp.join(self.data_prefix['img_path'], image['file_name']),
                seg_map_path=self.ann_file,
                size=file.size(image),
                source=self.ann_file)
            for class_id, name in enumerate(self._metainfo['classes'])
            for image in file.images_of(name)
        ]

    def mask_size(self, entry: dict) -> Tuple[int, int]:
        """Width and height that the file states."""
        return entry['size']
