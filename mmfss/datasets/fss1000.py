import os.path as osp
from typing import List, Optional, Tuple

import numpy as np

from mmfss.registry import DATASETS

from .episodes import Episode
from .episodic_dataset import EpisodicDataset

SPLITS = ('trn', 'val', 'test')
IMAGES_PER_CLASS = 10
# where the n-th file in *string* order (1, 10, 2, .., 9) is in numeric order
STRING_ORDER = sorted(range(IMAGES_PER_CLASS), key=lambda i: str(i + 1))


@DATASETS.register_module()
class FSS1000Dataset(EpisodicDataset):
    """FSS-1000: 520 classes to train on, 240 to validate, 240 to test.

    Each class has 10 images, and each image is the query once (Li et al., CVPR
    2020; HSNet section 5). Classes count from 0 in the order of their names
    within a part: 0..519 train, 520..759 validation, 760..999 test.

    The folder below ``data_root``::

        <class>/1.jpg .. 10.jpg
        <class>/1.png .. 10.png     8-bit, from 128 on = the class

    Args:
        split (str, optional): 'trn', 'val' or 'test'. Defaults to None: 'test'
            in testing, 'trn' in training.
        split_dir (str, optional): Folder of lists, ``{trn,val,test}.txt``, with
            the name of a class per line. Defaults to None: the benchmark's own,
            shipped with mmfss.
        data_root (str): Defaults to 'data/fss1000'.
        data_prefix (dict): Folders of the images and of the masks below
            ``data_root``, each with those of the classes in it. Defaults to
            ``data_root`` itself.
        test_mode (bool): Defaults to False.
        **kwargs: As of :class:`EpisodicDataset`.

    Raises:
        FileNotFoundError: A list, the data root or a file is not there.
        ValueError: There is no such split, two parts share a class, or as of
            :class:`EpisodicDataset`.
    """
    DATA_PREFIX = dict(img_path='', seg_map_path='')

    def __init__(self,
                 split: Optional[str] = None,
                 split_dir: Optional[str] = None,
                 data_root: str = 'data/fss1000',
                 test_mode: bool = False,
                 **kwargs) -> None:
        self.split = split or ('test' if test_mode else 'trn')
        if self.split not in SPLITS:
            raise ValueError(
                f'FSS1000Dataset: split must be one of {SPLITS}, not {split!r}.')
        self.split_dir = split_dir or osp.join(
            osp.dirname(__file__), 'splits', 'fss')
        super().__init__(data_root=data_root, test_mode=test_mode, **kwargs)

    def load_data_list(self) -> List[dict]:
        """List the 10 images of each class in numeric order, 1 to 10."""
        classes, entries = {}, []
        for split in SPLITS:  # all three: they number the classes
            for name, source in self._read_list(split):
                if name in classes:
                    raise ValueError(
                        f'{source}: class {name!r} is listed already, at '
                        f'{classes[name]}. The parts must not share classes: '
                        'take it out of one.')
                if split == self.split:
                    entries += self._class_entries(len(classes), name, source)
                classes[name] = source
        self._metainfo['classes'] = tuple(classes)
        return entries

    def draw_episode(self, query: int, rs: np.random.RandomState) -> Episode:
        """Draw the supports; queries take turns in string order of the files.

        Args:
            query (int): Whose turn it is.
            rs (RandomState): The random stream to draw from.

        Returns:
            Episode: The episode.
        """
        place = query % IMAGES_PER_CLASS
        return super().draw_episode(query - place + STRING_ORDER[place], rs)

    def _class_entries(self, class_id: int, name: str,
                       source: str) -> List[dict]:
        stems = [f'{name}/{n}' for n in range(1, IMAGES_PER_CLASS + 1)]
        return [
            dict(
                name=stem,
                class_id=class_id,
                class_value=None,
                foreground_from=128,
                img_path=osp.join(self.data_prefix['img_path'], f'{stem}.jpg'),
                seg_map_path=osp.join(self.data_prefix['seg_map_path'],
                                      f'{stem}.png'),
                source=source) for stem in stems
        ]

    def _read_list(self, split: str) -> List[Tuple[str, str]]:
        """The names of a part's classes in order, each with its source."""
        path = osp.join(self.split_dir, f'{split}.txt')
        lines = self._read_lines(path, 'trn.txt, val.txt and test.txt')
        return sorted((line.strip(), f'{path}:{number}')
                      for number, line in enumerate(lines, 1) if line.strip())
