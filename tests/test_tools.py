"""The command line tools, run as a user runs them."""
import json
import os
import socket
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import REPO

CONFIG = str(REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py')
# small enough for seconds: 8 episodes of 64 pixels
SMALL = [
    f'{split}_dataloader.dataset.pipeline.0.transforms.2.scale=(64,64)'
    for split in ('train', 'val', 'test')
] + [f'{split}_dataloader.dataset.num_episodes=7' for split in ('val', 'test')
     ] + ['train_dataloader.dataset.num_episodes=8', 'max_epochs=2',
          'train_cfg.max_epochs=2', 'train_cfg.val_interval=1']


def run(tool, *args, cwd, options=(), processes=None, ok=True):
    command = [sys.executable]
    if processes:
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        command += [
            '-m', 'torch.distributed.run', f'--nproc_per_node={processes}',
            f'--master_port={port}'
        ]
        args = (*args, '--launcher', 'pytorch')
    done = subprocess.run(
        [*command, str(REPO / 'tools' / tool), *map(str, args),
         '--cfg-options', *SMALL, *options],
        cwd=cwd,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300)
    assert (done.returncode == 0) == ok, done.stdout[-5000:]
    return done.stdout


def losses(work_dir):
    """The training loss of each logged step, of all runs in a work dir."""
    found = {}
    for file in sorted(work_dir.glob('*/vis_data/2*.json')):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                found[entry['step']] = entry['loss']
    return found


def figures(work_dir):
    file, = work_dir.glob('*/*.json')
    return json.loads(file.read_text())


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A short training, from a folder that is not the repository."""
    cwd = tmp_path_factory.mktemp('run')
    output = run('train.py', CONFIG, cwd=cwd)
    return cwd / 'work_dirs' / 'hsnet_mobilenetv2_objects30', output


def test_train_logs_validates_and_saves(trained):
    work_dir, output = trained
    assert 'Effective batch: 4 per process x 1 process(es)' in output
    assert "protocol 'hsnet': 7 episodes, 1-shot, seed 0" in output
    assert 'mIoU' in output and 'berry_bowl' in output
    assert (work_dir / 'epoch_2.pth').is_file()
    assert len(list(work_dir.glob('best_mIoU_epoch_*.pth'))) == 1
    pictures = list(work_dir.glob('*/vis_data/vis_image/val_0000_*.png'))
    assert len(pictures) == 2  # one per validation
    # support | prediction | ground truth
    assert Image.open(pictures[0]).width > 2 * Image.open(pictures[0]).height


def test_console_is_quiet(trained):
    for noise in ('Could not import OneDL', 'MultiScaleDeformableAttention',
                  'The value is the same before and after', 'UserWarning'):
        assert noise not in trained[1]


def test_resume_goes_on_where_it_stopped(trained, tmp_path):
    work_dir, _ = trained
    run('train.py', CONFIG, '--work-dir', tmp_path, cwd=tmp_path,
        options=['train_cfg.max_epochs=1'])
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path, '--resume', cwd=tmp_path)
    assert 'epoch_1.pth' in output and 'resumed epoch: 1, iter: 2' in output
    assert losses(tmp_path) == losses(work_dir)


def test_test_gives_the_same_figures_twice(trained, tmp_path):
    work_dir, _ = trained
    results = []
    for name in ('one', 'two'):
        output = run(
            'test.py', CONFIG, work_dir / 'epoch_2.pth', '--shot', 5,
            '--work-dir', tmp_path / name, '--show-dir', tmp_path / 'show',
            '--out', tmp_path / 'out', cwd=tmp_path)
        assert "protocol 'hsnet': 7 episodes, 5-shot" in output
        result = figures(tmp_path / name)
        results.append({
            k: result[k] for k in ('mIoU', 'FB-IoU', 'mIoU_all_foreground')
        })
    assert results[0] == results[1]
    assert len(list((tmp_path / 'show').glob('test_*.png'))) == 7
    assert len(list((tmp_path / 'out').glob('*.png'))) == 7


@pytest.mark.parametrize('processes', [2, 3])
def test_figures_do_not_depend_on_the_processes(trained, tmp_path, processes):
    """Seven episodes divide by neither."""
    work_dir, _ = trained
    expected = None
    for count in (None, processes):
        out = tmp_path / str(count)
        output = run(
            'test.py', CONFIG, work_dir / 'epoch_2.pth', '--work-dir', out,
            cwd=tmp_path, processes=count)
        table = [line for line in output.splitlines() if line.startswith('|')]
        result = [figures(out)[k] for k in ('mIoU', 'FB-IoU')], sorted(set(table))
        assert expected is None or result == expected
        expected = result


def test_distributed_training_on_cpu(tmp_path):
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path, cwd=tmp_path, processes=2,
        options=['train_dataloader.batch_size=2'])
    assert '2 per process x 2 process(es) x 1 accumulated = 4' in output
    assert (tmp_path / 'epoch_2.pth').is_file()


@pytest.mark.parametrize('options, message', [
    (['train_dataloader.dataset.data_root=nowhere'],
     "no data root 'nowhere'"),
    (['model.taps=[[layer7.3]]'], "'layer7.3' is no module of MobileNetV2"),
    (['model.backbone.init_cfg.checkpoint=nowhere.pth'],
     'There is no checkpoint nowhere.pth'),
])
def test_train_fails_clearly(tmp_path, options, message):
    output = run('train.py', CONFIG, '--work-dir', tmp_path, cwd=tmp_path,
                 options=options, ok=False)
    assert message in output.replace('\n', ' ')
    assert 'Epoch(train)' not in output


def test_amp_needs_cuda(tmp_path):
    import torch
    if torch.cuda.is_available():
        pytest.skip('there is CUDA')
    output = run('train.py', CONFIG, '--amp', cwd=tmp_path, ok=False)
    assert output.strip().splitlines()[-1].startswith(
        '--amp: mixed precision needs CUDA')


def test_checkpoint_of_another_backbone(trained, tmp_path):
    work_dir, _ = trained
    output = run(
        'test.py', CONFIG, work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
        cwd=tmp_path, ok=False, options=[
            "model.backbone.type=mmpretrain.VGG", 'model.backbone.depth=16'])
    assert 'do not fit HSNet' in output
