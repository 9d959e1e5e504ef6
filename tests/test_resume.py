"""Training that is killed goes on as if nothing had happened."""
import os
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import MessageHub, MMLogger

from mmfss.engine.hooks import SafeCheckpointHook
from tests.test_distributed import NO_VALIDATION
from tests.test_tools import CONFIG, losses, run
from tests.training_hooks import with_hook

# three epochs of four steps, each step's own loss logged
EPOCHS = [
    'train_cfg.max_epochs=3', 'train_dataloader.batch_size=2',
    'default_hooks.logger.interval=1', 'log_processor.window_size=1']
EXACT = [*NO_VALIDATION, *EPOCHS]


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp('uninterrupted')
    run('train.py', CONFIG, '--work-dir', out, cwd=out, options=EXACT)
    assert sorted(losses(out)) == list(range(1, 13))
    return out


def same(first, second):
    """Whether two checkpoints hold the same weights and optimizer state."""
    first, second = (torch.load(f, weights_only=False) for f in (first, second))
    states = [(c['state_dict'], {
        (n, k): v
        for n, values in c['optimizer']['state'].items()
        for k, v in values.items()
    }) for c in (first, second)]
    for ours, theirs in zip(*states):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    return True


def test_killed_three_times(uninterrupted, tmp_path):
    """While saving, in the middle of an epoch, and with a file cut off."""

    def train(**kill):
        config = with_hook(tmp_path, type='KillHook', **kill) if kill else CONFIG
        keep = 'default_hooks.checkpoint.max_keep_ckpts={}'.format(
            1 if 'saving' in kill else 2)
        return run('train.py', config, '--work-dir', tmp_path, '--resume',
                   cwd=tmp_path, options=[*EXACT, keep], ok=not kill)

    output = train(saving=2)
    assert 'training starts anew' in output
    assert not (tmp_path / 'epoch_2.pth').exists()
    assert (tmp_path / 'epoch_2.pth.mmfss-tmp').exists()
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_1.pth')

    # the tenth step, of the third epoch
    output = train(iteration=9)
    assert f'Resuming from {tmp_path / "epoch_1.pth"}' in output
    assert 'resumed epoch: 1, iter: 4' in output
    assert 'Epoch(train) [3][1/4]' in output
    assert not list(tmp_path.glob('*.mmfss-tmp'))

    cut_off(tmp_path / 'epoch_2.pth')
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_2.pth')
    output = train()
    assert f'Not resuming from {tmp_path / "epoch_2.pth"}' in output
    assert 'epoch_2.pth is damaged' in output
    assert f'Resuming from {tmp_path / "epoch_1.pth"}' in output

    assert losses(tmp_path) == losses(uninterrupted)
    for epoch in (2, 3):
        assert same(tmp_path / f'epoch_{epoch}.pth',
                    uninterrupted / f'epoch_{epoch}.pth')


def looking_for_the_newest(work_dir):
    """A runner that resumes without a named file, after the hook's choice."""
    runner = SimpleNamespace(
        work_dir=str(work_dir), _resume=True, _load_from=None,
        logger=MMLogger.get_current_instance())
    SafeCheckpointHook().before_run(runner)
    return runner


def cut_off(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def test_validation_that_was_killed_is_made_up_for(tmp_path):
    """The best checkpoint of an epoch is not lost."""
    options = [*EPOCHS, 'train_cfg.max_epochs=1']
    config = with_hook(tmp_path, type='KillHook', saving=1, best=True)
    run('train.py', config, '--work-dir', tmp_path, cwd=tmp_path, ok=False,
        options=options)
    best = tmp_path / 'best_mIoU_epoch_1.pth'
    assert (tmp_path / 'epoch_1.pth').exists() and not best.exists()
    output = run('train.py', CONFIG, '--work-dir', tmp_path, '--resume',
                 cwd=tmp_path, options=options)
    assert 'Epoch(val) [1][7/7]' in output and 'Epoch(train)' not in output
    assert best.exists()


@pytest.mark.parametrize('resumed_in, expected', [
    ('first', 'first/best_mIoU_epoch_1.pth'),
    ('moved', 'moved/best_mIoU_epoch_1.pth'),  # the folder has another name now
    ('other', None),
])
def test_the_best_file_of_another_run_is_not_touched(tmp_path, resumed_in, expected):
    for folder in ('first', 'moved', 'other'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'best_mIoU_epoch_1.pth').touch()
    source = 'first' if resumed_in == 'other' else resumed_in
    runner = SimpleNamespace(
        work_dir=str(tmp_path / resumed_in), logger=MMLogger.get_current_instance(),
        message_hub=MessageHub.get_instance(f'best {resumed_in}'), val_loop=None,
        train_loop=SimpleNamespace(_decide_current_val_interval=lambda: None),
        epoch=1, max_epochs=2, _load_from=str(tmp_path / source / 'epoch_1.pth'))
    for info in ('best_ckpt', 'best_ckpt_mIoU', 'best_ckpt_FB-IoU'):
        runner.message_hub.update_info(
            info, str(tmp_path / 'first' / 'best_mIoU_epoch_1.pth'))
    expected = expected and str(tmp_path / expected)
    one = SafeCheckpointHook(save_best='mIoU')
    one.before_train(runner)
    assert one.best_ckpt_path == expected
    two = SafeCheckpointHook(save_best=['mIoU', 'FB-IoU'], rule='greater',
                             published_keys=['state_dict'])
    two.before_train(runner)
    assert two.best_ckpt_path_dict == {'mIoU': expected, 'FB-IoU': expected}
    if expected is None:
        two.after_train(runner)  # there is nothing to publish


@pytest.mark.parametrize('save_optimizer', [True, False])
def test_a_file_without_optimizer_is_resumed_from_if_so_configured(save_optimizer):
    runner = SimpleNamespace(_resume=True, _load_from='epoch_1.pth')
    hook = SafeCheckpointHook(save_optimizer=save_optimizer)
    checkpoint = dict(meta=dict(iter=3), state_dict={})
    with pytest.raises(ValueError, match='save_optimizer=False') if (
            save_optimizer) else nullcontext():
        hook.after_load_checkpoint(runner, checkpoint)


def test_validation_at_dynamic_intervals_is_made_up_for(uninterrupted, tmp_path):
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path, '--resume',
        uninterrupted / 'epoch_2.pth', cwd=tmp_path, options=[
            *EPOCHS, 'train_cfg.val_interval=3', 'train_cfg.dynamic_intervals=[(1,1)]'])
    assert 'Epoch(val) [2][7/7]' in output


def test_resume_over_two_processes_without_the_backbone(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / 'run')
    cut_off(tmp_path / 'run' / 'epoch_3.pth')
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path / 'run', '--resume',
        cwd=tmp_path, processes=2,
        options=[*EXACT, 'train_dataloader.batch_size=1',
                 'default_hooks.checkpoint.save_backbone=False'])
    assert f'Resuming from {tmp_path / "run" / "epoch_2.pth"}' in output
    assert 'resumed epoch: 2, iter: 8' in output
    assert 'Epoch(train) [3][4/4]' in output
    saved = torch.load(tmp_path / 'run' / 'epoch_3.pth', weights_only=False)
    assert {key.split('.')[0] for key in saved['state_dict']} == {
        'neck', 'decode_head', 'backbone_sha256'}


@pytest.mark.parametrize('named', ['epoch_10.pth', 'epoch_9.pth', '', None])
@pytest.mark.parametrize('broken, expected', [
    ((), 'epoch_10.pth'), ((10, ), 'epoch_9.pth'), ((9, 10), 'epoch_2.pth'),
    ((2, 9, 10), None)])
def test_the_newest_whole_file_is_taken(named, broken, expected, tmp_path, log):
    """Whatever last_checkpoint says, if it is there at all."""
    for epoch in (2, 9, 10):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save(dict(state_dict=dict(weight=torch.zeros(1000))), path)
        os.utime(path, (1e9, 1e9))  # a copy may have made them equally old
        if epoch in broken:
            cut_off(path)
            os.utime(path, (1e9, 1e9))
    (tmp_path / 'best_mIoU_epoch_11.pth').touch()
    if named is not None:
        (tmp_path / 'last_checkpoint').write_text(named)
    runner = looking_for_the_newest(tmp_path)
    if expected is None:
        assert runner._load_from is None and not runner._resume
    else:
        assert runner._load_from == str(tmp_path / expected)
    for epoch in broken:
        assert any(f'epoch_{epoch}.pth is damaged' in line for line in log)


def test_a_copy_in_another_order(tmp_path):
    """Files without their times: the last that was copied is not the newest."""
    for age, epoch in enumerate((10, 2, 9)):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save({}, path)
        os.utime(path, (1e9 + age, 1e9 + age))
    (tmp_path / 'last_checkpoint').write_text('/where/it/was/epoch_10.pth')
    runner = looking_for_the_newest(tmp_path)
    assert runner._load_from == str(tmp_path / 'epoch_10.pth')


def test_an_older_run_in_the_same_folder(tmp_path):
    """Its files have larger numbers, but they are older."""
    for age, epoch in enumerate((300, 4, 5)):
        path = tmp_path / f'epoch_{epoch}.pth'
        torch.save({}, path)
        os.utime(path, (1e9 + age, 1e9 + age))
    runner = looking_for_the_newest(tmp_path)
    assert runner._load_from == str(tmp_path / 'epoch_5.pth')


def test_a_file_goes_when_its_successor_is_in_place(tmp_path, monkeypatch):
    backend = get_file_backend(backend_args=dict(backend='checkpoint'))
    old, new = str(tmp_path / 'old.pth'), str(tmp_path / 'new.pth')
    backend.put(b'old', old)
    backend.remove(old)
    with monkeypatch.context() as full_disk:
        full_disk.setattr(os, 'fsync', raise_full)
        for path in (new, old):
            with pytest.raises(OSError, match='full'):
                backend.put(b'new', path)
    assert os.listdir(tmp_path) == ['old.pth']
    assert backend.get(old) == b'old'
    backend.put(b'new', new)
    backend.remove_outdated()
    assert os.listdir(tmp_path) == ['new.pth']


def raise_full(file):
    raise OSError('the disk is full')
