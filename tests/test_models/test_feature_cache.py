"""The cache gives what the backbone would give, and spares its passes."""
import copy
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from mmengine.model import ExponentialMovingAverage

from mmfss.models.backbones.feature_cache import GB
from tests.test_models.test_hsnet import MOBILENET, episodes, hsnet

VIT = dict(
    type='mmpretrain.VisionTransformer', img_size=64, out_type='featmap',
    arch=dict(embed_dims=32, num_layers=2, num_heads=2,
              feedforward_channels=64))


def cached(backbone=MOBILENET, like=None, **feature_cache):
    """A model with a cache, its weights those of another, if given.

    Its ``passes`` lists the images that went through the backbone.
    """
    torch.manual_seed(0)
    model = hsnet(backbone, feature_cache=feature_cache).eval()
    if like is not None:
        model.load_state_dict(like.state_dict())
    return watched(model)


def watched(model):
    model.passes = []
    model.backbone.register_forward_pre_hook(
        lambda module, args: model.passes.append(args[0].clone()))
    return model


@pytest.fixture
def image():
    return torch.randn(1, 3, 64, 64)


@torch.no_grad()
def computed(model, image):
    return model.taps(image.contiguous(memory_format=torch.channels_last))


def image_gb(model, image):
    return sum(f.nbytes for level in computed(model, image) for f in level) / GB


def same(a, b):
    return all(
        torch.equal(x, y) for p, q in zip(a, b) for x, y in zip(p, q))


@pytest.mark.parametrize('backbone', [
    MOBILENET, dict(type='mmpretrain.ResNet', depth=50), VIT
], ids=lambda b: b['type'])
def test_predictions_are_the_same_bit_for_bit(backbone, tmp_path):
    """Computed, from memory and from disk; supports are repeated."""
    torch.manual_seed(0)
    plain = watched(hsnet(backbone).eval())
    inputs, samples = episodes(3, 5, 64, 64)
    inputs['query'][1] = inputs['support'][0, 0]
    inputs['support'][2, 1:] = inputs['support'][2, :1]
    expected = plain(inputs, copy.deepcopy(samples), mode='predict')
    assert [len(p) for p in plain.passes] == [1] * 18

    model = cached(backbone, plain, memory_gb=1, cache_dir=str(tmp_path))
    fresh = cached(backbone, plain, memory_gb=1, cache_dir=str(tmp_path))
    for result in (model(inputs, copy.deepcopy(samples), mode='predict'),
                   model(inputs, copy.deepcopy(samples), mode='predict'),
                   fresh(inputs, copy.deepcopy(samples), mode='predict')):
        for ours, wanted in zip(result, expected):
            assert torch.equal(ours.seg_logits.data, wanted.seg_logits.data)
            assert torch.equal(ours.pred_sem_seg.data, wanted.pred_sem_seg.data)
    assert [len(p) for p in model.passes] == [1] * 13 and not fresh.passes
    assert model.feature_cache.counts == dict(passes=13, memory=23)
    assert fresh.feature_cache.counts == dict(disk=13, memory=5)


def test_training_with_and_without(tmp_path):
    """A batch that runs together differs in the last bits only."""
    torch.manual_seed(0)
    plain = hsnet().train()
    model = cached(like=plain).train()
    inputs, samples = episodes(4, 1, 64, 64)
    for _ in range(2):
        loss = model(inputs, samples, mode='loss')['loss_ce']
        torch.testing.assert_close(
            loss, plain(inputs, samples, mode='loss')['loss_ce'],
            rtol=1e-5, atol=0)
        loss.backward()
    assert len(model.passes) == 8
    assert all(p.grad is not None for p in model.neck.parameters())
    one = {key: value[:1] for key, value in inputs.items()}
    assert torch.equal(model(one, samples[:1], mode='loss')['loss_ce'],
                       plain(one, samples[:1], mode='loss')['loss_ce'])


def test_the_longest_unused_is_forgotten(image):
    model = cached(memory_gb=2.5 * image_gb(hsnet(), image))
    images = torch.cat([image, image + 1, image + 2])
    for number, passes in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (2, 5)):
        model.extract_feat(images[number:number + 1])
        assert len(model.passes) == passes, number
    kept = model.feature_cache._kept.values()
    assert sum(f.nbytes for levels in kept for level in levels
               for f in level) == model.feature_cache._bytes <= (
                   model.feature_cache.limit)


def test_a_caller_cannot_spoil_what_is_kept(image):
    model = cached()
    for level in model.extract_feat(image):
        for feature in level:
            feature.zero_()
    assert same(model.extract_feat(image), computed(model, image))


def test_changed_weights_are_a_miss(image):
    model = cached()
    before = model.extract_feat(image)
    changed = {k: v + 0.1 for k, v in model.state_dict().items()}
    model.load_state_dict(changed)
    after = model.extract_feat(image)
    assert len(model.passes) == 2 and not same(before, after)
    assert same(after, computed(model, image))
    next(model.backbone.parameters()).data.zero_()
    model.eval()  # as each epoch does
    assert not same(model.extract_feat(image), after)


def test_changed_images_sizes_and_precisions_are_misses(image):
    model = cached()
    nudged = image.clone()
    nudged[0, 2, 63, 63] += 1e-3
    flat = image.reshape(1, 3, 32, 128)  # the same bytes
    for n, other in enumerate((image, nudged, flat)):
        assert same(model.extract_feat(other), computed(model, other))
        assert model.feature_cache.counts['passes'] == n + 1
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast('cpu', dtype=dtype):
            levels = model.extract_feat(image)
            assert same(levels, computed(model, image))
            assert same(levels, model.extract_feat(image))
    assert model.feature_cache.counts == dict(passes=5, memory=2)
    assert same(model.extract_feat(image), computed(model, image))
    assert model.feature_cache.counts['passes'] == 5


def test_another_backbone_with_the_same_weights_is_a_miss(image, tmp_path):
    """Other strides have weights of the same shapes; other taps, too."""
    resnet = dict(type='mmpretrain.ResNet', depth=50)
    first = cached(resnet, cache_dir=str(tmp_path))
    first.extract_feat(image)
    for change in (dict(style='caffe'), dict(init_cfg=None)):
        model = cached({**resnet, **change}, first, cache_dir=str(tmp_path))
        assert same(model.extract_feat(image), computed(model, image))
        hit = 'style' not in change
        assert model.feature_cache.counts == {'disk' if hit else 'passes': 1}
    model = hsnet(resnet, taps=[['layer4.0'], ['layer3.0'], ['layer2.0']],
                  feature_cache=dict(cache_dir=str(tmp_path))).eval()
    model.backbone.load_state_dict(first.backbone.state_dict())
    assert same(model.extract_feat(image), computed(model, image))


def test_threads_decide_the_last_bits(image, tmp_path):
    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            model = cached(cache_dir=str(tmp_path))
            assert same(model.extract_feat(image), computed(model, image))
            assert model.feature_cache.counts == dict(passes=1)
    finally:
        torch.set_num_threads(threads)


def test_threads_take_turns(image):
    """What one computes, the other finds; and its weights are not half folded."""
    model = cached()
    expected = [computed(model, image + n) for n in range(2)]
    model.backbone.layer3.register_forward_hook(lambda *_: time.sleep(0.1))
    model.passes.clear()
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(
            model.extract_feat, [image, image + 1, image, image + 1]))
    assert all(map(same, results, expected * 2))
    assert model.feature_cache.counts == dict(passes=2, memory=2)
    kept = model.feature_cache._kept.values()
    assert model.feature_cache._bytes == sum(
        f.nbytes for levels in kept for level in levels for f in level)


@torch.inference_mode()
def test_weights_made_in_inference_mode(image):
    """They have no version."""
    model = cached()
    assert all(p.is_inference() for p in model.backbone.parameters())
    expected = computed(model, image)
    assert same(model.extract_feat(image), expected)
    assert same(model.extract_feat(image), expected)
    assert model.feature_cache.counts == dict(passes=1, memory=1)


def test_float16(image, tmp_path):
    model = cached(dtype='float16', cache_dir=str(tmp_path))
    exact = computed(model, image)
    first, second = model.extract_feat(image), model.extract_feat(image)
    fresh = cached(dtype='float16', cache_dir=str(tmp_path))
    assert same(first, second) and same(first, fresh.extract_feat(image))
    assert fresh.feature_cache.counts == dict(disk=1)
    assert not same(first, exact)
    for level, wanted in zip(first, exact):
        for f, w in zip(level, wanted):
            assert f.dtype == torch.float32 and torch.equal(f, w.half().float())
    assert model.feature_cache.image_bytes * 2 == sum(
        f.nbytes for level in exact for f in level)
    # an exact cache in the same folder does not take the rounded maps
    assert same(cached(cache_dir=str(tmp_path)).extract_feat(image), exact)


def test_float16_that_is_too_small(image):
    model = cached(dict(type='mmpretrain.ResNet', depth=18), dtype='float16')
    with pytest.raises(ValueError, match="dtype='float32'"):
        model.extract_feat(image * 1e12)


def break_off(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(path):
    torch.save(dict(key='0' * 64, levels=[[torch.zeros(1)]]), path)


@pytest.mark.parametrize('spoil', [
    break_off, flip_a_bit, replace, lambda path: path.write_bytes(b''),
    lambda path: path.write_text('not a tensor')
])
def test_a_spoilt_file_is_a_miss(image, tmp_path, spoil):
    expected = cached(cache_dir=str(tmp_path)).extract_feat(image)
    path, = tmp_path.iterdir()
    spoil(path)
    for count in ('passes', 'disk'):  # it is written anew
        model = cached(cache_dir=str(tmp_path))
        assert same(model.extract_feat(image), expected)
        assert model.feature_cache.counts == {count: 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_malicious_file_is_a_miss(image, tmp_path):
    cached(cache_dir=str(tmp_path)).extract_feat(image)
    path, = tmp_path.iterdir()
    torch.save(Malicious(tmp_path / 'made'), path)
    model = cached(cache_dir=str(tmp_path))
    model.extract_feat(image)
    assert model.feature_cache.counts == dict(passes=1)
    assert list(tmp_path.iterdir()) == [path]


class Malicious:

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path), )


def test_disk_space_is_bounded(image, tmp_path):
    (tmp_path / 'mine.txt').write_text('of the user')
    os.utime(tmp_path / 'mine.txt', (0, 0))
    limit = 2.5 * image_gb(hsnet(), image)
    model = cached(memory_gb=0, cache_dir=str(tmp_path), disk_gb=limit)
    for n in range(4):
        model.extract_feat(image + n)
        for turn, path in enumerate(sorted(
                tmp_path.glob('*.features'), key=os.path.getmtime), 1):
            os.utime(path, (turn, turn))  # file systems' clocks may be coarse
        assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= limit * GB
    assert (tmp_path / 'mine.txt').is_file()
    model.extract_feat(image + 3)
    model.extract_feat(image + 2)
    assert model.feature_cache.counts == dict(passes=4, disk=2)
    model.extract_feat(image)
    assert model.feature_cache.counts == dict(passes=5, disk=2)


def test_a_full_disk_stops_nothing(image, tmp_path, monkeypatch, log):

    def full(content, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    model = cached(memory_gb=0, cache_dir=str(tmp_path))
    for n in range(2):
        assert same(model.extract_feat(image + n), computed(model, image + n))
    assert list(tmp_path.iterdir()) == []
    assert sum('No space left' in message for message in log) == 1


def test_checkpoints_and_copies(image):
    model = cached()
    model.extract_feat(image)
    assert model.state_dict().keys() == hsnet().state_dict().keys()
    average = ExponentialMovingAverage(model)
    twin = copy.deepcopy(model)
    for copied in (average.module, twin):
        assert not copied.feature_cache._kept
        assert copied.feature_cache.taps.backbone is copied.backbone
    for p in twin.backbone.parameters():
        p.data.zero_()
    assert not same(twin.extract_feat(image), model.extract_feat(image))


@pytest.mark.parametrize('feature_cache, message', [
    (dict(dtype='int8'), "dtype must be 'float32' or 'float16'"),
    (dict(memory_gb=-1), 'needs memory_gb > 0'),
    (dict(memory_gb=0), 'needs memory_gb > 0'),
    (dict(cache_dir='/proc/nowhere'), 'cache_dir=.*cannot be made'),
])
def test_bad_settings(feature_cache, message):
    with pytest.raises(ValueError, match=message):
        hsnet(feature_cache=feature_cache)
