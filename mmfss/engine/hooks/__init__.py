from .contact_sheet_hook import ContactSheetHook
from .episode_info_hook import EpisodeInfoHook
from .feature_cache_hook import FeatureCacheHook
from .few_shot_visualization_hook import FewShotVisualizationHook
from .report_hook import ReportHook
from .safe_checkpoint_hook import SafeCheckpointHook

__all__ = [
    'ContactSheetHook', 'EpisodeInfoHook', 'FeatureCacheHook',
    'FewShotVisualizationHook', 'ReportHook', 'SafeCheckpointHook'
]
