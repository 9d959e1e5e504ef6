"""What only a GPU can show."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmfss.datasets import Episode, FolderDataset
from tests.conftest import episodes, pipeline
from tests.published import build, fill
from tests.test_models.test_hsnet import hsnet
from tests.test_tools import CONFIG, losses, run

DATA = Path(__file__).parent / 'data'

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason='there is no CUDA')


@pytest.fixture
def float32(monkeypatch):
    """Of TF32's products, PyTorch's default in convolutions, three digits count."""
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@pytest.mark.parametrize('file, backbone', [
    ('objects30_vgg16_320', 'vgg16'),
    ('objects30_resnet50', 'resnet50'),
])
def test_golden(file, backbone, objects30, float32):
    golden = dict(np.load(DATA / f'{file}.npz'))
    model = build(backbone)
    fill(model, golden['decoder2.2.bias'])
    model.cuda()
    dataset = FolderDataset(
        objects30, pipeline=pipeline(int(golden['size'])), test_mode=True)
    query = str(golden['ep0_query'])
    class_id = dataset.metainfo['classes'].index(query.split('/')[0])
    dataset.episodes = [
        (0, Episode(class_id, query, tuple(map(str, golden['ep0_supports']))))]
    batch = model.data_preprocessor(pseudo_collate([dataset[0]]))
    with torch.no_grad():
        logits = model(**batch, mode='tensor')
        sample, = model(**batch, mode='predict')
    np.testing.assert_allclose(
        logits[0, 0].cpu(), golden['ep0_logits'], atol=1e-4)
    mask = sample.pred_sem_seg.data.cpu().numpy().ravel()
    expected = np.unpackbits(golden['ep0_pred'])[:mask.size]
    assert (mask == expected).mean() >= 0.9999


@pytest.mark.parametrize('amp, tolerance', [
    (None, 1e-3), (torch.bfloat16, 0.2), (torch.float16, 0.15)])
def test_gradient(amp, tolerance, float32):
    """As on the CPU."""
    torch.manual_seed(0)
    model = hsnet().train()
    inputs, samples = episodes(2, 1, 200, 200)

    def gradient(device):
        model.to(device).zero_grad()
        with torch.autocast(device, amp, enabled=amp is not None and device == 'cuda'):
            loss = model({k: x.to(device) for k, x in inputs.items()},
                         [s.to(device) for s in samples], mode='loss')['loss_ce']
        loss.backward()
        return loss.item(), torch.cat([
            p.grad.flatten().cpu() for p in model.parameters() if p.requires_grad])

    (expected, right), (loss, ours) = gradient('cpu'), gradient('cuda')
    assert abs(loss - expected) < tolerance * expected
    assert (ours - right).norm() < tolerance * right.norm()


def test_training(tmp_path):
    """Alone, in one process of a launcher (NCCL), and in half precision."""
    steps = {}
    for name, args, processes in [
            ('alone', (), None), ('nccl', (), 1), ('fp16', ('--amp', ), None),
            ('bf16', ('--amp', 'bfloat16'), None),
            ('cached', (), None)]:
        run('train.py', CONFIG, '--work-dir', tmp_path / name, *args, cwd=tmp_path,
            processes=processes, options=[
                'model.backbone.init_cfg=None', 'default_hooks.logger.interval=1',
                *(['model.feature_cache.memory_gb=1'] if name == 'cached' else [])])
        steps[name] = list(losses(tmp_path / name).values())
        assert len(steps[name]) == 4
    for name, values in steps.items():
        tolerance = 0.1 if name in ('fp16', 'bf16') else 0.02
        np.testing.assert_allclose(values, steps['alone'], rtol=tolerance)
    reports = []
    for args in ((), ('--amp', ), ('--amp', 'bfloat16')):
        run('test.py', CONFIG, tmp_path / 'alone' / 'epoch_2.pth', *args,
            '--work-dir', tmp_path / 'test', '--report', tmp_path / 'report.json',
            cwd=tmp_path, options=['model.backbone.init_cfg=None'])
        reports.append(json.loads((tmp_path / 'report.json').read_text()))
    assert [r['precision'].split()[0] for r in reports] == [
        'float32', 'float16', 'bfloat16']
    for report in reports[1:]:
        assert abs(report['FB-IoU'] - reports[0]['FB-IoU']) < 2
