from mmfss.compat import import_zoo

import_zoo()

from .backbones import FeatureTaps  # noqa: E402
from .data_preprocessor import FewShotDataPreProcessor  # noqa: E402
from .decode_heads import HSNetHead  # noqa: E402
from .layers import (  # noqa: E402
    CenterPivotConv4d,
    FullConv4d,
    SeparableConv4d,
    hypercorrelation,
)
from .necks import HypercorrelationPyramid  # noqa: E402
from .segmentors import FewShotSegmentor, HSNet, PrototypeNet  # noqa: E402

__all__ = [
    'FeatureTaps', 'FewShotDataPreProcessor', 'HSNetHead', 'CenterPivotConv4d',
    'FullConv4d', 'SeparableConv4d', 'hypercorrelation',
    'HypercorrelationPyramid', 'FewShotSegmentor', 'HSNet',
    'PrototypeNet'
]
