from .feature_cache import FeatureCache
from .feature_taps import FeatureTaps
from .presets import preset_taps

__all__ = ['FeatureCache', 'FeatureTaps', 'preset_taps']
