from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmfss.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Mixed precision on a CPU; mmengine's ``AmpOptimWrapper`` needs a GPU.

    In bfloat16, which reaches as far as float32: the loss is not scaled. Weights
    and gradients are float32, as are the optimizer's states. Arguments are those
    of mmengine's :class:`OptimWrapper`.

    Example:
        >>> optim_wrapper = dict(
        ...     type='CPUAmpOptimWrapper',
        ...     constructor='TrainableOptimWrapperConstructor',
        ...     optimizer=dict(type='Adam', lr=1e-3))
    """

    @contextmanager
    def optim_context(self, model: nn.Module):
        """Within it the forward pass is under autocast."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
