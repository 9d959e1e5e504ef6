import hashlib
from collections import Counter, OrderedDict
from itertools import chain
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from .feature_files import FeatureFiles
from .feature_taps import BACKBONE_LOCK, FeatureTaps
from .weights import weights_checksum, weights_version

GB = 10**9  # bytes


class FeatureCache:
    """Feature taps that remember: the frozen backbone sees an image once.

    What is remembered is found by the image's own bytes, the backbone's config
    and weights, the taps, mixed precision and the device, so a change of any
    of them is a miss. Over the limit, the maps used longest ago are forgotten.

    Maps are kept on the device that the backbone runs on. The cache is no
    module and has no state to save; a copy of it starts empty.

    Args:
        taps (FeatureTaps): The taps, on a frozen backbone in eval mode.
        backbone (dict): The backbone's config.
        memory_gb (float): Memory for maps, in 10^9 bytes, of each process.
            Defaults to 4.
        dtype (str): 'float32' keeps the maps as they are; 'float16' rounds
            them, also those just computed, so that a result does not depend on
            what is remembered. Half-precision maps (autocast) are never
            rounded. Defaults to 'float32'.
        cache_dir (str, optional): Keep maps in files there, too; for later
            runs, and for several processes at once. Defaults to None.
        disk_gb (float): Disk space for them, in 10^9 bytes. Defaults to 20.

    Raises:
        ValueError: An argument makes no sense.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> taps = FeatureTaps(nn.Sequential(nn.Conv2d(3, 8, 4, 4)).eval(), [['0']])
        >>> cache = FeatureCache(taps, dict(type='Mine'))
        >>> for _ in range(3):
        ...     levels = cache(torch.ones(1, 3, 32, 32))
        >>> dict(cache.counts)
        {'passes': 1, 'memory': 2}
    """

    def __init__(self,
                 taps: FeatureTaps,
                 backbone: dict,
                 memory_gb: float = 4,
                 dtype: str = 'float32',
                 cache_dir: Optional[str] = None,
                 disk_gb: float = 20) -> None:
        if dtype not in ('float32', 'float16'):
            raise ValueError("model.feature_cache.dtype must be 'float32' or "
                             f"'float16', not {dtype!r}.")
        if memory_gb < 0 or disk_gb <= 0 or not (memory_gb or cache_dir):
            raise ValueError(
                'model.feature_cache needs memory_gb > 0, or memory_gb = 0 with '
                f'a cache_dir and disk_gb > 0; not {memory_gb}, {cache_dir!r} '
                f'and {disk_gb}.')
        self.taps = taps
        self.backbone = {k: v for k, v in backbone.items() if k != 'init_cfg'}
        self.limit = int(memory_gb * GB)
        self.dtype = dtype
        self.files = FeatureFiles(cache_dir, int(disk_gb * GB)) if cache_dir else None
        #: How many images went through the backbone ('passes') or came from
        #: 'memory' or 'disk'
        self.counts = Counter()
        self.image_bytes = 0  #: of the last image's maps
        self._kept = OrderedDict()
        self._bytes = 0
        self._weights: Tuple[tuple, str] = ((), '')

    def __getstate__(self) -> dict:
        """Of a copy: empty, or an EMA model would double the memory."""
        return dict(self.__dict__, counts=Counter(), _kept=OrderedDict(), _bytes=0)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> List[List[Tensor]]:
        """The maps of an image; not to be changed in place.

        Several threads may ask, one is served at a time.

        Args:
            image (Tensor): Normalised, ``(1, 3, H, W)``.

        Returns:
            list[list[Tensor]]: Per level, deep to shallow, its maps, each
            ``(1, C, h, w)``.

        Raises:
            ValueError: A map has values that 'float16' cannot hold, or the taps
                refuse the image.
        """
        with BACKBONE_LOCK:
            return self._find(image)

    def _find(self, image: Tensor) -> List[List[Tensor]]:
        kind = image.device.type
        autocast = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind)
        key = self._key(image, autocast)
        levels, source = self._kept.pop(key, None), 'memory'
        if levels is None and self.files is not None:
            levels, source = self.files.load(key, image.device), 'disk'
        rounded = self.dtype == 'float16' and not autocast
        if levels is None:
            levels, source = self.taps(image), 'passes'
            if rounded:
                levels = [[_half(f) for f in level] for level in levels]
            # a view (tokens without the class token) holds more than it shows
            levels = [[
                f if f.untyped_storage().nbytes() == f.nbytes else f.clone()
                for f in level
            ] for level in levels]
            if self.files is not None:
                self.files.save(key, levels)
        self.counts[source] += 1
        self._keep(key, levels, new=source != 'memory')
        return [[f.to(image.dtype) if rounded else f for f in level]
                for level in levels]

    def check_weights(self) -> None:
        """Look at the backbone's weights again before the next image.

        Changes are noticed by themselves, unless made through ``.data`` or of
        tensors that were made in inference mode.
        """
        self._weights = ((), '')

    def _keep(self, key: str, levels: List[List[Tensor]], new: bool) -> None:
        self._kept[key] = levels  # the last to be forgotten
        if new:
            self.image_bytes = _nbytes(levels)
            self._bytes += self.image_bytes
        while self._bytes > self.limit:
            self._bytes -= _nbytes(self._kept.popitem(last=False)[1])

    def _key(self, image: Tensor, autocast) -> str:
        module = self.taps.backbone
        versions = weights_version(chain(module.parameters(), module.buffers()))
        if versions != self._weights[0]:
            checksum = bytes(weights_checksum(module.state_dict()).tolist())
            self._weights = (versions, checksum.hex())
        # the convolution libraries choose their algorithm by the machine, and
        # the last bits with it
        machine = (
            torch.cuda.get_device_name(image.device)
            if image.is_cuda else f'{image.device.type} {torch.get_num_threads()}')
        sha = hashlib.sha256(
            repr((self._weights[1], self.backbone, self.taps.taps, self.dtype,
                  autocast, machine, torch.__version__, image.dtype,
                  tuple(image.shape))).encode())
        sha.update(image.cpu().contiguous().view(torch.uint8).numpy())
        return sha.hexdigest()


def _half(feature: Tensor) -> Tensor:
    half = feature.half()
    if not half.isfinite().all():
        raise ValueError(
            f'A feature map has values up to {feature.abs().max():.3g}, which '
            "float16 cannot hold. Set model.feature_cache.dtype='float32'.")
    return half


def _nbytes(levels: List[List[Tensor]]) -> int:
    return sum(f.nbytes for level in levels for f in level)
