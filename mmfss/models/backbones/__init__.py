from .feature_taps import FeatureTaps
from .presets import preset_taps

__all__ = ['FeatureTaps', 'preset_taps']
