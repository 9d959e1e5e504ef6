from .episode_info_hook import EpisodeInfoHook
from .few_shot_visualization_hook import FewShotVisualizationHook

__all__ = ['EpisodeInfoHook', 'FewShotVisualizationHook']
