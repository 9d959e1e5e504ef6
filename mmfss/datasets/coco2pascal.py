import os.path as osp
from typing import List

from mmfss.registry import DATASETS

from .pascal5i import PASCAL5iDataset


@DATASETS.register_module()
class COCO2PASCALDataset(PASCAL5iDataset):
    """Domain shift: test a model of a COCO-20i fold on PASCAL's images.

    The classes are those of PASCAL that the COCO-20i fold did not train on
    (HSNet, section 5). Which episodes the paper drew is not published; these
    are 1000 from PASCAL-5i's four test lists, in the order of its folds, as
    far as they show these classes. Train with :class:`COCO20iDataset`.

    Args:
        fold (int): Which fold of COCO-20i, 0 to 3. Defaults to 0.
        **kwargs: As of :class:`PASCAL5iDataset`, whose data folder and lists
            this uses.
    """
    FOLD_CLASSES = (
        ('aeroplane', 'boat', 'chair', 'diningtable', 'dog', 'person'),
        ('bicycle', 'bus', 'horse', 'sofa'),
        ('bird', 'car', 'pottedplant', 'sheep', 'train', 'tvmonitor'),
        ('bottle', 'cat', 'cow', 'motorbike'),
    )

    def load_data_list(self) -> List[dict]:
        """Read PASCAL-5i's four test lists and keep the fold's classes."""
        if not self.test_mode:
            raise ValueError(
                'COCO2PASCALDataset is for testing only (test_mode=True): train '
                'with COCO20iDataset.')
        names = self._metainfo['classes']
        return [
            entry for fold in range(4)
            for entry in self._read_list(osp.join('val', f'fold{fold}.txt'))
            if names[entry['class_id']] in self.FOLD_CLASSES[self.fold]
        ]
