import copy

import pytest
import torch

from mmfss.models import FeatureTaps
from mmfss.registry import MODELS
from tests.conftest import episodes

MOBILENET = dict(type='mmpretrain.MobileNetV2')


def hsnet(backbone=MOBILENET, **kwargs):
    neck = kwargs.pop('neck', {})
    return MODELS.build(
        dict(
            dict(decode_head=dict(type='HSNetHead')),
            type='HSNet',
            backbone=backbone,
            neck=dict(type='HypercorrelationPyramid', **neck),
            **kwargs))


@pytest.mark.parametrize('backbone', [
    dict(type='mmpretrain.ResNet', depth=50),
    dict(type='mmpretrain.VGG', depth=16), MOBILENET
], ids=lambda b: b['type'])
@pytest.mark.parametrize('height, width', [(65, 97), (128, 64)])
def test_modes_at_any_size(backbone, height, width):
    model = hsnet(backbone).train()
    inputs, samples = episodes(2, 3, height, width)
    loss = model(inputs, samples, mode='loss')['loss_ce']
    loss.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained
               if p.numel() > 2)
    model.eval()
    with torch.no_grad():
        logits = model(inputs, samples, mode='tensor')
        assert logits.shape[:3] == (2, 3, 2)
        results = model(inputs, samples, mode='predict')
    for result in results:
        mask = result.pred_sem_seg.data
        assert mask.shape == (1, height, width)
        assert mask.dtype == torch.int64 and set(mask.unique().tolist()) <= {0, 1}
        assert result.seg_logits.data.shape == (2, height, width)


@pytest.mark.parametrize('side', [64, 96])
def test_a_support_does_not_change_what_another_gives(side):
    """To the last bit, encoded and decoded together or each alone."""
    model = hsnet().eval()
    inputs, samples = episodes(1, 3, side, side)
    masks = samples[0].support_masks == 1
    masks[0, :side // 2] = masks[1, :, :side // 2] = False  # windows that differ
    with torch.no_grad():
        features = model.extract_feat(inputs['support'][0])
        together = model.segment(
            inputs['query'], model.encode_support(features, masks))
        for k in range(3):
            alone = model.encode_support(
                [[x[k:k + 1] for x in maps] for maps in features], masks[k:k + 1])
            assert torch.equal(
                model.segment(inputs['query'], alone)[:, 0], together[:, k])


def test_foreground_bias():
    """Of use after a training, without any part in it."""
    model, (inputs, samples) = hsnet(), episodes(2, 2, 64, 64)
    found = {}
    for bias in (0, 0.5):
        model.decode_head.foreground_bias = bias
        with torch.no_grad():
            found[bias] = (model.train()(inputs, samples, mode='loss')['loss_ce'],
                           model.eval()(inputs, samples, mode='tensor'))
    assert found[0][0] == found[0.5][0]
    difference = found[0.5][1] - found[0][1]
    assert torch.equal(difference[:, :, 0], torch.zeros_like(difference[:, :, 0]))
    assert difference[:, :, 1].sub(0.5).abs().max() < 1e-6


def test_the_head_takes_what_the_neck_gives():
    neck = dict(channels=(8, 8, 16))
    model = hsnet(neck=neck).eval()
    with torch.no_grad():
        model(*episodes(1, 1, 64, 64), mode='tensor')
    assert model.decode_head.before[0].in_channels == 16
    written = hsnet(neck=neck, decode_head=dict(type='HSNetHead', in_channels=32))
    assert written.decode_head.before[0].in_channels == 32


@pytest.mark.parametrize('norm', ['GN', 'BN2d'])
def test_supports_belong_to_their_episode(norm):
    """A batch's supports, an episode's together, meet their own query."""
    torch.manual_seed(0)
    neck = hsnet(neck=dict(norm_cfg=dict(
        type=norm, **(dict(num_groups=4) if norm == 'GN' else {})))).neck.eval()
    query, support = ([[torch.randn(n, 8, side, side) for _ in range(maps)]
                       for maps, side in zip((4, 7, 3), (2, 4, 8))]
                      for n in (2, 6))
    masks = torch.randint(0, 2, (6, 64, 64))
    with torch.no_grad():
        correlations = neck.correlate(query, support, masks)
        context = neck(query, support, masks)
        for n in range(6):
            episode = ([[x[n // 3, None] for x in maps] for maps in query],
                       [[x[n, None] for x in maps] for maps in support],
                       masks[n, None])
            for level, alone in zip(correlations, neck.correlate(*episode)):
                torch.testing.assert_close(level[n], alone[0])
            torch.testing.assert_close(
                context[n], neck(*episode)[0], atol=1e-5, rtol=1e-4)


def test_one_query_is_not_copied_for_each_support(monkeypatch):
    """Nor for the one support that a CPU takes at a time."""
    neck, seen = hsnet().neck.eval(), []
    monkeypatch.setattr(
        neck, '_encode', lambda query, support: seen.append(query) or query[0][0])
    for queries, supports in ((1, 3), (2, 2)):
        query, support = ([[torch.randn(n, 8, side, side)]
                           for side in (2, 4, 8)] for n in (queries, supports))
        neck.encode(query, support)
        for maps, repeated in zip(query, seen.pop()):
            assert len(repeated[0]) == supports
            assert repeated[0].data_ptr() == maps[0].data_ptr()
            assert (repeated[0].untyped_storage().nbytes()
                    == maps[0].untyped_storage().nbytes())


@pytest.mark.parametrize('kernel', ['FullConv4d', 'SeparableConv4d'])
def test_other_kernels_learn(kernel):
    torch.manual_seed(0)
    model = hsnet(neck=dict(conv_cfg=dict(type=kernel))).train()
    model(*episodes(1, 1, 64, 64), mode='loss')['loss_ce'].backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters()
               if p.requires_grad and p.numel() > 2)


@pytest.mark.parametrize('level, stride', [('layer7.0', 32), ('layer4.0', 16),
                                           ('layer3.0', 8)])
def test_a_single_level(level, stride):
    model = hsnet(taps=[[level]])
    inputs, samples = episodes(2, 1, 64, 96)
    model(inputs, samples, mode='loss')['loss_ce'].backward()
    with torch.no_grad():
        logits = model.eval()(inputs, samples, mode='tensor')
    # the head doubles the level's size
    assert logits.shape[-2:] == (2 * 64 // stride, 2 * 96 // stride)


def test_batch_and_shots_do_not_mix():
    model = hsnet().eval()
    inputs, samples = episodes(2, 2, 64, 64)
    with torch.no_grad():
        together = model(inputs, samples, mode='tensor')
        for b in range(2):
            for k in range(2):
                one = copy.deepcopy(samples[b])
                one.support_masks = one.support_masks[k:k + 1]
                alone = model(
                    dict(query=inputs['query'][b:b + 1],
                         support=inputs['support'][b:b + 1, k:k + 1]), [one],
                    mode='tensor')
                torch.testing.assert_close(
                    alone[0, 0], together[b, k], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('height, width', [(64, 64), (65, 97)])
def test_a_prediction_does_not_depend_on_its_batch(height, width):
    """Bit for bit: not a pixel of an integer area may flip."""
    model = hsnet().eval()
    inputs, samples = episodes(4, 2, height, width)
    with torch.no_grad():
        together = model(inputs, copy.deepcopy(samples), mode='predict')
        for b, sample in enumerate(samples):
            alone, = model({k: v[b:b + 1].clone() for k, v in inputs.items()},
                           [sample], mode='predict')
            assert torch.equal(alone.seg_logits.data, together[b].seg_logits.data)


def test_boundary_counts_as_background():
    model = hsnet().eval()
    inputs, samples = episodes(1, 1, 64, 64)
    with_boundary = copy.deepcopy(samples)
    for label in (with_boundary[0].gt_sem_seg.data,
                  with_boundary[0].support_masks):
        label[label == 0] = 255
    with torch.no_grad():
        assert (model(inputs, samples, mode='loss')['loss_ce'] == model(
            inputs, with_boundary, mode='loss')['loss_ce'])


def gradients(model, inputs, samples):
    model.zero_grad()
    model(inputs, samples, mode='loss')['loss_ce'].backward()
    return {n: p.grad for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('kernel', ['CenterPivotConv4d', 'FullConv4d'])
def test_checkpointing_saves_activations_not_accuracy(kernel):
    model = hsnet(neck=dict(conv_cfg=dict(type=kernel))).train()
    inputs, samples = episodes(2, 1, 64, 96)
    saved, results = [], []
    for model.neck.with_cp in (False, True):
        kept = []

        def keep(tensor, kept=kept):
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            model(inputs, samples, mode='loss')
        saved.append(sum(kept))
        results.append(gradients(model, inputs, samples))
    assert saved[1] < saved[0] / 2
    for name, gradient in results[0].items():
        assert torch.equal(gradient, results[1][name]), name


def test_query_and_supports_of_other_sizes():
    """As pipelines that keep the aspect ratio give them."""
    model = hsnet().train()
    inputs, samples = episodes(2, 2, 64, 96)
    others, masks = episodes(2, 2, 96, 64)
    inputs['support'] = others['support']
    for sample, other in zip(samples, masks):
        sample.support_masks = other.support_masks
    together = model(inputs, samples, mode='tensor')
    model.eval()
    torch.testing.assert_close(model(inputs, samples, mode='tensor'), together)


def test_a_support_set_is_encoded_once():
    model = hsnet().eval()
    inputs, samples = episodes(1, 3, 64, 96)
    passes = []
    model.backbone.register_forward_hook(
        lambda module, args, output: passes.append(len(args[0])))
    masks = samples[0].support_masks == 1
    with torch.no_grad():
        expected = model(inputs, samples, mode='tensor')
        passes.clear()
        support = model.encode_support(
            model.extract_feat(inputs['support'][0]), masks)
        assert sum(passes) == 3
        logits = model.segment(inputs['query'], support)
        assert sum(passes) == 4
        torch.testing.assert_close(logits, expected)
        model.segment(torch.randn(1, 3, 65, 64), support)
        assert sum(passes) == 5


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_mixed_precision(dtype):
    """float16 is a GPU's; its autocast exists on the CPU, too."""
    torch.manual_seed(0)
    model = hsnet().eval()
    inputs, samples = episodes(1, 2, 128, 96)
    with torch.no_grad():
        expected, = model(inputs, copy.deepcopy(samples), mode='predict')
        with torch.autocast('cpu', dtype=dtype):
            loss = model(inputs, samples, mode='loss')['loss_ce']
            result, = model(inputs, samples, mode='predict')
    assert loss.dtype == result.seg_logits.data.dtype == torch.float32
    assert loss.isfinite()
    error = (result.seg_logits.data - expected.seg_logits.data).abs().max()
    assert error < 0.05 * expected.seg_logits.data.abs().max()


def test_frozen_backbone():
    model = hsnet(dict(type='mmpretrain.ResNet', depth=50))
    before = copy.deepcopy(model.backbone.state_dict())
    model.train()
    assert not any(m.training for m in model.backbone.modules())
    assert model.neck.training and model.decode_head.training
    assert not any(p.requires_grad for p in model.backbone.parameters())
    optimizer = torch.optim.Adam(p for p in model.parameters()
                                 if p.requires_grad)
    for _ in range(2):
        model(*episodes(2, 1, 64, 64), mode='loss')['loss_ce'].backward()
        optimizer.step()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_unmasked_support_is_the_ablation():
    torch.manual_seed(0)
    masked = hsnet().eval()
    unmasked = hsnet(neck=dict(mask_support=False)).eval()
    unmasked.load_state_dict(masked.state_dict())
    inputs, samples = episodes(1, 1, 64, 64)
    everything = copy.deepcopy(samples)
    everything[0].support_masks[:] = 1
    with torch.no_grad():
        expected = masked(inputs, everything, mode='tensor')
        torch.testing.assert_close(
            unmasked(inputs, samples, mode='tensor'), expected)
        assert not torch.equal(masked(inputs, samples, mode='tensor'), expected)


def test_copied_model_reads_its_own_backbone():
    model = hsnet().eval()
    twin = copy.deepcopy(model)
    for p in model.backbone.parameters():
        p.data.zero_()
    inputs, samples = episodes(1, 1, 64, 64)
    features = twin.extract_feat(inputs['query'])
    assert features[0][0].abs().max() > 0
    assert twin.taps.backbone is twin.backbone


def test_taps_of_the_published_backbones():
    for config, maps, sides in (
        (dict(type='mmpretrain.ResNet', depth=50), (3, 6, 4), (13, 25, 50)),
        (dict(type='mmpretrain.ResNet', depth=101), (3, 23, 4), (13, 25, 50)),
        (dict(type='mmpretrain.VGG', depth=16), (1, 3, 3), (12, 25, 50)),
        (MOBILENET, (4, 7, 3), (13, 25, 50)),
    ):
        taps = FeatureTaps(MODELS.build(config))
        assert taps.num_maps == maps
        with torch.no_grad():
            levels = taps(torch.randn(1, 3, 400, 400))
        assert [{f.shape[-1] for f in level}
                for level in levels] == [{s} for s in sides]
        # before the ReLU: negative values are there
        assert all(f.min() < 0 for level in levels[1:] for f in level)


def test_taps_leave_the_backbone_as_it_was():
    backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=50))
    backbone.eval()
    taps = FeatureTaps(backbone)
    image = torch.randn(1, 3, 64, 64)
    expected = backbone(image)[-1]
    taps(image)
    assert torch.equal(backbone(image)[-1], expected)
    assert not any(m._forward_hooks or m._forward_pre_hooks
                   for m in backbone.modules())


@pytest.mark.parametrize('taps, message', [
    (['layer4.0', 'layer3.0'], 'a list of levels'),
    ('atuo', "'auto' or a list"),
    ([['layer4.0', 'layer3.0']], 'must have one size'),
    ([['layer2.0'], ['layer3.0'], ['layer4.0']], 'from deep'),
])
def test_bad_taps(taps, message):
    with pytest.raises(ValueError, match=message):
        FeatureTaps(MODELS.build(dict(type='mmpretrain.ResNet', depth=18)), taps)(
            torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize('backbone, tap, message', [
    (dict(type='mmpretrain.ConvNeXt', arch='atto'), 'norm3',
     r'shape \(1, 320, 1, 1\).*grid of positions is gone'),
    (dict(type='mmpretrain.HRNet', arch='w18'), 'stage4.0',
     '4 items, 4 of them tensors.*"stage4.0:0"'),
    (dict(type='mmpretrain.SwinTransformer'), 'stages.3:1',
     'gives 2 items, 0 of them'),
])
def test_tap_without_a_map(backbone, tap, message):
    with pytest.raises(ValueError, match=message):
        FeatureTaps(MODELS.build(backbone), [[tap]])


def test_tap_that_is_never_called():
    backbone = MODELS.build(dict(type='mmpretrain.MobileNetV2'))
    backbone.spare = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"never calls \['spare'\]"):
        FeatureTaps(backbone, [['spare']])(torch.zeros(1, 3, 64, 64))


def test_vgg_preset():
    features = FeatureTaps(
        MODELS.build(
            dict(type='mmpretrain.VGG', depth=16, norm_cfg=dict(type='BN'))))
    with torch.no_grad():
        levels = features(torch.randn(1, 3, 64, 64))
    assert all(f.min() < 0 for level in levels[1:] for f in level)
    with pytest.raises(ValueError, match='with_last_pool'):
        FeatureTaps(
            MODELS.build(
                dict(type='mmpretrain.VGG', depth=16, with_last_pool=False)))


def test_tap_that_is_not_there():
    with pytest.raises(ValueError, match="'layer5.0'.*nearest.*layer4.0"):
        hsnet(dict(type='mmpretrain.ResNet', depth=50), taps=[['layer5.0']])


def test_backbone_without_preset():
    with pytest.raises(ValueError, match='preset of taps for AlexNet.*no maps'):
        hsnet(dict(type='mmpretrain.AlexNet', num_classes=10))


def test_levels_must_agree():
    with pytest.raises(ValueError, match='one item per level'):
        hsnet(
            taps=[['layer6.0'], ['layer4.0']],
            neck=dict(kernel_sizes=[[3, 3, 3]]))
