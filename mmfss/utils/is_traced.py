import torch


def is_traced() -> bool:
    """Whether a graph is being made that must fit all inputs.

    By ``torch.jit.trace``, ``torch.export`` or ``torch.compile``: then nothing
    may depend on a tensor's values.
    """
    return torch.jit.is_tracing() or torch.compiler.is_compiling()
