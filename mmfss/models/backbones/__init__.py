from .feature_cache import FeatureCache
from .feature_taps import FeatureTaps
from .presets import preset_taps
from .weights import init_without_checkpoint

__all__ = ['FeatureCache', 'FeatureTaps', 'init_without_checkpoint', 'preset_taps']
