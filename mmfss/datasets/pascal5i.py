import os.path as osp
from typing import List, Optional

from mmfss.registry import DATASETS

from .episodic_dataset import EpisodicDataset


@DATASETS.register_module()
class PASCAL5iDataset(EpisodicDataset):
    """PASCAL-5i: VOC2012 images with SegmentationClassAug masks, four folds.

    Fold f tests classes 5f..5f+4 (counted from 0) and trains on the other 15,
    from the train lists of the other folds. The test list has 1000 episodes
    (Shaban et al., BMVC 2017; HSNet section 5).

    The folder below ``data_root``::

        JPEGImages/2007_000033.jpg ...
        SegmentationClassAug/2007_000033.png ...   0, 1..20, 255 (boundary)

    Args:
        fold (int): Which fold, 0 to 3. Defaults to 0.
        split_dir (str, optional): Folder of lists, ``{trn,val}/fold{f}.txt``,
            with a line ``name__class`` (class from 1) per entry. Defaults to
            None: the benchmark's own, shipped with mmfss.
        data_root (str): Defaults to 'data/VOCdevkit/VOC2012'.
        data_prefix (dict): Folders below ``data_root``. Defaults to those
            above.
        img_suffix (str): Defaults to '.jpg'.
        seg_map_suffix (str): Defaults to '.png'.
        **kwargs: As of :class:`EpisodicDataset`. ``num_episodes`` defaults to
            1000 in testing, in training to every entry once.

    Raises:
        FileNotFoundError: A list, the data root or a file is not there.
        ValueError: There is no such fold, a list is malformed, or as of
            :class:`EpisodicDataset`.
    """
    DATA_PREFIX = dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug')
    METAINFO = dict(
        classes=('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car',
                 'cat', 'chair', 'cow', 'diningtable', 'dog', 'horse',
                 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train',
                 'tvmonitor'))

    def __init__(self,
                 fold: int = 0,
                 split_dir: Optional[str] = None,
                 data_root: str = 'data/VOCdevkit/VOC2012',
                 img_suffix: str = '.jpg',
                 seg_map_suffix: str = '.png',
                 **kwargs) -> None:
        if fold not in range(4):
            raise ValueError(
                f'PASCAL5iDataset: fold must be 0, 1, 2 or 3, not {fold!r}.')
        self.fold = fold
        self.split_dir = split_dir or osp.join(
            osp.dirname(__file__), 'splits', 'pascal')
        self.img_suffix = img_suffix
        self.seg_map_suffix = seg_map_suffix
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the fold's lists, in the order that the draws depend on."""
        if self.test_mode:
            files = [osp.join('val', f'fold{self.fold}.txt')]
        else:
            files = [
                osp.join('trn', f'fold{fold}.txt') for fold in range(4)
                if fold != self.fold
            ]
        return [entry for file in files for entry in self._read_list(file)]

    def default_num_episodes(self) -> int:
        """The benchmark's 1000 in testing, every entry once in training."""
        return 1000 if self.test_mode else super().default_num_episodes()

    def _read_list(self, file: str) -> List[dict]:
        path = osp.join(self.split_dir, file)
        lines = self._read_lines(
            path, 'trn/fold0.txt .. fold3.txt and val/fold0.txt .. fold3.txt')
        fold = int(file[-len('0.txt')])
        entries, seen = [], {}
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            name, _, value = line.strip().rpartition('__')
            if not name or not value.isdigit() or (int(value) - 1) // 5 != fold:
                raise ValueError(
                    f'{path}:{number}: {line!r} is not "name__class" with a '
                    f'class of fold {fold} ({5 * fold + 1} to {5 * fold + 5}).')
            first = seen.setdefault(line.strip(), number)
            if first != number:
                raise ValueError(
                    f'{path}:{number}: {line!r} is at line {first} already. Take '
                    'one out.')
            entries.append(
                dict(
                    name=name,
                    class_id=int(value) - 1,
                    class_value=int(value),
                    img_path=osp.join(self.data_prefix['img_path'],
                                      name + self.img_suffix),
                    seg_map_path=osp.join(self.data_prefix['seg_map_path'],
                                          name + self.seg_map_suffix),
                    source=f'{path}:{number}'))
        return entries
