from .coco2pascal import COCO2PASCALDataset
from .coco20i import COCO20iDataset
from .coco_few_shot_dataset import CocoFewShotDataset
from .concat_episodic_dataset import ConcatEpisodicDataset
from .episodes import Episode
from .episodic_dataset import EpisodicDataset
from .folder_dataset import FolderDataset
from .fss1000 import FSS1000Dataset
from .pascal5i import PASCAL5iDataset
from .samplers import EpisodeSampler
from .transforms import ForEachImage, LoadFewShotMask, PackFewShotInputs, ResizeFewShot

__all__ = [
    'COCO2PASCALDataset', 'COCO20iDataset', 'CocoFewShotDataset',
    'ConcatEpisodicDataset', 'Episode', 'EpisodicDataset', 'FolderDataset',
    'FSS1000Dataset', 'PASCAL5iDataset', 'EpisodeSampler', 'ForEachImage',
    'LoadFewShotMask', 'PackFewShotInputs', 'ResizeFewShot'
]
