from .cpu_amp_optim_wrapper import CPUAmpOptimWrapper
from .trainable_optim_wrapper_constructor import TrainableOptimWrapperConstructor

__all__ = ['CPUAmpOptimWrapper', 'TrainableOptimWrapperConstructor']
