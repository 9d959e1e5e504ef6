"""mmfss: few-shot segmentation on MMSegmentation, run by the mmengine runner."""
from . import compat, safe_checkpoint  # noqa: F401  (both act when imported)
from .version import __version__

__all__ = ['__version__']
