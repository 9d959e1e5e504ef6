import math
from typing import List, Sequence, Tuple

# Pixels per support position after the squeeze: 2 x 2 positions at the
# published 400 pixels
_SQUEEZED_STRIDE = 256


def squeeze_plan(strides: Sequence[int],
                 steps: int = 3) -> Tuple[List[List[int]], List[List[int]]]:
    """Kernels and support strides that squeeze levels of any strides.

    Every level shall end at one position per 256 pixels of the support image.
    So a level of stride s is squeezed by the power of two nearest to 256 / s,
    shared by the steps as evenly as powers of two can be, larger ones first. A
    kernel is one larger than its stride, so that it leaves no position out, and
    at least 3. For strides 32, 16 and 8 this is the published plan.

    Args:
        strides (Sequence[int]): Of the levels' maps.
        steps (int): Number of 4-D convolutions of a squeezing block.
            Defaults to 3.

    Returns:
        tuple[list[list[int]], list[list[int]]]: Per level the kernel sizes and
        the support strides of its steps.

    Example:
        >>> squeeze_plan([32, 16, 8])[0]
        [[3, 3, 3], [5, 3, 3], [5, 5, 3]]
        >>> squeeze_plan([32, 16, 8])[1]
        [[2, 2, 2], [4, 2, 2], [4, 4, 2]]
        >>> squeeze_plan([14])
        ([[5, 3, 3]], [[4, 2, 2]])
    """
    plan = []
    for stride in strides:
        halvings = max(0, round(math.log2(_SQUEEZED_STRIDE / stride)))
        plan.append([
            2**(halvings // steps + (step < halvings % steps))
            for step in range(steps)
        ])
    return [[max(3, s + 1) for s in level] for level in plan], plan
