from .hypercorrelation_pyramid import HypercorrelationPyramid

__all__ = ['HypercorrelationPyramid']
