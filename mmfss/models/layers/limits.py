from torch import Tensor

# Bytes elsewhere than on a CPU: rarely reached, as each part costs launches, but
# it fits
_ELSEWHERE = 2**30


def numbers_at_a_time(x: Tensor, cpu_bytes: int) -> int:
    """How many numbers of a tensor's type may exist at a time.

    Args:
        x (Tensor): Of that type, on the device where they will be.
        cpu_bytes (int): What they may take on a CPU. Elsewhere it is 1 GiB.

    Returns:
        int: The number; it may be 0.
    """
    limit = cpu_bytes if x.device.type == 'cpu' else _ELSEWHERE
    return limit // x.element_size()
