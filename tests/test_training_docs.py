"""The configs of docs/training.md, each run on the quick start's tiny version."""
import json
import os
import re
import uuid

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from tests.conftest import REPO
from tests.test_tools import CONFIG, SMALL

SNIPPETS = re.findall(r"```python\n(_base_ = '.*?)```",
                      (REPO / 'docs' / 'training.md').read_text(), re.DOTALL)


def snippet(word):
    """The one config of the page with a word in it."""
    found, = [text for text in SNIPPETS if word in text]
    return found


def train(folder, text, resume=False, **options):
    """Train in this process.

    Args:
        folder (Path): The work dir.
        text (str): A config that inherits another; here the quick start's.
        resume (bool): Defaults to False.
        **options: Overrides, with __ for the dots of nested keys.

    Returns:
        Runner: After training.
    """
    folder.mkdir(exist_ok=True)
    path = folder / 'config.py'
    path.write_text(re.sub("_base_ = '.*?'", f'_base_ = {CONFIG!r}', text, count=1))
    cfg = Config.fromfile(path)
    small = dict(option.split('=', 1) for option in SMALL)
    cfg.merge_from_dict({
        **{key: eval(value) for key, value in small.items()},
        'default_hooks.logger.interval': 1,
        'train_cfg.max_epochs': 1,
        **{key.replace('__', '.'): value for key, value in options.items()}
    })
    if 'max_iters' in cfg.train_cfg:
        del cfg.train_cfg.max_epochs
    cfg.work_dir, cfg.resume = str(folder), resume
    # mmengine keeps loggers and visualizers by name
    cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def logged(folder):
    return ''.join(path.read_text() for path in folder.glob('*/*.log'))


def losses(runner):
    return [float(v) for v in
            runner.message_hub.get_scalar('train/loss').data[0]]


def test_every_config_is_tested():
    words = ('IterBased', 'save_backbone', 'accumulative', 'fp16', 'EMAHook',
             'EarlyStopping', 'Tensorboard', 'Wandb', 'compile')
    assert sorted(snippet(word) for word in words) == sorted(SNIPPETS)


def test_by_iterations(tmp_path):
    """Six steps, of which four are an epoch; at once, and in two runs."""
    options = dict(
        train_dataloader__batch_size=2, train_cfg__val_interval=3,
        log_processor__window_size=1, default_hooks__checkpoint__interval=3)

    def losses_of(folder, steps, validated, resume=False):
        train(folder, snippet('IterBased'), resume, train_cfg__max_iters=steps,
              **options)
        assert (folder / f'iter_{steps}.pth').exists()
        entries = [
            json.loads(line) for file in folder.glob('*/vis_data/scalars.json')
            for line in file.read_text().splitlines()]
        assert sorted(e['step'] for e in entries if 'mIoU' in e) == validated
        return {e['step']: e['loss'] for e in entries if 'loss' in e}

    at_once = losses_of(tmp_path / 'at once', 6, [3, 6])
    assert set(at_once) == {1, 2, 3, 4, 5, 6}
    assert losses_of(tmp_path / 'run', 3, [3]) == {n: at_once[n] for n in (1, 2, 3)}
    # the second begins with the validation in which the first may have been killed
    assert losses_of(tmp_path / 'run', 6, [3, 3, 6], resume=True) == at_once


def test_without_backbone(tmp_path):
    train(tmp_path, snippet('save_backbone'))
    state = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict']
    assert not any(key.startswith('backbone.') for key in state)


def test_accumulation(tmp_path):
    train(tmp_path, snippet('accumulative'), train_dataloader__batch_size=2)
    assert '2 per process x 1 process(es) x 4 accumulated = 8' in logged(tmp_path)


def test_validation_in_mixed_precision(tmp_path):
    train(tmp_path, snippet('fp16'))
    assert 'mixed precision (bfloat16)' in logged(tmp_path)


def test_lr_scaled_by_the_batch(tmp_path):
    runner = train(tmp_path, "_base_ = ''\n", auto_scale_lr__enable=True,
                   train_dataloader__batch_size=2)
    assert runner.optim_wrapper.get_lr()['lr'] == [0.0005]  # 2 of 4


def test_ema(tmp_path, monkeypatch):
    """Averaged by hand, saved as the weights, used for the figures."""
    text = snippet('EMAHook').replace('0.001', '0.2')
    steps, validated = [], []
    call_hook = Runner.call_hook

    def record(runner, name, **kwargs):
        weights = runner.model.decode_head.after[2].weight
        if name == 'after_train_iter':
            steps.append(weights.detach().clone())
        call_hook(runner, name, **kwargs)
        if name == 'before_val_iter':
            validated.append(weights.detach().clone())

    with monkeypatch.context() as patch:
        patch.setattr(Runner, 'call_hook', record)
        train(tmp_path / 'at once', text, train_cfg__max_epochs=2)
    average = steps[0]
    for step in steps[1:]:
        average = 0.8 * average + 0.2 * step
    key = 'decode_head.after.2.weight'
    saved = torch.load(tmp_path / 'at once' / 'epoch_2.pth', weights_only=False)
    assert torch.allclose(saved['state_dict'][key], average, atol=1e-7)
    assert torch.equal(saved['ema_state_dict'][f'module.{key}'], steps[-1])
    assert torch.equal(validated[-1], saved['state_dict'][key])
    assert not torch.allclose(average, steps[-1], atol=1e-5)

    # in two runs, the second with small files
    for resume in (False, True):
        train(tmp_path / 'resumed', text, resume, train_cfg__max_epochs=1 + resume,
              default_hooks__checkpoint__save_backbone=False)
    again = torch.load(tmp_path / 'resumed' / 'epoch_2.pth', weights_only=False)
    for part in ('state_dict', 'ema_state_dict'):
        assert not any('backbone.' in key for key in again[part])
        trained = [k for k in saved[part] if 'backbone.' not in k]
        assert all(torch.equal(saved[part][k], again[part][k]) for k in trained)


def test_ema_with_several_shots(tmp_path, monkeypatch):
    """Every number of supports is tested with the averaged weights."""
    validated = []
    call_hook = Runner.call_hook

    def record(runner, name, **kwargs):
        call_hook(runner, name, **kwargs)
        if name == 'before_val_iter':
            weights = runner.model.decode_head.after[2].weight
            validated.append(weights.detach().clone())

    with monkeypatch.context() as patch:
        patch.setattr(Runner, 'call_hook', record)
        train(tmp_path / 'run', snippet('EMAHook').replace('0.001', '0.2'),
              val_cfg__type='MultiShotValLoop', val_cfg__shots=(1, 2),
              default_hooks__checkpoint__save_best='mIoU_1shot')
    saved = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)
    expected = saved['state_dict']['decode_head.after.2.weight']
    assert len(validated) > 2
    assert all(torch.equal(weights, expected) for weights in validated)


def test_early_stopping(tmp_path):
    """So short a training predicts background: the mIoU stays 0."""
    text = snippet('EarlyStopping').replace('patience=10', 'patience=2')
    runner = train(tmp_path, text, train_cfg__max_epochs=9)
    assert runner.epoch == 3
    assert 'did not improve in the last 2 records' in logged(tmp_path)


def test_tensorboard(tmp_path):
    accumulator = pytest.importorskip(
        'tensorboard.backend.event_processing.event_accumulator')
    train(tmp_path, snippet('Tensorboard'))
    file, = tmp_path.glob('*/vis_data/events*')
    events = accumulator.EventAccumulator(str(file)).Reload()
    assert len(events.Scalars('loss')) == 2
    assert [event.value for event in events.Scalars('mIoU')] == [0]
    assert any(tag.startswith('val_0000') for tag in events.Tags()['images'])


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    train(tmp_path, snippet('Wandb'))
    file, = tmp_path.rglob('run-*.wandb')
    assert b'mIoU' in file.read_bytes() and os.path.getsize(file) > 1000


def test_compile(tmp_path):
    """Traced only: generating the code takes minutes."""
    options = dict(
        val_cfg=None, val_dataloader=None, val_evaluator=None,
        default_hooks__checkpoint__save_best=None)
    eager = train(tmp_path / 'eager', "_base_ = ''\n", **options)
    text = snippet('compile').replace('True', "dict(backend='eager')")
    compiled = train(tmp_path / 'compiled', text, **options)
    assert losses(compiled) == pytest.approx(losses(eager), rel=1e-4)
    counters = torch._dynamo.utils.counters
    assert counters['stats']['unique_graphs'] > 0
    assert not any('RemovableHandle' in text for text in counters['graph_break'])
