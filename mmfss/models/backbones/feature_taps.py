import difflib
from contextlib import ExitStack
from typing import List, Sequence, Tuple, Union

from torch import Tensor, nn

from .presets import preset_taps


class FeatureTaps:
    """Reads inner activations of any backbone, which stays as it is.

    A *tap* names one activation: ``'layer4.0'`` is the output of that module,
    ``'layer4.0.relu:input'`` the input of its last call in a forward pass. Taps
    are grouped in levels, deep to shallow; the maps of a level have one size.

    Args:
        backbone (nn.Module): The backbone; it is called with ``(N, 3, H, W)``.
        taps (str | Sequence[Sequence[str]]): The taps of each level, or 'auto':
            the preset of the backbone's family.

    Raises:
        ValueError: A tap names no module of the backbone or gives no map, a
            level has maps of different sizes, or there is no preset.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True))
        >>> taps = FeatureTaps(backbone, [['1:input', '1']])
        >>> [[tuple(f.shape) for f in level]
        ...  for level in taps(torch.zeros(2, 3, 10, 10))]
        [[(2, 8, 8, 8), (2, 8, 8, 8)]]
    """

    def __init__(self, backbone: nn.Module,
                 taps: Union[str, Sequence[Sequence[str]]] = 'auto') -> None:
        self.backbone = backbone
        self.taps = preset_taps(backbone) if taps == 'auto' else taps
        if isinstance(taps, str) and taps != 'auto' or any(
                isinstance(level, str) for level in self.taps):
            raise ValueError(
                f"taps must be 'auto' or a list of levels, each a list of taps, "
                f'not {taps!r}.')
        self._modules = {
            tap: self._find(tap)
            for level in self.taps for tap in level
        }

    @property
    def num_maps(self) -> Tuple[int, ...]:
        """tuple[int]: Number of maps of each level, deep to shallow."""
        return tuple(len(level) for level in self.taps)

    def __call__(self, images: Tensor) -> List[List[Tensor]]:
        """Run the backbone.

        Args:
            images (Tensor): Normalised images, ``(N, 3, H, W)``.

        Returns:
            list[list[Tensor]]: Per level, deep to shallow, its maps, each
            ``(N, C, h, w)``.
        """
        seen = {}

        def keep_input(tap):

            def hook(module, args):
                seen[tap] = _feature_map(tap, args[0])

            return hook

        def keep_output(tap):

            def hook(module, args, output):
                seen[tap] = _feature_map(tap, output)

            return hook

        with ExitStack() as stack:
            for tap, module in self._modules.items():
                if tap.endswith(':input'):
                    handle = module.register_forward_pre_hook(keep_input(tap))
                else:
                    handle = module.register_forward_hook(keep_output(tap))
                stack.callback(handle.remove)
            self.backbone(images)
        unseen = [tap for tap in self._modules if tap not in seen]
        if unseen:
            raise ValueError(
                f'taps: {type(self.backbone).__name__} never calls {unseen}. '
                'Tap other modules, or let its out_indices reach these.')
        levels = [[seen[tap] for tap in level] for level in self.taps]
        self._check_sizes(levels)
        return levels

    def _check_sizes(self, levels: List[List[Tensor]]) -> None:
        """Every level has one size, and none is larger than a shallower one."""
        sizes = [sorted({tuple(f.shape[-2:]) for f in level}) for level in levels]
        if any(len(s) > 1 for s in sizes) or sizes != sorted(sizes):
            raise ValueError(
                'taps: the maps of a level must have one size, and levels must '
                f'go from deep (small) to shallow (large); they have {sizes}.')

    def _find(self, tap: str) -> nn.Module:
        path, _, what = tap.partition(':')
        modules = dict(self.backbone.named_modules())
        if path in modules and what in ('', 'input'):
            return modules[path]
        names = [name + (':' + what if what else '') for name in modules]
        near = difflib.get_close_matches(tap, names, n=5, cutoff=0.3)
        raise ValueError(
            f'taps: {tap!r} is no module of {type(self.backbone).__name__}. '
            f'The nearest are {near}. Write "<module>" for its output or '
            '"<module>:input" for its last input.')


def _feature_map(tap: str, value) -> Tensor:
    """A copy of the map, because the backbones' activations work in place."""
    if not isinstance(value, Tensor) or value.dim() != 4:
        what = (f'a tensor of shape {tuple(value.shape)}' if isinstance(
            value, Tensor) else f'a {type(value).__name__}')
        raise ValueError(
            f'taps: {tap!r} gives {what}, not a map (N, C, h, w). Tap another '
            'module.')
    return value.clone()
