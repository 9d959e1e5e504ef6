import difflib
import threading
from contextlib import ExitStack, nullcontext, suppress
from typing import Any, Dict, Iterable, List, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmfss.utils.is_traced import is_traced

from .folded_norms import FoldedNorms
from .presets import preset_taps
from .tap_layout import TapLayout

# Tried in turn for the forward pass at construction. 224 is a multiple of 32
# and of the usual patches, 14 and 16; some windows need larger images.
_SIDES = (224, 448)
_FINEST_STRIDE = 8  # of the preset levels, as published
#: Held while a backbone has hooks and folded weights, which all threads see. Not
#: each backbone's own: a lock can be neither copied nor pickled.
BACKBONE_LOCK = threading.RLock()


class FeatureTaps:
    """Reads inner activations of any backbone, which stays as it is.

    A *tap* names one activation: ``'layer4.0'`` is the output of that module,
    ``'layer4.0.relu:input'`` the input of its last call in a forward pass,
    ``'stage4:1'`` the second item of an output that is a list, ``':1'`` of the
    backbone's own. Taps are grouped in levels, deep to shallow; the maps of a
    level have one size.

    Tokens ``(N, L, C)`` are folded to maps, without the class, distillation and
    register tokens in front. How, and the strides of the levels, is found by
    one forward pass of a small image at construction.

    Args:
        backbone (nn.Module): The backbone; it is called with ``(N, 3, H, W)``.
        taps (str | Sequence[Sequence[str]]): The taps of each level, or 'auto':
            the preset of the backbone's family, grouped by stride, from stride
            8 on. A backbone without preset gives its own outputs.

    Raises:
        ValueError: A tap names no module of the backbone or gives no map, a
            level has maps of different sizes, or the backbone does not run.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> backbone = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(inplace=True))
        >>> taps = FeatureTaps(backbone, [['1:input', '1']])
        >>> taps.strides
        (4,)
        >>> [[tuple(f.shape) for f in level]
        ...  for level in taps(torch.zeros(2, 3, 32, 40))]
        [[(2, 8, 8, 10), (2, 8, 8, 10)]]
    """

    def __init__(self, backbone: nn.Module,
                 taps: Union[str, Sequence[Sequence[str]]] = 'auto') -> None:
        self.backbone = backbone
        auto = taps == 'auto'
        if auto:
            names = preset_taps(backbone) or self._output_taps()
        elif isinstance(taps, str) or any(
                isinstance(level, str) for level in taps):
            raise ValueError(
                f"taps must be 'auto' or a list of levels, each a list of taps, "
                f'not {taps!r}.')
        else:
            names = [tap for level in taps for tap in level]
        modules = {tap: self._find(tap) for tap in names}
        _, values, side = self._dry_run(modules)
        if not (auto and values):
            self._check_called(modules, values)
        self._layouts = {
            tap: TapLayout.of(tap, value, side)
            for tap, value in values.items()
        }
        self.taps = self._group_by_stride() if auto else taps
        self._modules = {
            tap: modules[tap] for level in self.taps for tap in level
        }
        self._levels(values, (side, side))
        self._norms = FoldedNorms(
            backbone, lambda: list(self._try(side, self._modules)[1].values()))

    @property
    def num_maps(self) -> Tuple[int, ...]:
        """tuple[int]: Number of maps of each level, deep to shallow."""
        return tuple(len(level) for level in self.taps)

    @property
    def strides(self) -> Tuple[int, ...]:
        """tuple[int]: Nominal stride of each level, deep to shallow."""
        return tuple(round(self._layouts[level[0]].stride) for level in self.taps)

    @torch.compiler.disable  # hooks that come and go: it would compile each time
    def __call__(self, images: Tensor) -> List[List[Tensor]]:
        """Run the backbone; several threads may, one runs at a time.

        Args:
            images (Tensor): Normalised images, ``(N, 3, H, W)``.

        Returns:
            list[list[Tensor]]: Per level, deep to shallow, its maps, each
            ``(N, C, h, w)``.

        Raises:
            ValueError: The backbone does not run on images of this size, or its
                taps give no maps of them, or are not called.
        """
        learns = self.backbone.training or torch.is_grad_enabled()
        folds = nullcontext() if learns or is_traced() else self._norms
        with BACKBONE_LOCK, folds:
            _, values = self._run(images, self._modules)
        self._check_called(self._modules, values)
        return self._levels(values, images.shape[-2:])

    def check_weights(self) -> None:
        """Notice weights that were changed by way of ``.data``."""
        self._norms.forget()

    def _run(self, images: Tensor,
             modules: Dict[str, nn.Module]) -> Tuple[Any, Dict[str, Tensor]]:
        """The backbone's output, and what the taps give, in calling order."""
        seen = {}

        def keep_input(tap):

            def hook(module, args):
                seen[tap] = _copy(args)

            return hook

        def keep_output(tap):

            def hook(module, args, output):
                seen[tap] = _copy(output)

            return hook

        with ExitStack() as stack:
            for tap, module in modules.items():
                if tap.endswith(':input'):
                    handle = module.register_forward_pre_hook(keep_input(tap))
                else:
                    handle = module.register_forward_hook(keep_output(tap))
                stack.callback(handle.remove)
            try:
                output = self.backbone(images)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a backbone may raise
                raise ValueError(
                    f'{type(self.backbone).__name__} does not run on images '
                    f'{tuple(images.shape)}: {error}. Some backbones need sides '
                    'that are multiples of their largest stride (mmpretrain.HRNet: '
                    'of 32, so 384 or 416, not 400; mmseg.HRNet takes any), or the '
                    'size that img_size names, or (Swin) pad_small_map=True, or '
                    '(ViTs of timm) dynamic_img_size=True, dynamic_img_pad=True. '
                    'Set these in model.backbone, or the scale of ResizeFewShot in '
                    'the pipeline.'
                ) from error
        return output, {tap: _tensor(tap, value) for tap, value in seen.items()}

    @torch.no_grad()
    def _try(self, side: int,
             modules: Dict[str, nn.Module]) -> Tuple[Any, Dict[str, Tensor]]:
        """:meth:`_run` on a square image, in eval mode."""
        first = next(self.backbone.parameters(), torch.empty(0))
        image = torch.linspace(-1, 1, 3 * side**2).view(1, 3, side, side).to(first)
        training = {m: m.training for m in self.backbone.modules()}
        self.backbone.eval()
        try:
            return self._run(image, modules)
        finally:
            for module, mode in training.items():
                module.training = mode

    def _dry_run(
            self, modules: Dict[str, nn.Module]
    ) -> Tuple[Any, Dict[str, Tensor], int]:
        """:meth:`_try` the usual sides; the one that worked comes last."""
        own = getattr(self.backbone, 'img_size', None)  # it may take no other
        own = own[0] if isinstance(own, Sequence) else own
        problems = []
        for side in dict.fromkeys(filter(None, (*_SIDES, own))):
            try:
                return *self._try(side, modules), side
            except _NoTensor:
                raise
            except ValueError as error:
                problems.append(error)
        raise problems[0]

    def _output_taps(self) -> List[str]:
        """The generic preset: the backbone's own outputs that are maps."""
        name = type(self.backbone).__name__
        output, _, side = self._dry_run({})
        outputs = {'': output} if isinstance(output, Tensor) else {
            f':{i}': value for i, value in enumerate(output)
        }
        taps = []
        for tap, value in outputs.items():
            with suppress(ValueError):
                TapLayout.of(tap, _tensor('', value), side)
                taps.append(tap)
        if not taps:
            raise ValueError(
                f'There is no preset of taps for {name}, and its outputs are no '
                "maps. Write the model's taps out: a list per level, deep to "
                'shallow, of module names of the backbone, e.g. '
                "taps=[['layer4.0', 'layer4.1'], ['layer3.0'], ['layer2.0']].")
        print_log(
            f'There is no preset of taps for {name}: its {len(taps)} output(s) '
            'are taken, chosen by its out_indices where it has them. To use '
            'inner activations, write model.taps out.',
            logger='current')
        return taps

    def _group_by_stride(self) -> List[List[str]]:
        """One level per stride, deep to shallow, none finer than stride 8."""
        strides = {layout.stride for layout in self._layouts.values()}
        kept = {s for s in strides if s >= _FINEST_STRIDE} or {max(strides)}
        return [[
            tap for tap, layout in self._layouts.items()
            if layout.stride == stride
        ] for stride in sorted(kept, reverse=True)]

    def _levels(self, values: Dict[str, Tensor],
                size: Sequence[int]) -> List[List[Tensor]]:
        """The maps, each level of one size and none larger than a shallower."""
        levels = [[
            self._layouts[tap].to_map(tap, values[tap], size) for tap in level
        ] for level in self.taps]
        sizes = [sorted({tuple(f.shape[-2:]) for f in level}) for level in levels]
        if any(len(s) > 1 for s in sizes) or sizes != sorted(sizes):
            raise ValueError(
                'taps: the maps of a level must have one size, and levels must '
                f'go from deep (small) to shallow (large); they have {sizes}.')
        return levels

    def _check_called(self, taps: Iterable[str], seen: Iterable[str]) -> None:
        unseen = [tap for tap in taps if tap not in seen]
        if unseen:
            raise ValueError(
                f'taps: {type(self.backbone).__name__} never calls {unseen}. '
                'Tap other modules, or let its out_indices reach these.')

    def _find(self, tap: str) -> nn.Module:
        path, _, what = tap.partition(':')
        modules = dict(self.backbone.named_modules())
        if path in modules and (what in ('', 'input') or what.isdigit()):
            return modules[path]
        names = [name + (':' + what if what else '') for name in modules]
        near = difflib.get_close_matches(tap, names, n=5, cutoff=0.3)
        raise ValueError(
            f'taps: {tap!r} is no module of {type(self.backbone).__name__}. '
            f'The nearest are {near}. Write "<module>" for its output, '
            '"<module>:input" for its last input or "<module>:1" for the second '
            'item of its output.')


class _NoTensor(ValueError):
    """A tap gives something else."""


def _copy(value: Any) -> Any:
    """Because the backbones' activations work in place."""
    if isinstance(value, Tensor):
        return value.clone()
    return [_copy(v) for v in value] if isinstance(value, (tuple, list)) else value


def _tensor(tap: str, value: Any) -> Tensor:
    """The one tensor that is meant; blocks may return their grid with it."""
    what = tap.partition(':')[2]
    if what.isdigit() and isinstance(value, list) and int(what) < len(value):
        value = value[int(what)]
    if isinstance(value, list):
        tensors = [v for v in value if isinstance(v, Tensor)]
        if len(tensors) == 1:
            return tensors[0]
        raise _NoTensor(
            f'taps: {tap!r} gives {len(value)} items, {len(tensors)} of them '
            f'tensors. Name one by its place: "{tap.partition(":")[0]}:0".')
    if not isinstance(value, Tensor):
        raise _NoTensor(f'taps: {tap!r} gives a {type(value).__name__}, not a '
                        'tensor. Tap another module.')
    return value
