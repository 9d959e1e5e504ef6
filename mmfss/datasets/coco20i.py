import gzip
import json
import os.path as osp
from typing import Dict, List, Optional

import numpy as np

from mmfss.registry import DATASETS

from .episodes import Episode, choose
from .episodic_dataset import EpisodicDataset


@DATASETS.register_module()
class COCO20iDataset(EpisodicDataset):
    """COCO-20i: COCO 2014 images with class masks, four folds.

    Fold f tests classes f, f+4, .., f+76 (counted from 0) on val2014 and trains
    on the other 60 on train2014 (Nguyen and Todorovic, ICCV 2019; HSNet
    section 5). An episode, in training as in testing, draws a class, then a
    query from the class's list, then supports: whose turn it is plays no part.

    The folder below ``data_root``::

        train2014/COCO_train2014_000000000009.jpg ...
        val2014/COCO_val2014_000000000042.jpg ...
        annotations/train2014/COCO_train2014_000000000009.png ...
        annotations/val2014/COCO_val2014_000000000042.png ...

    A mask is a PNG of one channel: 0 is background, 1..80 are the classes.

    Args:
        fold (int): Which fold, 0 to 3. Defaults to 0.
        split_dir (str, optional): Folder of lists, with ``coco20i.json.gz``:
            ``{'train2014' | 'val2014': {class: [image id, ...]}}``, classes
            '0' to '79'. Defaults to None: the benchmark's own, shipped with
            mmfss.
        data_root (str): Defaults to 'data/coco'.
        data_prefix (dict): Folders below ``data_root``. Defaults to those
            above.
        **kwargs: As of :class:`EpisodicDataset`. ``num_episodes`` defaults to
            1000 in testing, in training to the number of distinct images.

    Raises:
        FileNotFoundError: The lists, the data root or a file is not there.
        ValueError: There is no such fold, the lists are malformed, or as of
            :class:`EpisodicDataset`.
    """
    DATA_PREFIX = dict(img_path='', seg_map_path='annotations')
    METAINFO = dict(
        classes=('person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus',
                 'train', 'truck', 'boat', 'traffic light', 'fire hydrant',
                 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog',
                 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe',
                 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee',
                 'skis', 'snowboard', 'sports ball', 'kite', 'baseball bat',
                 'baseball glove', 'skateboard', 'surfboard', 'tennis racket',
                 'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl',
                 'banana', 'apple', 'sandwich', 'orange', 'broccoli', 'carrot',
                 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch',
                 'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop',
                 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave',
                 'oven', 'toaster', 'sink', 'refrigerator', 'book', 'clock',
                 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush'))

    def __init__(self,
                 fold: int = 0,
                 split_dir: Optional[str] = None,
                 data_root: str = 'data/coco',
                 **kwargs) -> None:
        if fold not in range(4):
            raise ValueError(
                f'COCO20iDataset: fold must be 0, 1, 2 or 3, not {fold!r}.')
        self.fold = fold
        self.split_dir = split_dir or osp.join(
            osp.dirname(__file__), 'splits', 'coco')
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the lists of the fold's classes, in ascending order."""
        split = 'val2014' if self.test_mode else 'train2014'
        path = osp.join(self.split_dir, 'coco20i.json.gz')
        lists = self._read_lists(path, split)
        images = {}  # many show several classes: their names are kept once
        entries = []
        for class_id in range(80):
            if (class_id % 4 == self.fold) != self.test_mode:
                continue
            source = f'{path} ({split}, class {class_id})'
            ids = lists[class_id]
            if len(set(ids)) < len(ids):
                raise ValueError(
                    f'{source} holds an image twice. Take out the duplicate.')
            for image_id in ids:
                if image_id not in images:
                    images[image_id] = self._image(split, image_id)
                entries.append(
                    dict(
                        images[image_id],
                        class_id=class_id,
                        class_value=class_id + 1,
                        source=source))
        return entries

    def draw_episode(self, query: int, rs: np.random.RandomState) -> Episode:
        """Draw a class, a query and supports.

        Args:
            query (int): Unused: the query is drawn, too.
            rs (RandomState): The random stream to draw from.

        Returns:
            Episode: The episode.
        """
        class_id = choose(rs, self._metainfo['class_ids'])
        name = choose(rs, self._names[class_id])
        return self.complete_episode(class_id, name, rs)

    def default_num_episodes(self) -> int:
        """The benchmark's 1000 in testing, the distinct images in training."""
        return 1000 if self.test_mode else len(self.pictures)

    def _image(self, split: str, image_id: int) -> dict:
        stem = f'{split}/COCO_{split}_{image_id:012d}'
        return dict(
            name=f'{stem}.jpg',
            img_path=osp.join(self.data_prefix['img_path'], f'{stem}.jpg'),
            seg_map_path=osp.join(self.data_prefix['seg_map_path'],
                                  f'{stem}.png'))

    @staticmethod
    def _read_lists(path: str, split: str) -> Dict[int, List[int]]:
        try:
            with gzip.open(path, 'rt') as file:
                lists = json.load(file)
            lists = {int(c): list(ids) for c, ids in lists[split].items()}
            known = set(lists) == set(range(80)) and all(
                ids and all(isinstance(i, int) for i in ids)
                for ids in lists.values())
        except FileNotFoundError:
            raise FileNotFoundError(
                f'COCO20iDataset: there is no list {path}. split_dir must hold '
                'coco20i.json.gz.') from None
        except (OSError, EOFError, ValueError, KeyError, TypeError,
                AttributeError) as error:
            raise ValueError(
                f'{path} cannot be read as gzipped JSON {{"{split}": {{class: '
                f'[image id, ...]}}}}: {error!r}. Replace the file, or leave '
                'split_dir out to use the shipped one.') from error
        if not known:
            raise ValueError(
                f'{path}: "{split}" must have the classes 0 to 79, each with '
                'a list of image ids (integers).')
        return lists
