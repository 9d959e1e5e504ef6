"""Every registered backbone of the installed zoo."""
import json
import sys

import pytest
import torch
from torch import nn

from mmfss.models import FeatureTaps
from mmfss.models.backbones import preset_taps
from mmfss.registry import MODELS
from tests.conftest import REPO
from tests.test_models.test_hsnet import episodes, hsnet
from tests.tool import run_tool

TOOLS = REPO / 'tools' / 'analysis_tools'
sys.path.insert(0, str(TOOLS))
import list_backbones  # noqa: E402

# the rest has a preset
BY_OUTPUTS = {
    'mmpretrain.AlexNet', 'mmpretrain.ConvMixer', 'mmpretrain.HiViT',
    'mmpretrain.LeViT', 'mmpretrain.RepMLPNet', 'mmseg.CGNet', 'mmseg.DDRNet',
    'mmseg.ERFNet', 'mmseg.FastSCNN', 'mmseg.ICNet', 'mmseg.PIDNet',
    'mmseg.STDCContextPathNet', 'mmseg.UNet', 'mmpretrain.TIMMBackbone',
    'mmseg.TIMMBackbone'
}
try:
    import timm  # noqa: F401
    NO_TIMM = False
except (ImportError, RuntimeError):  # not there, or without its torchvision
    NO_TIMM = True
NONE = {*list_backbones.REASONS} | ({
    'mmpretrain.TIMMBackbone', 'mmseg.TIMMBackbone'
} if NO_TIMM else set())
# the rest takes images of any size
MULTIPLES = {
    'mmpretrain.HRNet', 'mmpretrain.HiViT', 'mmseg.DDRNet', 'mmseg.PIDNet',
    'mmseg.UNet'
}
FIXED = {
    'mmpretrain.BEiTViT', 'mmpretrain.DaViT', 'mmpretrain.EfficientFormer',
    'mmpretrain.LeViT', 'mmpretrain.MixMIMTransformer', 'mmpretrain.PyramidVig',
    'mmpretrain.RepMLPNet', 'mmpretrain.TNT', 'mmpretrain.TinyViT',
    'mmpretrain.Vig', 'mmseg.BEiT', 'mmseg.MAE'
}


@pytest.mark.parametrize('name', list_backbones.registered())
def test_every_registered_backbone(name):
    """Builds, and runs a batch of odd, rectangular images; or says why not."""
    row = list_backbones.describe(name)
    if name in NONE:
        assert row['taps'] == 'none' and row['reason']
        return
    assert row['reason'] == ''
    assert row['taps'] == ('outputs' if name in BY_OUTPUTS else 'preset')
    assert row['images'] == ('multiples of 32' if name in MULTIPLES else
                             'img_size' if name in FIXED else 'any')
    strides = [level['stride'] for level in row['levels']]
    assert strides == sorted(set(strides), reverse=True)


@pytest.mark.parametrize(
    'name',
    sorted({*list_backbones.registered()} - NONE - BY_OUTPUTS))
def test_presets_train(name):
    """Backward, through a narrow neck; the backbone gets no gradient."""
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='HSNet',
            backbone=dict(type=name, **list_backbones.ARGS.get(name, {})),
            neck=dict(type='HypercorrelationPyramid', channels=(8, 8, 16)),
            decode_head=dict(type='HSNetHead', in_channels=16, channels=16)))
    batch, size = 2, (97, 129)
    if name in MULTIPLES:
        size = (64, 96)
    if name in FIXED:
        batch, size = 1, (224, 224)
    model.train()
    model(*episodes(batch, 1, *size), mode='loss')['loss_ce'].backward()
    for key, p in model.named_parameters():
        assert (p.grad is None) == key.startswith('backbone.')
    first = [block[0].query_conv.weight.grad for block in model.neck.squeeze]
    assert all(grad.isfinite().all() and grad.any() for grad in first)


@pytest.mark.parametrize('config, maps', [
    *((dict(type='mmpretrain.ResNet', depth=depth), blocks)
      for depth, blocks in ((18, 8), (34, 16), (50, 16), (101, 33), (152, 50))),
    *((dict(type='mmpretrain.VGG', depth=depth, norm_cfg=norm), depth - 3 + 1)
      for depth in (11, 13, 16, 19) for norm in (None, dict(type='BN'))),
    *((dict(type='mmpretrain.DenseNet', arch=arch), layers)
      for arch, layers in (('121', 58), ('161', 78), ('169', 82), ('201', 98))),
], ids=lambda v: '-'.join(str(x) for x in v.values()) if isinstance(v, dict) else None)
def test_every_block_of_every_depth(config, maps):
    """VGG: each convolution (three of its layers are none), and a pooling."""
    assert len(preset_taps(MODELS.build(config))) == maps


@pytest.mark.skipif(NO_TIMM, reason='needs timm, and a torchvision that it loads')
@pytest.mark.parametrize('zoo', ['mmpretrain', 'mmseg'])
@pytest.mark.parametrize('name, kwargs, strides', [
    ('regnety_002', dict(), (32, 16, 8)),
    ('vit_tiny_patch16_224', dict(dynamic_img_size=True, dynamic_img_pad=True),
     (16, )),
])
def test_timm(zoo, name, kwargs, strides, log):
    backbone = dict(
        type=f'{zoo}.TIMMBackbone',
        model_name=name,
        features_only=True,
        pretrained=False,
        **kwargs)
    model = hsnet(backbone).train()
    assert model.taps.strides == strides
    assert sum('no preset of taps for TIMMBackbone' in line for line in log) == 1
    model(*episodes(2, 1, 97, 129), mode='loss')['loss_ce'].backward()
    for block in model.neck.squeeze:
        assert block[0].query_conv.weight.grad.any()
    # pretrained=True, as timm leaves it: nothing more to load
    model.backbone.is_init = True
    model.init_weights()
    assert not any('RANDOM' in line for line in log)


@pytest.mark.parametrize('config, tap, output', [
    (dict(type='mmpretrain.VisionTransformer', arch='deit-tiny',
          out_type='featmap'), 'ln1', 0),
    (dict(type='mmpretrain.VisionTransformer', arch='deit-tiny', patch_size=14,
          out_type='featmap', img_size=518), 'ln1', 0),
    (dict(type='mmpretrain.SwinTransformer', pad_small_map=True), 'norm3', 0),
    (dict(type='mmpretrain.MViT', arch='tiny'), 'norm3', 0),
    (dict(type='mmseg.MixVisionTransformer', embed_dims=32), 'layers.1.2', 1),
    (dict(type='mmpretrain.PCPVT', arch='small', norm_after_stage=True),
     'norm_after_stage3', 0),
], ids=lambda v: v['type'] if isinstance(v, dict) else None)
@pytest.mark.parametrize('size', [(112, 112), (75, 133)])
def test_tokens_fold_to_the_zoos_own_map(config, tap, output, size):
    backbone = MODELS.build(config)
    backbone.eval()
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        ours, = FeatureTaps(backbone, [[tap]])(images)
        assert torch.equal(ours[0], backbone(images)[output])


@pytest.mark.parametrize('extra', [0, 1, 2, 5])
def test_class_and_register_tokens_are_dropped(extra):

    class Tokens(nn.Module):

        def __init__(self):
            super().__init__()
            self.block = nn.ZeroPad2d((0, 0, extra, 0))

        def forward(self, x):
            return self.block(nn.functional.unfold(x, 16, stride=16).mT).mean(1)

    images = torch.rand(2, 3, 80, 48) + 1
    backbone = Tokens()
    (folded, ), = FeatureTaps(backbone, [['block']])(images)
    assert folded.shape == (2, 768, 5, 3) and folded.min() >= 1
    patch = images[1, :, 32:48, 16:32].flatten()
    assert torch.equal(folded[1, :, 2, 1], patch)


def test_tokens_that_do_not_fold():

    class Sequence(nn.Module):

        def __init__(self):
            super().__init__()
            self.block = nn.Identity()

        def forward(self, x):
            step = 16 if x.shape[-1] == x.shape[-2] else 7
            return self.block(x[:, :1, ::16, ::step].flatten(2).mT)

    taps = FeatureTaps(Sequence(), [['block']])
    with pytest.raises(ValueError, match='tokens.*fold to no grid of stride'):
        taps(torch.zeros(1, 3, 160, 64))


def test_unknown_backbone_gives_its_outputs_and_says_so(log):

    class Mine(nn.Module):

        def __init__(self):
            super().__init__()
            self.deep = nn.Conv2d(3, 8, 32, 32)
            self.shallow = nn.Conv2d(3, 4, 8, 8)

        def forward(self, x):
            return self.shallow(x), self.deep(x), x.mean((2, 3)), None

    taps = FeatureTaps(Mine())
    assert taps.taps == [[':1'], [':0']]
    assert taps.strides == (32, 8)
    lines = [line for line in log if 'no preset of taps for Mine' in line]
    assert len(lines) == 1 and '2 output(s)' in lines[0]


def test_images_that_the_backbone_cannot_take():
    model = hsnet(dict(type='mmpretrain.HRNet', arch='w18')).eval()
    with pytest.raises(ValueError, match=r'HRNet does not run on images '
                       r'\(1, 3, 100, 100\).*multiples.*384 or 416.*ResizeFewShot'):
        model.extract_feat(torch.zeros(1, 3, 100, 100))


def test_backbone_keeps_its_mode():
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=18))
    backbone.train()
    backbone.layer1.eval()
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    FeatureTaps(backbone)
    assert backbone.training and not backbone.layer1.training
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())


def test_list_from_the_command_line():
    code, output = run_tool(
        'analysis_tools/list_backbones.py', 'mmpretrain.MobileNetV3', 'mmseg.VPD',
        '--measure', '--json')
    assert code == 0, output
    backbone = MODELS.build(dict(type='mmpretrain.MobileNetV3'))
    parameters = sum(p.numel() for p in backbone.parameters())
    works, not_this = json.loads(output)
    assert [level['maps'] for level in works['levels']] == [4, 5, 2]
    assert works['frozen'] == parameters and works['side'] == 400
    assert works['ms'] > 0
    assert not_this['levels'] == [] and 'Stable Diffusion' in not_this['reason']
