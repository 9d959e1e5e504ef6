"""A file from a stranger cannot run code, whichever way it is loaded."""
import io
import pickle
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner, load_checkpoint
from torch import nn

from tests.test_models.test_hsnet import MOBILENET, hsnet
from tests.test_resume import looking_for_the_newest
from tests.test_tools import CONFIG, run


class CreatesAFile:
    """Runs ``open(path, 'w')`` when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, 'w')


class Reaches:
    """Gets to a module's globals through ``getattr``, and writes there.

    mmengine's own files hold HistoryBuffers, which pickle their methods with
    ``getattr``; whoever allows it for them allows this.
    """

    def __reduce__(self):
        return (getattr, (HistoryBuffer.__init__, '__globals__'), None, None,
                iter([('reached', True)]))


def zipped(content, path):
    torch.save(content, path)


def legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def plain(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def as_weights(path):
    load_checkpoint(hsnet(), path)


def as_backbone(path):
    hsnet(dict(MOBILENET, init_cfg=dict(
        type='Pretrained', checkpoint=path))).init_weights()


def as_part_of_a_file(path):
    hsnet(dict(MOBILENET, init_cfg=dict(
        type='Pretrained', checkpoint=path, prefix='backbone'))).init_weights()


def as_named_to_resume_from(path):
    Runner.load_checkpoint(
        SimpleNamespace(call_hook=None, model=nn.Module()), path)


@pytest.fixture
def traces(tmp_path):
    """What the files would leave behind if their code ran."""
    history = HistoryBuffer.__init__.__globals__
    yield lambda: (tmp_path / 'trace').exists() or 'reached' in history
    history.pop('reached', None)


@pytest.fixture(params=[CreatesAFile, Reaches])
def malicious(request, tmp_path):
    """Of either kind, beside honest weights."""
    attack = (CreatesAFile(str(tmp_path / 'trace'))
              if request.param is CreatesAFile else Reaches())
    return dict(state_dict=hsnet().state_dict(), message_hub=attack)


@pytest.mark.parametrize('write', [zipped, legacy, plain])
def test_the_attacks_are_real(malicious, traces, write, tmp_path):
    path = tmp_path / 'epoch_1.pth'
    write(malicious, path)
    if write is plain:
        pickle.loads(path.read_bytes())
    else:
        torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
    assert traces()


@pytest.mark.parametrize('write', [zipped, legacy, plain])
@pytest.mark.parametrize(
    'load',
    [as_weights, as_backbone, as_part_of_a_file, as_named_to_resume_from])
def test_code_does_not_run(malicious, traces, write, load, tmp_path):
    path = tmp_path / 'epoch_1.pth'
    write(malicious, path)
    with pytest.raises(RuntimeError, match='epoch_1.pth.*was not loaded'):
        load(str(path))
    assert not traces()


def test_code_does_not_run_when_looking_for_the_newest(
        malicious, traces, tmp_path, log):
    zipped(malicious, tmp_path / 'epoch_1.pth')
    runner = looking_for_the_newest(tmp_path)
    assert runner._load_from is None and not traces()
    assert any('was not loaded' in line for line in log)


@pytest.mark.parametrize('command', [
    ('test.py', CONFIG, 'epoch_1.pth'),
    ('train.py', CONFIG, '--resume', 'epoch_1.pth')], ids=lambda c: c[0])
def test_code_does_not_run_from_the_command_line(command, tmp_path):
    zipped(dict(state_dict={}, extra=CreatesAFile(str(tmp_path / 'trace'))),
           tmp_path / 'epoch_1.pth')
    output = run(*command, cwd=tmp_path, ok=False)
    assert 'epoch_1.pth holds more than tensors and plain values' in output
    assert not (tmp_path / 'trace').exists()
