from .conv4d import CenterPivotConv4d
from .correlation import hypercorrelation, mask_features
from .vote import kshot_vote

__all__ = ['CenterPivotConv4d', 'hypercorrelation', 'mask_features', 'kshot_vote']
