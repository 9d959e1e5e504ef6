from contextlib import ExitStack
from typing import Callable, List, Tuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .weights import weights_version


class FoldedNorms:
    """Folds the batch norms of a frozen backbone into its convolutions.

    As a context manager: inside, each convolution whose output goes into a
    batch norm runs with the weights that do both, and the norm passes it on.
    The backbone's own weights stay as they are; if they change, their folded
    copies are made anew.

    A convolution is followed by a norm if the norm gets the very tensor which
    the convolution gave. Whether something else reads that tensor, too, shows
    in what the backbone gives on a test image. If so, nothing is folded.

    Args:
        backbone (nn.Module): In eval mode.
        run (Callable): Runs the backbone on a test image, and gives the tensors
            that must not change.
    """

    def __init__(self, backbone: nn.Module,
                 run: Callable[[], List[Tensor]]) -> None:
        self.pairs = _pairs(backbone, run)
        self._key = None
        self._own = self._folded = []  # weight and bias of each convolution
        if self.pairs and not self._changes_nothing(run):
            self.pairs = []

    def __enter__(self) -> 'FoldedNorms':
        key = weights_version(
            t for pair in self.pairs for t in _weights(*pair))
        if key != self._key:
            with torch.no_grad():
                self._folded = [_fold(*pair) for pair in self.pairs]
            self._key = key
        self._own = [(conv.weight, conv.bias) for conv, _ in self.pairs]
        for (conv, norm), weights in zip(self.pairs, self._folded):
            _set(conv, weights)
            norm.forward = _pass_on
        return self

    def __exit__(self, *_) -> None:
        for (conv, norm), weights in zip(self.pairs, self._own):
            _set(conv, weights)
            del norm.forward  # the class's own is back

    def forget(self) -> None:
        """Fold anew next time: weights may have changed behind PyTorch's back.

        What is changed by way of ``.data`` keeps its version number.
        """
        self._key = None

    def _changes_nothing(self, run: Callable[[], List[Tensor]]) -> bool:
        """With norms that do something, unlike those of a new backbone."""
        norms = [norm for _, norm in self.pairs]
        kept = [[t.clone() for t in norm.state_dict().values()] for norm in norms]
        try:
            for norm in norms:
                for t in (norm.weight, norm.bias, norm.running_mean,
                          norm.running_var):
                    t.data.copy_(torch.linspace(0.5, 1.5, len(t)))
            expected = run()
            with self:
                values = run()
        finally:
            for norm, tensors in zip(norms, kept):
                for t, own in zip(norm.state_dict().values(), tensors):
                    t.copy_(own)
        return all(
            (a - b).abs().max() <= 1e-4 * b.abs().max()
            for a, b in zip(values, expected))


def _pairs(backbone: nn.Module,
           run: Callable[[], List[Tensor]]) -> List[Tuple[nn.Conv2d, nn.Module]]:
    """Each convolution that runs once, with the norm of its output."""
    outputs, pairs, calls = {}, {}, []

    def gives(conv, args, output):
        calls.append(conv)
        outputs[id(output)] = conv, output  # kept, so that no other has its id

    def takes(norm, args):
        calls.append(norm)
        conv, _ = outputs.get(id(args[0]), (None, None))
        pairs[norm] = conv

    with ExitStack() as stack:
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d) and 'weight' in module._parameters:
                handle = module.register_forward_hook(gives)
            elif (isinstance(module, _BatchNorm) and module.affine
                  and module.track_running_stats):
                handle = module.register_forward_pre_hook(takes)
            else:
                continue
            stack.callback(handle.remove)
        run()
    return [(conv, norm) for norm, conv in pairs.items()
            if conv is not None and calls.count(conv) == calls.count(norm) == 1]


def _weights(conv: nn.Conv2d, norm: nn.Module) -> List[Tensor]:
    own = [conv.weight] if conv.bias is None else [conv.weight, conv.bias]
    return own + [norm.weight, norm.bias, norm.running_mean, norm.running_var]


def _fold(conv: nn.Conv2d,
          norm: nn.Module) -> Tuple[nn.Parameter, nn.Parameter]:
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,
        norm.weight, norm.bias)
    # the images are so; else each convolution copies them
    weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
    return weight.requires_grad_(False), bias.requires_grad_(False)


def _set(conv: nn.Conv2d, weights: Tuple[nn.Parameter, ...]) -> None:
    """Past the module's checks, which take longer than a GPU's convolution."""
    conv._parameters['weight'], conv._parameters['bias'] = weights


def _pass_on(x: Tensor) -> Tensor:
    return x
