"""The command line tools, run as a user runs them."""
import json
import os
import re
import runpy
import socket
import subprocess
import sys
from unittest.mock import Mock

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from torch import nn

from mmfss.models.backbones.weights import leave_out_backbone
from mmfss.registry import DATASETS, MODELS
from tests.conftest import REPO
from tests.tool import environment, run_tool

CONFIG = str(REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py')
# small enough for seconds: 8 episodes of 64 pixels
SMALL = [
    f'{split}_dataloader.dataset.pipeline.0.transforms.2.scale=(64,64)'
    for split in ('train', 'val', 'test')
] + [f'{split}_dataloader.dataset.num_episodes=7' for split in ('val', 'test')
     ] + ['train_dataloader.dataset.num_episodes=8',
          'train_cfg.max_epochs=2', 'train_cfg.val_interval=1']


@pytest.fixture(scope='module')
def mixed(trained):
    """The trained model, its last bias moved so that masks are mixed.

    After so short a training it would call everything background, and any two
    evaluations would agree.
    """
    work_dir, _ = trained
    init_default_scope('mmfss')
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(dict([
        (key, eval(value)) for key, value in (
            o.split('=', 1) for o in SMALL if o.startswith('test'))
    ]))
    checkpoint = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(checkpoint['state_dict'])
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([dataset[n] for n in range(7)]))
    with torch.no_grad():
        logits = model(**batch, mode='tensor')
    bias = checkpoint['state_dict']['decode_head.after.2.bias']
    bias[1] -= (logits[:, :, 1] - logits[:, :, 0]).median()
    path = work_dir / 'mixed.pth'
    torch.save(dict(meta={}, state_dict=checkpoint['state_dict']), path)
    return path


def run(tool, *args, cwd, options=(), processes=None, launcher='pytorch', ok=True):
    options = ['--cfg-options', *SMALL, *options]
    if processes:
        code, output = launch(launcher, processes, tool, *args, '--launcher', launcher,
                              *options, cwd=cwd)
    else:
        code, output = run_tool(tool, *args, *options, cwd=cwd)
    assert (code == 0) == ok, output[-5000:]
    return output


def launch(launcher, processes, tool, *args, cwd):
    port = str(free_port())
    if launcher == 'pytorch':
        command = ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}',
                   f'--master_port={port}']
    else:
        command = [str(REPO / 'tests' / 'start_as.py'), launcher, str(processes)]
    done = subprocess.run(
        [sys.executable, *command, str(REPO / 'tools' / tool), *map(str, args)],
        cwd=cwd, env=dict(environment(), MASTER_PORT=port), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=300)
    return done.returncode, done.stdout


def free_port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


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
    """Figures of a test, without the time that it took."""
    file, = work_dir.glob('*/2*.json')
    result = json.loads(file.read_text())
    return {k: v for k, v in result.items() if 'time' not in k}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A short training, from a folder that is not the repository."""
    cwd = tmp_path_factory.mktemp('run')
    output = subprocess.run(
        [sys.executable, str(REPO / 'tools' / 'train.py'), CONFIG, '--cfg-options',
         *SMALL], cwd=cwd, env=environment(), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=True).stdout
    return cwd / 'work_dirs' / 'hsnet_mobilenetv2_objects30', output


def test_train_logs_validates_and_saves(trained):
    work_dir, output = trained
    assert 'Effective batch: 4 per process x 1 process(es)' in output
    assert ("'objects30 (modified)': FolderDataset, 1 list(s) of 7 episodes, "
            '1-shot') in output
    assert 'mIoU' in output and 'berry_bowl' in output
    assert (work_dir / 'epoch_2.pth').is_file()
    assert len(list(work_dir.glob('best_mIoU_epoch_*.pth'))) == 1
    pictures = list(work_dir.glob('*/vis_data/vis_image/val_0000_*_1shot_*.png'))
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
    _, output = run_tool('analysis_tools/plot_logs.py', work_dir, '.', '--legend',
                         'whole', 'resumed', cwd=tmp_path)
    first, second, _ = output.splitlines()
    assert first.replace('whole', 'resumed') == second
    assert first.count('after 16 episodes') == 2  # loss and mIoU


def test_test_gives_the_same_figures_twice(mixed, tmp_path):
    results = []
    for name, shot in (('one', 5), ('two', 5), ('other', 1)):
        output = run(
            'test.py', CONFIG, mixed, '--shot', shot, '--work-dir',
            tmp_path / name, '--show-dir', tmp_path / 'show' / name, '--out',
            tmp_path / 'out' / name, cwd=tmp_path)
        assert f'1 list(s) of 7 episodes, {shot}-shot' in output
        results.append(figures(tmp_path / name))
        assert 0 < results[-1]['mIoU'] < 100
        assert len(list((tmp_path / 'show' / name).glob('test_*.png'))) == 7
        assert len(list((tmp_path / 'out' / name).glob('*.png'))) == 7
    assert results[0] == results[1] != results[2]


def test_figures_depend_on_nothing_but_the_episodes(mixed, tmp_path):
    """1, 2 and 3 processes x batch 1 and 4 x 0 and 2 workers.

    Seven episodes divide by none of them. The areas are integers, so this is
    equality bit for bit.
    """
    results = {}
    for processes in (None, 2, 3):
        out = tmp_path / str(processes)
        run('../tests/evaluate_in_turn.py', out, CONFIG, mixed, cwd=tmp_path,
            processes=processes, options=['default_hooks.visualization.interval=1'])
        for folder in out.iterdir():
            report, = folder.glob('*/report.json')
            results[processes, folder.name] = (
                figures(folder), json.loads(report.read_text()),
                (folder / 'sheet.html').read_text())
            assert len(list((folder / 'show').glob('test_*.png'))) == 7
    assert len(results) == 12
    expected = results[None, 'batch1_workers0']
    for setting, result in results.items():
        assert result == expected, setting
    # the best, the median and the worst, of fewer episodes than it has places
    assert expected[2].count('<img ') == 3 * 7
    rows = expected[1]['per_class'].values()
    assert sum(row['valid'] for row in rows) == 7 * 64 * 64
    assert all(isinstance(row['intersection'], int) for row in rows)
    assert any(0 < row['intersection'] < row['union'] for row in rows)


def test_checkpoint_without_its_backbone(mixed, tmp_path):
    """Nothing but loading initialises the backbone when testing."""
    checkpoint = torch.load(mixed)
    leave_out_backbone(checkpoint['state_dict'])
    torch.save(checkpoint, tmp_path / 'small.pth')
    for name, path in (('whole', mixed), ('small', tmp_path / 'small.pth')):
        output = run('test.py', CONFIG, path, '--work-dir', tmp_path / name,
                     cwd=tmp_path)
        assert ('The checkpoint has no backbone' in output) == (name == 'small')
    assert figures(tmp_path / 'whole') == figures(tmp_path / 'small')


def passes(output, mode):
    """Backbone passes and images of each epoch, as the log has them."""
    found = re.findall(
        rf'Feature cache \({mode}\): (\d+) backbone passes for (\d+) images',
        output)
    return [tuple(map(int, counts)) for counts in found]


def test_a_feature_cache_changes_no_figure(mixed, tmp_path):
    """In memory; filled by two processes at once; used by another run."""
    outputs, reports = {}, {}
    disk = [f'model.feature_cache.cache_dir={tmp_path / "cache"}']
    for name, processes, options in (
        ('without', None, []),
        ('memory', None, ['model.feature_cache.memory_gb=1']),
        ('small', None, ['model.feature_cache.memory_gb=0.0003']),
        ('two', 2, disk),
        ('again', None, disk),
    ):
        outputs[name] = run(
            'test.py', CONFIG, mixed, '--shot', 5, '--work-dir',
            tmp_path / name, cwd=tmp_path, processes=processes, options=options)
        report, = (tmp_path / name).glob('*/report.json')
        reports[name] = json.loads(report.read_text())
        assert reports[name] == reports['without'], name
    assert any(0 < row['intersection'] < row['union']
               for row in reports['without']['per_class'].values())
    assert 'Feature cache' not in outputs['without']
    counts = {name: passes(text, 'test') for name, text in outputs.items()}
    assert counts['memory'] == [(10, 42)]
    assert '10 pictures x 0.0722 MB' in outputs['memory']
    assert 'each passes the backbone once.' in outputs['memory']
    assert 10 < counts['small'][0][0] < 42
    assert 'would hold all' in outputs['small']
    # seven episodes are eight for two processes; they may meet one at once
    assert 10 <= counts['two'][0][0] <= 20 and counts['two'][0][1] == 48
    assert counts['again'] == [(0, 42)]
    assert len(list((tmp_path / 'cache').iterdir())) == 10


def test_training_with_a_feature_cache(tmp_path):
    """One image at a time either way: the same losses, the same weights."""
    config = tmp_path / 'ema.py'
    config.write_text(
        f'_base_ = {CONFIG!r}\n'
        "custom_hooks = [dict(type='EMAHook'), dict(type='FeatureCacheHook')]\n")
    states, outputs = [], []
    for name, options in (('without', []),
                          ('with', ['model.feature_cache.memory_gb=1'])):
        outputs.append(run(
            'train.py', config, '--work-dir', tmp_path / name, cwd=tmp_path,
            options=[*options, 'train_dataloader.batch_size=1']))
        states.append(torch.load(
            tmp_path / name / 'epoch_2.pth', weights_only=False))
    assert losses(tmp_path / 'with') == losses(tmp_path / 'without') != {}
    for key in ('state_dict', 'ema_state_dict'):
        assert states[0][key].keys() == states[1][key].keys()
        for name, value in states[0][key].items():
            assert torch.equal(value, states[1][key][name]), name
    first, second = passes(outputs[1], 'train')
    assert first[1] == second[1] == 16 and second[0] < first[0]
    assert [n for n, _ in passes(outputs[1], 'val')][1:] == [0]
    output = run(
        'train.py', config, '--work-dir', tmp_path / 'with', '--resume',
        cwd=tmp_path, options=['model.feature_cache.memory_gb=1',
                               'train_cfg.max_epochs=3'])
    assert 'resumed epoch: 2' in output and len(passes(output, 'train')) == 1


def test_resume_from_a_named_checkpoint(trained, tmp_path):
    work_dir, _ = trained

    def listed():
        return sorted(work_dir.glob('*.pth'))

    before = listed()
    assert any('best_mIoU' in path.name for path in before)
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path, '--resume',
        work_dir / 'epoch_2.pth', cwd=tmp_path, options=[
            'train_cfg.max_epochs=3', 'model.decode_head.foreground_bias=2'])
    assert 'resumed epoch: 2, iter: 4' in output
    # that is better; the best file of the other run stays
    assert list(tmp_path.glob('best_mIoU_*.pth')) and before == listed()
    # the config that a resumed run dumps can be tested with
    output = run(
        'test.py', tmp_path / 'hsnet_mobilenetv2_objects30.py',
        tmp_path / 'epoch_3.pth', cwd=tmp_path,
        options=['train_dataloader.dataset.data_root=nowhere'])
    assert 'Epoch(test)' in output


def test_dist_scripts(trained, tmp_path):
    work_dir, _ = trained
    done = subprocess.run(
        ['bash', str(REPO / 'tools' / 'dist_test.sh'), CONFIG,
         str(work_dir / 'epoch_2.pth'), '2', '--work-dir', 'out',
         '--cfg-options', *SMALL],
        cwd=tmp_path, text=True, capture_output=True,
        env=dict(
            os.environ, OMP_NUM_THREADS='1', PORT=str(free_port()),
            PATH=f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'))
    assert done.returncode == 0, done.stderr[-3000:]
    assert figures(tmp_path / 'out')


def test_pascal_config(tiny_voc, tmp_path):
    """The published config, on tiny photos and with weights from a file."""
    weights = tmp_path / 'vgg16.pth'
    torch.manual_seed(0)
    torch.save(MODELS.build(dict(type='mmpretrain.VGG', depth=16)).state_dict(),
               weights)
    options = [f'model.backbone.init_cfg.checkpoint={weights}',
               'train_dataloader.batch_size=5',
               'train_dataloader.dataset.num_episodes=10']
    for split in ('train', 'val', 'test'):
        options += [
            f'{split}_dataloader.num_workers={int(split == "train")}',
            f'{split}_dataloader.dataset.data_root={tiny_voc}',
            f'{split}_dataloader.dataset.split_dir={tiny_voc / "splits"}']
    config = REPO / 'configs' / 'hsnet_vgg16_pascal5i_fold2.py'
    output = run('train.py', config, cwd=tmp_path, options=options)
    assert 'Effective batch: 5 per process x 1 process(es)' in output
    assert 'the learning rate is meant for 20' in output
    assert 'classes diningtable, dog, horse, motorbike, person; ' in output
    assert 'trained on and validated on' not in output
    work_dir = tmp_path / 'work_dirs' / 'hsnet_vgg16_pascal5i_fold2'
    output = run('test.py', config, work_dir / 'epoch_2.pth', cwd=tmp_path,
                 options=options)
    assert "'hsnet (modified)': PASCAL5iDataset, 1 list(s) of 7 epis" in output
    assert 'label 255 is background in the support mask' in output


def test_corrupt_photo_in_the_middle_of_a_run(tiny_voc, tmp_path):
    photo = tiny_voc / 'JPEGImages' / '2007_011001.jpg'
    photo.write_bytes(photo.read_bytes()[:-200])
    options = [
        o for split in ('test', 'val') for o in (
            f'{split}_dataloader.dataset.type=PASCAL5iDataset',
            f'{split}_dataloader.dataset.data_root={tiny_voc}')]
    options += [
        'train_dataloader.num_workers=2',
        'train_dataloader.dataset.type=PASCAL5iDataset',
        'train_dataloader.dataset.num_episodes=45',
        'train_dataloader.dataset.metainfo=None',
        'val_dataloader.dataset.metainfo=None',
        f'train_dataloader.dataset.data_root={tiny_voc}',
        f'val_dataloader.dataset.split_dir={tiny_voc / "splits"}',
        f'train_dataloader.dataset.split_dir={tiny_voc / "splits"}']
    output = run('train.py', CONFIG, cwd=tmp_path, options=options, ok=False)
    assert f'{photo}' in output and 'truncated' in output


def test_overlap_of_train_and_test_classes_is_loud(tmp_path):
    output = run(
        'train.py', CONFIG, cwd=tmp_path, options=[
            'val_dataloader.dataset.metainfo.classes=[dog,teapot]'])
    assert 'Classes dog are trained on and validated on' in output


@pytest.mark.parametrize('argument, option', [
    ('--show-dir', 'default_hooks.visualization=None'),
    ('--report', 'custom_hooks=None')])
def test_an_option_whose_hook_is_missing(tmp_path, argument, option):
    output = run('test.py', CONFIG, 'none.pth', argument, 'there', cwd=tmp_path,
                 ok=False, options=[option])
    assert f'{argument}: the config' in output.splitlines()[-1]


def test_distributed_training_on_cpu(tmp_path):
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path, cwd=tmp_path, processes=2,
        options=['train_dataloader.batch_size=2'])
    assert '2 per process x 2 process(es) x 1 accumulated = 4' in output
    assert (tmp_path / 'epoch_2.pth').is_file()


def test_report_says_the_protocol(trained, tmp_path):
    work_dir, _ = trained
    output = run(
        'test.py', CONFIG, work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
        '--report', 'reports/mine.json', cwd=tmp_path, options=[
            'test_dataloader.dataset.num_episodes=None',
            'test_dataloader.dataset.protocol.name=mine',
            'test_dataloader.dataset.protocol.num_episodes=7',
            'test_dataloader.dataset.protocol.seeds=(3,4)',
            'test_dataloader.dataset.protocol.original_size=True'])
    assert "protocol 'mine': FolderDataset, 2 list(s) of 7 episodes" in output
    assert 'The report is in reports/mine.json' in output
    assert not list(tmp_path.rglob('report.json'))
    report = json.loads((tmp_path / 'reports' / 'mine.json').read_text())
    assert report['protocol']['seeds'] == [3, 4]
    assert set(report['episodes_sha256']) == {'3', '4'}
    assert report['resize'] == (
        'images resized to 64 x 64, Pillow bilinear, aspect ratio not kept; '
        'masks compared at its size on disk')
    assert 'binary' in report['boundary']
    assert (report['lists'], report['episodes_per_list']) == (2, 7)
    assert report['mIoU'] == figures(tmp_path)['mIoU']
    assert set(report['per_seed']) == {'3', '4'}
    assert set(report['per_class']) == set(report['classes'])


def test_validation_with_several_shots(tmp_path):
    output = run(
        'train.py', CONFIG, '--work-dir', tmp_path, cwd=tmp_path, options=[
            'val_cfg.type=MultiShotValLoop', 'val_cfg.shots=(1,3)',
            'default_hooks.checkpoint.save_best=mIoU_3shot'])
    last = [line for line in output.splitlines() if 'Epoch(val)' in line][-1]
    for key in ('mIoU_1shot', 'mIoU_3shot', 'FB-IoU_1shot', 'FB-IoU_3shot'):
        assert key in last
    assert 'of 7 episodes, 3-shot' in output
    assert list(tmp_path.glob('best_mIoU_3shot_epoch_*.pth'))


def test_cross_validation(trained, tmp_path):
    """Four copies of a config stand for the folds."""
    work_dir, _ = trained
    for fold in range(4):
        (tmp_path / f'hsnet_resnet50_pascal5i_fold{fold}.py').write_text(
            f'_base_ = {CONFIG!r}\n')
    command = [
        'cross_validate.py', tmp_path / 'hsnet_resnet50_pascal5i_fold{}.py',
        '--checkpoint', work_dir / 'epoch_2.pth', '--shots', 1, 5, '--work-dir', 'cv',
        '--cfg-options', *(o for o in SMALL if o.startswith('test'))]

    def cross_validate(*options):
        code, output = run_tool(*command, *options, cwd=tmp_path)
        assert code == 0, output
        return output

    first = cross_validate()
    table = (tmp_path / 'cv' / 'cross_validation.md').read_text()
    again = cross_validate()  # collected, not tested again
    assert table in first and table in again
    assert 'Epoch(test)' in first and 'Epoch(test)' not in again
    rows = [line.split(' | ') for line in table.splitlines()[2:]]
    assert [row[3] for row in rows] == [
        'ours (objects30 (modified))', 'published', 'difference'] * 2
    assert '64.3' in rows[1][4] and '69.5' in rows[4][8]
    report = json.loads(
        (tmp_path / 'cv' / 'config_5shot' / 'fold2.json').read_text())
    assert report['shot'] == 5
    assert rows[3][6] == f'{report["mIoU"]:.1f}'
    assert (tmp_path / 'cv' / 'cross_validation.png').stat().st_size > 1000
    assert (tmp_path / 'cv' / 'cross_validation.csv').is_file()
    command[command.index('--shots') + 2:command.index('--work-dir')] = []
    # another checkpoint, another config: the reports there are out of date
    os.utime(work_dir / 'epoch_2.pth', (1, 1))
    assert cross_validate().count('Evaluating under') == 4
    with open(tmp_path / 'hsnet_resnet50_pascal5i_fold1.py', 'a') as file:
        file.write('model = dict(decode_head=dict(foreground_bias=1))\n')
    assert cross_validate().count('Evaluating under') == 1


@pytest.mark.parametrize('options, message', [
    (['train_dataloader.dataset.data_root=nowhere'],
     "no data root 'nowhere'"),
    (['model.taps=[[layer7.3]]'], "'layer7.3' is no module of MobileNetV2"),
    (['model.backbone.init_cfg.checkpoint=nowhere.pth'],
     'There is no checkpoint nowhere.pth'),
    (['load_from=nowhere.pth'], 'There is no checkpoint nowhere.pth'),
    (['lr'], 'expected key=value, not lr'),
    (['auto_scale_lr.enabled=True'], 'auto_scale_lr has no enabled, but enable, '),
    (['custom_hooks.9.type=EarlyStoppingHook'],
     'train.py: --cfg-options: Index 9 exceeds the length of list'),
    (['custom_hooks.type=x'], 'The items of a list are numbered: custom_hooks.0.'),
    (['default_hooks.checkpoint.max_keep_ckpt=1'],
     'default_hooks.checkpoint has no argument max_keep_ckpt.'),
    (['train_dataloader.dataset.data_prefix.image_path=mine'],
     'data_prefix takes img_path, seg_map_path, not image_path.'),
    (['train_dataloder.batch_size=2'],
     'there is no setting train_dataloder. Near: train_dataloader'),
    (['max_epochs=3'], 'nothing would change. Set train_cfg.max_epochs.'),
    (['data_root=mine'], 'Set train_dataloader.dataset.data_root and '
     'val_dataloader.dataset.data_root and test_dataloader.dataset.data_root.'),
    (['val_cfg.type=MultiShotValLoop'],
     "save_best='mIoU': with several numbers of supports the figures are mIoU_1shot"),
])
def test_train_fails_clearly(tmp_path, options, message):
    output = run('train.py', CONFIG, '--work-dir', tmp_path, cwd=tmp_path,
                 options=options, ok=False)
    assert message in output.replace('\n', ' ')
    assert 'Epoch(train)' not in output


def test_resuming_from_weights(tmp_path):
    """They hold no epoch, and no optimizer's state."""
    weights = REPO / 'mmfss' / 'zoo' / 'hsnet_mobilenetv2.pth'
    output = run('train.py', CONFIG, '--work-dir', tmp_path, '--resume', weights,
                 cwd=tmp_path, ok=False)
    assert f'{weights} has weights only' in output
    assert f'load_from={weights}, without --resume' in output


def test_resuming_from_the_best(trained, tmp_path):
    """It has an epoch, but no optimizer's state."""
    best, = trained[0].glob('best_*.pth')
    output = run('train.py', CONFIG, '--work-dir', tmp_path, '--resume', best,
                 cwd=tmp_path, ok=False)
    assert f'{best} has weights only' in output


@pytest.mark.parametrize('option', ['--report', '--contact-sheet'])
def test_a_folder_in_place_of_a_file(option, tmp_path):
    output = run('test.py', CONFIG, 'any.pth', option, tmp_path, cwd=tmp_path,
                 ok=False)
    assert f'error: {tmp_path} is a folder: name a file' in output


@pytest.mark.parametrize('command, message', [
    (('train.py', 'nowhere.py'), 'train.py: There is no config or model nowhere.py'),
    (('test.py', CONFIG.replace('objects30', 'objets30')),
     'configs/hsnet_mobilenetv2_objects30.py, '),
    (('test.py', CONFIG, 'nowhere.pth'), 'There is no checkpoint nowhere.pth')])
def test_files_that_are_not_there(command, message, tmp_path):
    output = run(*command, cwd=tmp_path, ok=False)
    assert message in output.strip().splitlines()[-1]
    assert len(output.splitlines()) < 5


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is CUDA')
@pytest.mark.parametrize('command, message', [
    (('train.py', CONFIG, '--amp', 'float16'), '--amp float16 needs CUDA'),
    (('test.py', CONFIG, 'none.pth', '--amp', 'float16'),
     '--amp float16 needs CUDA')])
def test_float16_needs_cuda(command, message, tmp_path):
    output = run(*command, cwd=tmp_path, ok=False)
    assert output.strip().splitlines()[-1].startswith(message)


@pytest.mark.parametrize('arguments, dtype', [
    (['--amp'], 'float16'), (['--amp', 'bfloat16'], 'bfloat16'),
    (['--amp', '--cfg-options', 'optim_wrapper.dtype=bfloat16'], 'bfloat16')])
def test_amp_in_training(arguments, dtype, monkeypatch):
    """As far as it goes without CUDA: which wrapper there would be."""
    configs = []
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(
        Runner, 'from_cfg', lambda cfg: configs.append(cfg) or Mock())
    monkeypatch.syspath_prepend(str(REPO / 'tools'))
    monkeypatch.setattr(sys, 'argv', ['train.py', CONFIG, *arguments])
    runpy.run_path(str(REPO / 'tools' / 'train.py'), run_name='__main__')
    wrapper = build_optim_wrapper(nn.Linear(2, 2), configs[0].optim_wrapper)
    assert isinstance(wrapper, AmpOptimWrapper)
    assert wrapper.cast_dtype == getattr(torch, dtype)
    assert wrapper.loss_scaler.is_enabled() == (dtype == 'float16')
    wrapper.load_state_dict(wrapper.state_dict())  # as when resuming


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is CUDA')
def test_amp_in_training_on_cpu(trained, tmp_path):
    """In bfloat16 the losses are others, but not very; weights are float32."""
    run('train.py', CONFIG, '--amp', '--work-dir', tmp_path, cwd=tmp_path)
    for step, value in losses(trained[0]).items():
        assert 0 < abs(losses(tmp_path)[step] - value) < 0.05 * value
    state = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)['state_dict']
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float32}


def test_amp_on_cpu(mixed, tmp_path):
    """bfloat16 has 8 bits: other masks, but not very."""
    areas = {}
    for name, args in (('float32', ()), ('bfloat16', ('--amp', ))):
        output = run(
            'test.py', CONFIG, mixed, *args, '--work-dir', tmp_path / name,
            '--report', tmp_path / f'{name}.json', '--show-dir', tmp_path / 'show',
            cwd=tmp_path)
        report = json.loads((tmp_path / f'{name}.json').read_text())
        assert name in report['precision'] and report['precision'] in output
        rows = report['per_class'].values()
        areas[name] = [
            sum(row[key] for row in rows)
            for key in ('intersection', 'union', 'labelled', 'valid')]
    differences = [abs(a - b) for a, b in zip(*areas.values())]
    assert 0 < max(differences) < 0.05 * areas['float32'][3]
    assert differences[2:] == [0, 0]


def test_checkpoint_of_another_backbone(trained, tmp_path):
    work_dir, _ = trained
    output = run(
        'test.py', CONFIG, work_dir / 'epoch_2.pth', '--work-dir', tmp_path,
        cwd=tmp_path, ok=False, options=[
            "model.backbone.type=mmpretrain.VGG", 'model.backbone.depth=16'])
    assert 'do not fit HSNet' in output
