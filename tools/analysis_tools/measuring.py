"""Clocks, statistics and limits that the benchmarks share."""
import ctypes
import os
import platform
import re
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from get_flops import peak_memory


class Clock:
    """Adds up the seconds spent in named parts.

    Args:
        device (str): Its queue of work is waited for before each reading.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: Dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str):
        start = self.now()
        yield
        self.seconds[part] = self.seconds.get(part, 0) + self.now() - start

    def now(self) -> float:
        if self.device.startswith('cuda'):
            torch.cuda.synchronize()
        return time.perf_counter()


def interleaved(contenders: Dict[str, Callable[[Clock], None]], repeats: int,
                device: str) -> Dict[str, List[Dict[str, float]]]:
    """Run the contenders in turn, A B A B, so that drift hits all alike.

    Args:
        contenders (dict): Name -> what to run, given a :class:`Clock`.
        repeats (int): Rounds that count, after those of the warm-up.
        device (str): The device in use.

    Returns:
        dict: Name -> per round the seconds of each part.
    """
    warm_up = 3 if device.startswith('cuda') else 1  # a GPU loads its kernels
    rounds = {name: [] for name in contenders}
    for _ in range(warm_up + repeats):
        for name, run in contenders.items():
            clock = Clock(device)
            run(clock)
            rounds[name].append(clock.seconds)
    return {name: seconds[warm_up:] for name, seconds in rounds.items()}


def compare(seconds: Dict[str, Sequence[float]]) -> dict:
    """Summarise what two contenders took, and their ratio round by round.

    Args:
        seconds (dict): Name -> seconds per round, first ours, then the other.

    Returns:
        dict: Name -> summary, and ``ratio``: the other's time over ours.
    """
    ours, other = seconds.values()
    return dict({name: summary(values) for name, values in seconds.items()},
                ratio=summary([b / a for a, b in zip(ours, other)]))


def summary(values: Sequence[float]) -> dict:
    return dict(
        median=statistics.median(values),
        min=min(values),
        max=max(values),
        samples=list(values))


def matmul_rate(device: str, dtype: torch.dtype) -> dict:
    """Multiply-adds per second of one large matrix product, best of five.

    It is a smaller one where that takes long already: a CPU without
    instructions for the type. On CUDA float32 may use TF32 where convolutions do.
    """
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    clock = Clock(device)
    for n in (8192,) if device.startswith('cuda') else (256, 512, 1024, 2048):
        a, b = (torch.rand(n, n, device=device).to(dtype) for _ in range(2))
        times = []
        for _ in range(7):
            start = clock.now()
            torch.mm(a, b)
            times.append(clock.now() - start)
        if min(times) > 0.1:  # the next takes eight times as long, or more
            break
    torch.backends.cuda.matmul.allow_tf32 = before
    return dict(
        dtype=str(dtype).removeprefix('torch.'),
        size=n,
        multiply_adds_per_second=n**3 / min(times[2:]))


def machine(device: str) -> dict:
    """What the figures depend on."""
    name = platform.processor()
    with suppress(OSError):  # no Linux
        with open('/proc/cpuinfo') as file:
            found = re.search(r'model name\s*:\s*(.+)', file.read())
            name = found[1] if found else name
    return dict(
        device=torch.cuda.get_device_name()
        if device.startswith('cuda') else device,
        cpu=name,
        threads=torch.get_num_threads(),
        torch=torch.__version__)


def in_own_process(function: Callable, *args) -> Any:
    """Call a module's function in a new process, which has no history."""
    with ProcessPoolExecutor(1, get_context('spawn')) as pool:
        return pool.submit(function, *args).result()


def peak_while(work: Callable[[], Any]) -> Optional[dict]:
    """Peak memory of a piece of work, done twice.

    The second time there is what the first leaves behind, e.g. Adam's state.

    Args:
        work (Callable): What to do.

    Returns:
        dict, optional: Bytes: ``baseline`` before and ``peak`` while working,
        of the tensors on the GPU, or of the whole process on the CPU. None
        where the system does not tell.
    """
    baseline = _forget_peak()
    work()
    work()
    if baseline is None:
        return None
    return dict(baseline=baseline, peak=peak_memory())


def _forget_peak() -> Optional[int]:
    """Start anew to look for the peak; what is in use now."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    with suppress(OSError, AttributeError):
        # what was freed while building, and glibc still holds, goes back first
        ctypes.CDLL(None).malloc_trim(0)
        with open('/proc/self/clear_refs', 'w') as file:
            file.write('5')
        with open('/proc/self/statm') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    return None
