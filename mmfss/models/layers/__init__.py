from .center_pivot_conv4d import CenterPivotConv4d
from .correlation import hypercorrelation, mask_features
from .full_conv4d import FullConv4d
from .separable_conv4d import SeparableConv4d
from .vote import kshot_vote

__all__ = [
    'CenterPivotConv4d', 'FullConv4d', 'SeparableConv4d', 'hypercorrelation',
    'mask_features', 'kshot_vote'
]
