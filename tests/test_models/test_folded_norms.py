"""The frozen backbone's batch norms are folded into its convolutions."""
import copy
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmfss.models.backbones import FeatureTaps
from mmfss.registry import MODELS


class CountNorms(TorchDispatchMode):
    """Counts the batch norms that are computed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 'batch_norm' in str(func)
        return func(*args, **(kwargs or {}))


def build(type, **kwargs):
    backbone = MODELS.build(dict(type=type, **kwargs))
    backbone.eval()
    return backbone


def shake(backbone):
    """Norms that do something."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            for t in (module.weight, module.running_var):
                nn.init.uniform_(t, 0.5, 1.5)
            for t in (module.bias, module.running_mean):
                nn.init.uniform_(t, -0.5, 0.5)


def plain(taps, images):
    """What the taps read where nothing is folded, as for a gradient."""
    with torch.enable_grad():
        return [[x.detach() for x in level] for level in taps(images)]


def assert_same(levels, expected):
    for a, b in zip(sum(levels, []), sum(expected, [])):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()


@pytest.mark.parametrize('cfg', [
    dict(type='mmpretrain.ResNet', depth=18),
    dict(type='mmpretrain.ResNet', depth=50, style='caffe'),
    dict(type='mmpretrain.DenseNet', arch='121'),
    dict(type='mmpretrain.MobileNetV2'),
    dict(type='mmpretrain.EfficientNet', arch='b0'),
    dict(type='mmpretrain.VGG', depth=11, norm_cfg=dict(type='BN')),
    dict(type='mmseg.BiSeNetV2'),
], ids=lambda cfg: cfg['type'])
@torch.no_grad()
def test_same_features_with_fewer_norms(cfg):
    torch.manual_seed(0)
    backbone = build(**cfg)
    taps = FeatureTaps(backbone)
    shake(backbone)
    images = torch.randn(2, 3, 96, 64)
    names = list(backbone.state_dict())
    expected = plain(taps, images)
    with CountNorms() as counter:
        levels = taps(images)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    assert_same(levels, expected)
    assert counter.count < 0.6 * norms
    assert list(backbone.state_dict()) == names
    assert_same(plain(taps, images), expected)  # nothing is left behind


@torch.no_grad()
def test_new_weights_are_folded_anew():
    """Loaded, changed in place, or moved; and a copy has its own."""
    torch.manual_seed(0)
    backbone = build('mmpretrain.ResNet', depth=18)
    taps = FeatureTaps(backbone)
    images = torch.randn(1, 3, 64, 64)
    taps(images)
    other = build('mmpretrain.ResNet', depth=18)
    shake(other)
    changes = [
        lambda: backbone.load_state_dict(other.state_dict()),
        lambda: backbone.layer1[0].bn1.running_mean.add_(1),
        lambda: backbone.double() and backbone.float(),
        lambda: backbone.layer2[0].conv1.weight.mul_(3),
    ]
    before = taps(images)
    for change in changes:
        change()
        levels = taps(images)
        assert_same(levels, plain(taps, images))
    assert not torch.equal(levels[0][0], before[0][0])
    twin = copy.deepcopy(taps)
    shake(twin.backbone)
    assert_same(twin(images), plain(twin, images))
    assert torch.equal(taps(images)[0][0], levels[0][0])


def test_threads_take_turns():
    """They would fold each other's weights, and put the folded ones back."""
    torch.manual_seed(0)
    backbone = build('mmpretrain.ResNet', depth=18)
    taps = FeatureTaps(backbone)
    shake(backbone)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    images = torch.randn(2, 1, 3, 64, 64)
    # in the middle of a pass, the other thread's turn
    backbone.layer2.register_forward_hook(lambda *_: time.sleep(0.1))

    def run(image):
        with torch.no_grad():
            return taps(image)

    expected = [run(image) for image in images]
    with ThreadPoolExecutor(len(images)) as threads:
        for levels, alone in zip(threads.map(run, images), expected):
            assert_same(levels, alone)
    weights = backbone.state_dict()
    assert list(weights) == list(before)
    assert all(torch.equal(before[k], v) for k, v in weights.items())
    for levels, alone in zip(map(run, images), expected):
        assert_same(levels, alone)


class ReadTwice(nn.Module):
    """The convolution's output goes elsewhere, too."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        self.bn = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.conv(x)
        return self.last(self.bn(x) + x)


class ReluBetween(ReadTwice):
    """It is changed before the norm, in place."""

    def forward(self, x):
        return self.last(self.bn(self.conv(x).relu_()))


class Shared(ReadTwice):
    """One convolution, two norms' worth of calls."""

    def forward(self, x):
        return self.last(self.bn(self.conv(x)) + self.bn(self.conv(x.flip(-1))))


@pytest.mark.parametrize('kind', [ReadTwice, ReluBetween, Shared])
@torch.no_grad()
def test_norms_that_can_not_be_folded(kind):
    backbone = kind().eval()
    taps = FeatureTaps(backbone, [['last']])
    shake(backbone)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(taps(images)[0][0], backbone(images))


@torch.no_grad()
def test_a_tapped_convolution_keeps_its_own_output():
    backbone = build('mmpretrain.ResNet', depth=18)
    taps = FeatureTaps(backbone, [['layer4.0.conv2']])
    shake(backbone)
    images = torch.randn(1, 3, 64, 64)
    assert_same(taps(images), plain(taps, images))


def test_building_leaves_the_norms_as_they_were():
    backbone = build('mmpretrain.ResNet', depth=18)
    backbone.train()
    shake(backbone)
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    random = torch.get_rng_state()
    FeatureTaps(backbone)
    assert all(torch.equal(before[k], v) for k, v in backbone.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert backbone.training
