import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import pseudo_collate
from PIL import Image

from mmfss.apis import FewShotInferencer
from mmfss.apis.images import read_image
from mmfss.datasets.annotations.image_files import read_mask
from mmfss.models.backbones import FeatureCache
from mmfss.registry import DATASETS
from tests.test_apis.conftest import CONFIG, small_config
from tests.test_safe_checkpoint import CreatesAFile


def masks(result):
    return [p['mask'] for p in result['predictions']]


def same(one, other):
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize('shot', [1, 2, 5])
def test_the_mask_is_that_of_predict(inferencer, shot):
    dataset = DATASETS.build(small_config(shot).test_dataloader.dataset)
    shapes, areas = set(), []
    for n in range(3):
        data = dataset[n]
        with torch.no_grad():
            sample, = inferencer.model.test_step(pseudo_collate([data]))
        expected = sample.pred_sem_seg.data[0].numpy()
        supports = dataset.get_data_info(n)['supports']
        inferencer.fit([s['img_path'] for s in supports],
                       [s['seg_map_path'] for s in supports])
        mask, = masks(inferencer(sample.img_path, presence_thr=0))
        assert mask.dtype == np.uint8 and np.array_equal(mask, expected)
        shapes.add(mask.shape)
        areas.append(mask.mean())
    assert (96, 96) not in shapes and 0 < min(areas) and max(areas) < 1


def test_supports_are_encoded_once(teapot, photo):
    counts = teapot.model.feature_cache.counts
    teapot.fit([photo('clock/00'), photo('clock/01')],
               [photo('clock/00', 'masks'), photo('clock/01', 'masks')], 'clock')
    before = counts['passes']
    teapot([photo('vase/02'), photo('vase/03')])
    assert counts['passes'] == before + 2
    assert teapot.classes == ('teapot', 'clock')


def test_several_threads(teapot, photo, monkeypatch):
    """The model survives, and each gets its own photo's mask."""
    photos = [photo(f'teapot/0{n}') for n in range(1, 5)]
    before = {k: v.clone() for k, v in teapot.model.state_dict().items()}
    expected = [masks(teapot(p, presence_thr=0)) for p in photos]
    monkeypatch.setattr(
        teapot.model, 'feature_cache', FeatureCache(teapot.model.taps, {}))
    hook = teapot.model.backbone.layer3.register_forward_hook(
        lambda *_: time.sleep(0.1))
    with hook, ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda p: teapot(p, presence_thr=0), photos))
    assert all(same(masks(r), e) for r, e in zip(results, expected))
    after = teapot.model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_saved_while_another_thread_segments(teapot, photo, tmp_path, monkeypatch):
    """Under the checksum of the weights, not of those folded for a moment."""
    monkeypatch.setattr(teapot.model, 'feature_cache', None)
    inside, path = threading.Event(), str(tmp_path / 'teapot.pth')
    hook = teapot.model.backbone.layer3.register_forward_hook(
        lambda *_: inside.set() or time.sleep(0.5))
    with hook, ThreadPoolExecutor(1) as thread:
        thread.submit(teapot, photo('teapot/01'))
        assert inside.wait(60)
        teapot.save_support(path)
    assert teapot.load_support(path).classes == ('teapot', )


def test_running_out_of_memory_changes_nothing(teapot, photo, monkeypatch):
    def fails(features, masks):
        raise torch.OutOfMemoryError

    before = masks(teapot(photo('teapot/02')))
    with monkeypatch.context() as patch:
        patch.setattr(teapot.model, 'encode_support', fails)
        for name in ('teapot', 'clock'):
            with pytest.raises(torch.OutOfMemoryError):
                teapot.fit(photo('clock/00'), photo('clock/00', 'masks'), name)
    assert teapot.classes == ('teapot', )
    assert np.array_equal(masks(teapot(photo('teapot/02'))), before)


def test_paths_arrays_and_pil_images_are_the_same(teapot, photo):
    path = photo('teapot/01')
    with Image.open(path) as image:
        rgb = np.array(image)
        pil = image.copy()
    one, *others = masks(teapot([path, Path(path), rgb[..., ::-1], pil]))
    assert all(same([one], [other]) for other in others)
    teapot.fit(read_image(photo('teapot/00')),
               read_mask(photo('teapot/00', 'masks')), 'teapot')
    assert same(masks(teapot(path)), [one])


@pytest.mark.parametrize('size', [(1, 1), (300, 40), (37, 210), (12000, 30)])
def test_any_size(teapot, photo, size):
    with Image.open(photo('teapot/01')) as image:
        result = teapot(image.resize(size), return_vis=True)
    assert masks(result)[0].shape == size[::-1]
    picture, = result['visualization']
    assert picture.dtype == np.uint8 and max(picture.shape[:2]) <= 2048


def test_supports_of_different_sizes(inferencer, photo, weights):
    """Also where they remain so, because the config keeps the aspect ratio."""
    cfg = small_config()
    cfg.test_dataloader.dataset.pipeline[0].transforms[2].keep_ratio = True
    images, drawn = [], []
    for name, size in (('teapot/00', (120, 60)), ('teapot/01', (50, 90))):
        for into, kind in ((images, 'images'), (drawn, 'masks')):
            with Image.open(photo(name, kind)) as image:
                into.append(image.resize(size, Image.Resampling.NEAREST))
    keeps = FewShotInferencer(cfg, weights, device='cpu', show_progress=False)
    for each in (inferencer, keeps):
        both = masks(each.fit(images, drawn)(photo('teapot/02'), presence_thr=0))
        turned = masks(
            each.fit(images[::-1], drawn[::-1])(photo('teapot/02'), presence_thr=0))
        alone = masks(
            each.fit(images[0], drawn[0])(photo('teapot/02'), presence_thr=0))
        assert same(both, turned) and not same(both, alone)


def oracle(inferencer, monkeypatch, mask):
    """Let the model find the object of a mask, whatever the supports show."""
    foreground = torch.from_numpy(mask)[None, None].float()
    margin = 8 * F.interpolate(foreground, (48, 48), mode='area') - 4

    def decode(query, support):
        shot = support[0][0].shape[0]
        return torch.stack([-margin[0, 0], margin[0, 0]])[None, None].repeat(
            1, shot, 1, 1, 1)

    monkeypatch.setattr(inferencer.model, 'decode', decode)


def test_an_absent_class_gets_no_pixel(teapot, photo, monkeypatch):
    """Though the segmentor finds an object for each class."""
    for name in ('cat', 'clock'):
        teapot.fit(photo(f'{name}/00'), photo(f'{name}/00', 'masks'), name)
    for index, name in enumerate(('teapot', 'cat', 'clock'), 1):
        truth = read_mask(photo(f'{name}/01', 'masks'))
        oracle(teapot, monkeypatch, truth)
        result = teapot(photo(f'{name}/01'))['predictions'][0]
        assert set(np.unique(result['mask'])) == {0, index}
        hit = (result['mask'] == index)
        assert (hit & truth).sum() / (hit | truth).sum() > 0.8
        assert {n for n, s in result['scores'].items() if s} == {name}
        assert max(result['presence'], key=result['presence'].get) == name
        nothing = teapot(photo(f'{name}/01'), presence_thr=1)
        assert not masks(nothing)[0].any()


def test_the_best_score_wins_a_pixel(teapot, photo, monkeypatch):
    for name in ('cat', 'clock'):
        teapot.fit(photo(f'{name}/00'), photo(f'{name}/00', 'masks'), name)
    foreground = torch.tensor([[4., 4, -4, -4], [-4., 6, 6, -4], [3., 2, 2, 2]])
    scores = iter(foreground)

    def decode(query, support):
        margin = next(scores).expand(2, 4)
        return torch.stack([torch.zeros(2, 4), margin])[None, None]

    monkeypatch.setattr(teapot.model, 'decode', decode)
    four = np.zeros((2, 4, 3), np.uint8)
    result = teapot(four, presence_thr=0)['predictions'][0]
    assert result['mask'].tolist() == [[1, 2, 2, 3]] * 2
    assert result['scores']['clock'] == pytest.approx(1 / (1 + np.exp(-2)))
    scores = iter(foreground)
    mask, = masks(teapot(four, presence_thr=0, score_thr=0.97))
    assert mask.tolist() == [[1, 2, 2, 0]] * 2


def test_fitting_again_replaces(teapot, photo):
    first = masks(teapot(photo('teapot/02'), presence_thr=0))
    teapot.fit(photo('clock/00'), photo('clock/00', 'masks'), 'teapot')
    assert teapot.classes == ('teapot', )
    assert not same(first, masks(teapot(photo('teapot/02'), presence_thr=0)))


def test_a_failed_fit_changes_nothing(teapot, photo):
    before = masks(teapot(photo('teapot/02')))
    with pytest.raises(ValueError, match='1 image.* and 2 mask'):
        teapot.fit(photo('clock/00'), [photo('clock/00', 'masks')] * 2, 'teapot')
    with pytest.raises(ValueError, match="class 'clock': .*none.jpg"):
        teapot.fit([photo('clock/00'), 'none.jpg'],
                   [photo('clock/00', 'masks')] * 2, 'clock')
    assert teapot.classes == ('teapot', )
    assert same(before, masks(teapot(photo('teapot/02'))))


def test_unfitted(inferencer, photo):
    with pytest.raises(ValueError, match=r'Call fit\(\)'):
        inferencer(photo('teapot/00'))


def test_never_with_random_weights(weights):
    with pytest.raises(ValueError, match='needs trained weights'):
        FewShotInferencer(CONFIG)
    cfg = small_config()
    cfg.load_from = weights
    inferencer = FewShotInferencer(cfg, device='cpu')
    state = torch.load(weights)['state_dict']
    assert torch.equal(inferencer.model.decode_head.after[2].bias,
                       state['decode_head.after.2.bias'])
    with pytest.raises(TypeError, match='a config or its path'):
        FewShotInferencer(None, weights)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is CUDA')
def test_without_cuda(weights):
    with pytest.raises(ValueError, match="device='cuda': there is no CUDA here"):
        FewShotInferencer(CONFIG, weights, 'cuda')


def test_unknown_config(weights):
    with pytest.raises(FileNotFoundError,
                       match='hsnet_resnet50_pascal5i_fold1.py'):
        FewShotInferencer('configs/hsnet_resnet50_pascal5i_fol1.py', weights)


class TestSupportFile:

    def test_there_and_back(self, teapot, photo, weights, tmp_path):
        teapot.fit([photo('clock/00'), photo('clock/01')],
                   [photo('clock/00', 'masks'), photo('clock/01', 'masks')],
                   'clock')
        before = teapot(photo('clock/02'))['predictions']
        path = tmp_path / 'new' / 'mine.pth'
        teapot.save_support(path)
        torch.load(path, weights_only=True)
        cfg = small_config()
        cfg.model.decode_head.foreground_bias = 0.  # changes no support
        other = FewShotInferencer(cfg, weights, device='cpu', show_progress=False)
        after = other.load_support(path)(photo('clock/02'))['predictions']
        assert other.classes == ('teapot', 'clock')
        assert np.array_equal(before[0].pop('mask'), after[0].pop('mask'))
        assert before == after

    def test_of_another_model(self, teapot, weights, tmp_path):
        teapot.save_support(tmp_path / 'mine.pth')
        larger = small_config()
        larger.test_dataloader.dataset.pipeline[0].transforms[2].scale = (64, 64)
        unmasked = small_config()
        unmasked.model.neck.mask_support = False
        state = torch.load(weights)
        state['state_dict']['decode_head.after.2.bias'] += 1
        torch.save(state, tmp_path / 'other.pth')
        for cfg, file, what in (
            (larger, weights, 'model config or image size'),
            (unmasked, weights, 'model config or image size'),
            (small_config(), tmp_path / 'other.pth', 'weights')):
            inferencer = FewShotInferencer(cfg, file, device='cpu')
            with pytest.raises(ValueError, match=f'made with other {what}'):
                inferencer.load_support(tmp_path / 'mine.pth')
            assert not inferencer.classes

    def test_interrupted_while_writing(self, teapot, tmp_path, monkeypatch):
        path = tmp_path / 'mine.pth'
        teapot.save_support(path)
        content = path.read_bytes()

        def half(content, file):
            Path(file).write_bytes(b'half')
            raise KeyboardInterrupt

        monkeypatch.setattr(torch, 'save', half)
        with pytest.raises(KeyboardInterrupt):
            teapot.save_support(path)
        assert path.read_bytes() == content
        assert [f.name for f in tmp_path.iterdir()] == ['mine.pth']

    def test_no_support_file(self, teapot, weights, tmp_path):
        with pytest.raises(ValueError, match='no support file'):
            teapot.load_support(weights)
        with pytest.raises(FileNotFoundError, match='none.pth'):
            teapot.load_support(tmp_path / 'none.pth')
        path = tmp_path / 'code.pth'
        attack = CreatesAFile(str(tmp_path / 'ran'))
        torch.save(dict(mmfss_support=1, supports=attack), path)
        with pytest.raises(RuntimeError, match='could run code'):
            teapot.load_support(path)
        teapot.save_support(path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(RuntimeError, match='damaged'):
            teapot.load_support(path)
        assert teapot.classes == ('teapot', )
        assert not (tmp_path / 'ran').exists()
