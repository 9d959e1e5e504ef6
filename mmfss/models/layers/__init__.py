from .center_pivot_conv4d import CenterPivotConv4d
from .conv4d import Conv4d
from .correlation import hypercorrelation, unit_features
from .full_conv4d import FullConv4d
from .group_norm import group_norm
from .layout import channels_last, merged
from .limits import numbers_at_a_time
from .prototypes import prototypes
from .separable_conv4d import SeparableConv4d
from .vote import kshot_vote, merge_votes

__all__ = [
    'CenterPivotConv4d', 'Conv4d', 'FullConv4d', 'SeparableConv4d',
    'channels_last', 'group_norm', 'hypercorrelation', 'kshot_vote',
    'merge_votes', 'merged', 'numbers_at_a_time', 'prototypes',
    'unit_features'
]
