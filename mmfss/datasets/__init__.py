from .episodes import Episode
from .episodic_dataset import EpisodicDataset
from .folder_dataset import FolderDataset
from .pascal5i import PASCAL5iDataset
from .samplers import EpisodeSampler
from .transforms import ForEachImage, LoadFewShotMask, PackFewShotInputs, ResizeFewShot

__all__ = [
    'Episode', 'EpisodicDataset', 'FolderDataset', 'PASCAL5iDataset',
    'EpisodeSampler', 'ForEachImage', 'LoadFewShotMask', 'PackFewShotInputs',
    'ResizeFewShot'
]
