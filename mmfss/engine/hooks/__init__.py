from .episode_info_hook import EpisodeInfoHook
from .few_shot_visualization_hook import FewShotVisualizationHook
from .report_hook import ReportHook
from .safe_checkpoint_hook import SafeCheckpointHook

__all__ = [
    'EpisodeInfoHook', 'FewShotVisualizationHook', 'ReportHook',
    'SafeCheckpointHook'
]
