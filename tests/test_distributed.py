"""Training over several processes: the same episodes, the same gradient."""
import os
from contextlib import nullcontext

import pytest
import torch
from mmengine.config import Config

from mmfss.compat import prepare_distributed
from mmfss.registry import MODELS
from tests.start_as import variables
from tests.test_models.test_hsnet import hsnet
from tests.test_tools import CONFIG, run
from tests.training_hooks import with_hook

NO_VALIDATION = [
    'val_cfg=None', 'val_dataloader=None', 'val_evaluator=None',
    'default_hooks.checkpoint.save_best=None']


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Two epochs of 8 episodes, 4 per step, by several roads.

    Returns:
        dict[str, list[dict]]: What each rank recorded.
    """
    roads = {
        'alone': (None, 4, []),
        'two': (2, 2, ['train_dataloader.num_workers=2',
                       'train_dataloader.persistent_workers=True']),
        'three': (3, 1, []),
        'slurm': (2, 2, []),
        'mpi': (2, 2, []),
        'accumulated': (None, 2, ['optim_wrapper.accumulative_counts=2']),
    }
    records = {}
    for name, (processes, batch, options) in roads.items():
        out = tmp_path_factory.mktemp(name)
        launcher = name if name in ('slurm', 'mpi') else 'pytorch'
        run('train.py', with_hook(out, type='RecordHook'), '--work-dir', out,
            cwd=out, processes=processes, launcher=launcher, options=[
                *NO_VALIDATION, *options, f'train_dataloader.batch_size={batch}'])
        records[name] = [
            torch.load(path) for path in sorted(out.glob('rank*.pt'))]
        assert len(records[name]) == (processes or 1)
    return records


def episodes(records, epoch):
    return sorted({e for rank in records for e in rank['episodes'][epoch]})


def test_every_road_trains_on_the_same_episodes(trained):
    for epoch in range(2):
        expected = episodes(trained['alone'], epoch)
        assert [n for n, *_ in expected] == list(range(8))
        for name, records in trained.items():
            assert episodes(records, epoch) == expected, name
    assert episodes(trained['alone'], 0) != episodes(trained['alone'], 1)


def test_ranks_share_an_epoch(trained):
    for name, each in (('two', 4), ('three', 3), ('slurm', 4), ('mpi', 4)):
        parts = [rank['episodes'][1] for rank in trained[name]]
        assert {len(part) for part in parts} == {each}
        # eight do not divide by three: the first one is repeated
        assert len(set().union(*parts)) == 8


@pytest.mark.parametrize('road', ['two', 'slurm', 'mpi', 'accumulated'])
def test_the_gradient_is_that_of_the_whole_batch(trained, road):
    """2 processes x 2 episodes, or 2 x 2 accumulated, are as 1 x 4."""
    expected = trained['alone'][0]['gradient']
    assert len(expected) == sum(
        p.requires_grad for p in hsnet().parameters())
    for record in trained[road]:
        assert len(record['gradient']) == len(expected)
        for name, gradient in record['gradient'].items():
            wanted = expected[name.removeprefix('module.')]
            error, size = (gradient - wanted).abs().max(), wanted.abs().max()
            assert error <= 1e-4 * size, f'{name}: {error} of {size}'


def test_only_what_is_trained_is_in_the_buckets(trained):
    size = sum(4 * p.numel() for p in hsnet().parameters() if p.requires_grad)
    for name in ('two', 'three', 'slurm', 'mpi'):
        assert {rank['buckets'] for rank in trained[name]} == {size}


def test_the_frozen_backbone_is_as_it_was(trained):
    model = MODELS.build(Config.fromfile(CONFIG).model.backbone)
    model.init_weights()
    for name, records in trained.items():
        for record in records:
            after = {
                key.split('backbone.')[1]: value
                for key, value in record['backbone'].items()
            }
            before = model.state_dict()
            assert after.keys() == before.keys()
            for key, value in before.items():
                assert torch.equal(after[key], value), (name, key)


@pytest.mark.parametrize('launcher, missing, program', [
    ('pytorch', 'RANK, WORLD_SIZE, MASTER_ADDR', 'torchrun'),
    ('slurm', 'SLURM_PROCID, SLURM_LOCALID', 'srun'),
    ('mpi', 'OMPI_COMM_WORLD_RANK', 'mpirun')])
def test_a_launcher_that_did_not_start_it(launcher, missing, program, tmp_path):
    """A process that waits for the others would wait for half an hour."""
    output = run('test.py', CONFIG, 'none.pth', '--launcher', launcher,
                 cwd=tmp_path, ok=False)
    last = output.splitlines()[-1]
    assert f'--launcher {launcher}: {missing}' in last and program in last


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_several_nodes(launcher, monkeypatch):
    """On one node nobody need be asked for the address of the first one."""
    for number, addr in ((1, '127.0.0.1'), (2, None)):
        with monkeypatch.context() as patch:
            for name, value in variables(launcher, 1, 4).items():
                patch.setenv(name, str(value))
            patch.setenv('SLURM_STEP_NUM_NODES', str(number))
            patch.setenv('OMPI_COMM_WORLD_LOCAL_SIZE', str(4 // number))
            for name in ('MASTER_ADDR', 'LOCAL_RANK'):
                patch.setenv(name, '')  # so that it is restored
                patch.delenv(name)
            patch.setattr(torch.cuda, 'set_device', torch.cuda.set_device)
            cfg = Config.fromfile(CONFIG)
            cfg.launcher = launcher
            with pytest.raises(RuntimeError, match='-x MASTER_ADDR=') if (
                    launcher == 'mpi' and number == 2) else nullcontext():
                prepare_distributed(cfg)
            assert os.environ.get('MASTER_ADDR') == addr
            if launcher == 'mpi':
                assert os.environ['LOCAL_RANK'] == '1'
