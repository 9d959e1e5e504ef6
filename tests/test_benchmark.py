"""The benchmark: the textbook form, the measurement, and a guard of speed."""
import json
import os
import subprocess
import sys
from argparse import Namespace
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData

from mmfss.registry import MODELS
from tests.conftest import REPO, episodes

TOOLS = REPO / 'tools' / 'analysis_tools'
sys.path.insert(0, str(TOOLS))

import benchmark  # noqa: E402
import benchmark_dataloader  # noqa: E402
import benchmark_sweep  # noqa: E402
from contender import Contender  # noqa: E402
from contender import episodes as photos  # noqa: E402
from measuring import (  # noqa: E402
    Clock,
    compare,
    interleaved,
    matmul_rate,
    peak_while,
)
from textbook import Textbook  # noqa: E402

CONFIG = str(REPO / 'configs' / 'hsnet_mobilenetv2_objects30.py')
STAGES = ('load', 'preprocess', 'backbone', 'correlation', 'pyramid', 'decoder',
          'resize + vote', 'metric')


def build(**neck):
    """A small HSNet whose every weight matters."""
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIG).model
    cfg.neck.update(neck)
    model = MODELS.build(cfg).eval()
    for part in (model.neck, model.decode_head):
        for p in part.parameters():
            if p.ndim > 1:
                torch.nn.init.kaiming_normal_(p, nonlinearity='relu')
            else:
                torch.nn.init.normal_(p, mean=0.5, std=0.5)
    return model


def namespace(side, **kwargs):
    """The tools' arguments."""
    return Namespace(**dict(
        dict(config=CONFIG, cfg_options=None, checkpoint=None, own_data=False,
             shape=[side, side]), **kwargs))


@pytest.mark.parametrize('neck', [
    dict(),
    dict(mask_support=False),
    dict(  # support planes of 2 x 2 beside 1 x 1
        kernel_sizes=((3, 3, 3), (5, 3, 3), (5, 5, 3)),
        support_strides=((1, 1, 1), (4, 2, 2), (4, 4, 2))),
], ids=['hsnet', 'nomask', 'pooled'])
def test_textbook_gives_the_models_numbers(neck):
    model = build(**neck)
    textbook = Textbook(model)
    inputs, samples = episodes(2, 2, 96, 64)
    for sample in samples:
        sample.support_masks[:, :, 32:] = 0
        sample.support_masks[0, 0, 0] = 255
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, 105, 64)))
    with torch.no_grad():
        expected = model(inputs, samples, mode='tensor')
        logits = textbook(inputs, samples, mode='tensor')
        # no logits that would agree whatever is computed
        assert expected.std(dim=(-2, -1)).min() > 0.05
        scale = expected.abs().max().clamp(min=1)
        assert (logits - expected).abs().max() <= 1e-4 * scale

        masks = [[
            s.pred_sem_seg.data.clone() for s in form(inputs, samples, mode='predict')
        ] for form in (model, textbook)]
    for mask, other in zip(*masks):
        assert mask.shape == other.shape == (1, 105, 64)
        assert (mask == other).float().mean() > 0.999

    gradients, losses = [], []
    for form in (model, textbook):
        model.zero_grad()
        loss = form(inputs, samples, mode='loss')['loss_ce']
        loss.backward()
        losses.append(loss.item())
        gradients.append({
            name: p.grad.clone()
            for name, p in model.named_parameters() if p.requires_grad
        })
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0, name
        difference = (gradients[1][name] - gradient).norm() / gradient.norm()
        assert difference < 1e-3, name


def test_textbook_votes_as_published():
    masks = [torch.tensor([[[1, 1, 0, 0]]]), torch.tensor([[[1, 0, 0, 0]]]),
             torch.tensor([[[1, 0, 1, 0]]])]
    assert Textbook.vote(masks).tolist() == [[[1, 0, 0, 0]]]
    assert Textbook.vote(masks[:2]).tolist() == [[[1, 1, 0, 0]]]


def test_textbook_knows_center_pivot_only():
    with pytest.raises(ValueError, match='not FullConv4d. Leave'):
        Textbook(build(conv_cfg=dict(type='FullConv4d')))


def test_rounds_are_interleaved_and_compared_in_pairs():
    order = []

    def run(name, clock):
        order.append(name)
        clock.seconds['all'] = len(order)

    rounds = interleaved({n: partial(run, n) for n in 'ab'}, 2, 'cpu')
    assert order == list('ababab')  # the first round is the warm-up
    seconds = {n: [r['all'] for r in rounds[n]] for n in 'ab'}
    assert seconds == dict(a=[3, 5], b=[4, 6])
    figures = compare(seconds)
    assert figures['a']['median'] == 4 and figures['b']['max'] == 6
    assert figures['ratio']['samples'] == [4 / 3, 6 / 5]


def test_clock_waits_for_the_gpu(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, 'synchronize', lambda: waited.append(1))
    with Clock('cuda')('part'):
        assert len(waited) == 1
    assert len(waited) == 2
    with Clock('cpu')('part'):
        pass
    assert len(waited) == 2


def test_peak_memory_is_that_of_the_work():
    before = np.ones(int(300e6), np.uint8)
    del before  # so it does not count
    memory = peak_while(lambda: np.ones(int(100e6), np.uint8).sum())
    assert 95e6 < memory['peak'] - memory['baseline'] < 115e6


def test_memory_of_both_forms():
    figures = benchmark.measure_memory(namespace(64, shots=[5], train=False, amp=None,
                                                 batch=1))
    work, = figures
    assert work['shot'] == 5 and not work['train']
    for name in ('mmfss', 'textbook'):
        # of a process of its own: not what the tests before have taken
        assert 2e8 < work[name]['baseline'] < 1e9
        assert 1e6 < work[name]['peak'] - work[name]['baseline'] < 2e8


@pytest.fixture(scope='module')
def measured(tmp_path_factory):
    """The benchmark run as a user runs it."""
    out = tmp_path_factory.mktemp('benchmark') / 'figures.json'
    done = subprocess.run(
        [sys.executable, str(TOOLS / 'benchmark.py'), CONFIG,
         *'--shape 64 96 --shots 1 3 --batch 2 --repeats 3 --stages --train '
         '--out'.split(), str(out)],
        env=dict(os.environ, PYTHONPATH=str(REPO)),
        stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    return json.loads(out.read_text()), done.stdout


def test_figures_are_complete(measured):
    figures, _ = measured
    assert figures['config'] == 'hsnet_mobilenetv2_objects30'
    assert figures['shape'] == [64, 96]
    assert figures['compared'] == ['mmfss', 'textbook']
    assert figures['machine']['torch'] == torch.__version__
    assert figures['machine']['threads'] >= 1 and figures['machine']['cpu']
    assert figures['matmul']['dtype'] == 'float32'
    rate = figures['matmul']['multiply_adds_per_second']

    assert [episode['shot'] for episode in figures['inference']] == [1, 3]
    for episode in figures['inference']:
        assert tuple(episode['stages']) == STAGES
        assert episode['limit'] == episode['multiply_adds']['total'] / rate
        assert episode['logit_difference'] < 1e-4
        assert episode['equal_pixels'] > 0.99
        for times in (episode['predict'], episode['end_to_end'],
                      *episode['stages'].values(), figures['training']):
            for name in ('mmfss', 'textbook', 'ratio'):
                low, middle, high = (
                    times[name][key] for key in ('min', 'median', 'max'))
                assert 0 < low <= middle <= high
                assert len(times[name]['samples']) == 3
        for stage in ('backbone', 'correlation', 'pyramid', 'decoder'):
            assert 0 < episode['stages'][stage]['limit'] < episode['limit']
    assert figures['training']['batch'] == 2
    assert figures['training']['loss_difference'] < 1e-4
    # backward is about twice forward for what is trained
    pyramid = figures['inference'][0]['multiply_adds']['pyramid']
    assert figures['training']['multiply_adds'] > 2 * 2 * pyramid
    assert 'memory' not in figures


def test_stages_sum_to_the_episode(measured):
    for episode in measured[0]['inference']:
        limits = [s['limit'] for s in episode['stages'].values() if 'limit' in s]
        assert sum(limits) == pytest.approx(episode['limit'])


def test_tables(measured):
    _, output = measured
    assert 'hsnet_mobilenetv2_objects30: 64 x 96 pixels, random weights' in output
    for row in ('1-shot episode, loaded', '3-shot episode, from disk',
                'training step, batch 2', '3-shot, by stage', 'resize + vote'):
        assert f'| {row} ' in output
    assert 'time / limit' in output and 'episodes/s' in output


def call(module, monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['tool', CONFIG, *map(str, args)])
    module.main()


def test_mixed_precision_is_compared_with_float32(monkeypatch, tmp_path, capsys):
    out = tmp_path / 'amp.json'
    call(benchmark, monkeypatch, '--shape', 64, '--shots', 1, '--repeats', 1,
         '--amp', 'bf16', '--out', out)
    figures = json.loads(out.read_text())
    assert figures['compared'] == ['bf16', 'float32']
    assert figures['matmul']['dtype'] == 'bfloat16'
    episode, = figures['inference']
    # it did run in bf16, and near enough
    assert 1e-6 < episode['logit_difference'] < 0.05
    assert episode['equal_pixels'] > 0.9
    assert 'training' not in figures and 'memory' not in figures
    assert 'bf16 (ms)' in capsys.readouterr().out


@pytest.mark.parametrize('rate, size', [(1e9, 512), (17e9, 2048)])
def test_matrix_product_takes_no_minutes(rate, size, monkeypatch):
    """Also on a CPU without instructions for bfloat16."""
    seconds = [0.]
    monkeypatch.setattr(Clock, 'now', lambda self: seconds[0])
    monkeypatch.setattr(
        torch, 'mm', lambda a, b: seconds.append(seconds.pop() + len(a)**3 / rate))
    found = matmul_rate('cpu', torch.bfloat16)
    assert found['size'] == size and seconds[0] < 5
    assert found['multiply_adds_per_second'] == pytest.approx(rate)


def test_sweep(monkeypatch, tmp_path, capsys):
    out = tmp_path / 'sweep.json'
    # in this process: starting others takes seconds
    monkeypatch.setattr(benchmark_sweep, 'in_own_process', lambda f, *args: f(*args))
    call(benchmark_sweep, monkeypatch, '--shape', 64, '--sides', 64, 256, '--shots',
         1, '--batches', 2, '--repeats', 2, '--out', out)
    points = json.loads(out.read_text())['points']
    assert [(p['axis'], p['value']) for p in points] == [
        ('side', 64), ('side', 256), ('shot', 1), ('batch', 2)]
    for point in points:
        assert len(point['seconds']['samples']) == 2
        assert point['memory']['peak'] >= point['memory']['baseline'] > 0
    small, large, _, _ = map(benchmark_sweep.added, points)
    assert large > small
    assert (tmp_path / 'sweep.png').stat().st_size > 10_000
    assert 'episodes of a training step' in capsys.readouterr().out


@pytest.mark.parametrize('module, args, message', [
    (benchmark, ['--shape', 64, 64, 64], '--shape takes one or two numbers'),
    (benchmark, ['--shots', 0], 'are at least 1'),
    (benchmark, ['--repeats', 0], 'are at least 1'),
    (benchmark, ['--amp', 'int8'], "invalid choice: 'int8'"),
    (benchmark, ['--out', 'nowhere/figures.json'], "there is no folder 'nowhere'"),
    (benchmark_sweep, ['--sides', 0], 'are at least 1'),
    (benchmark_sweep, ['--out', 'nowhere/s.json'], "there is no folder 'nowhere'"),
    (benchmark_dataloader, ['--workers', -1], 'are at least 0'),
    (benchmark_dataloader, ['--batches', 65], 'more than 8 times the --workers'),
    (benchmark_dataloader, ['--out', 'nowhere/s.json'], "no folder 'nowhere'"),
])
def test_wrong_options(monkeypatch, capsys, module, args, message):
    with pytest.raises(SystemExit):
        call(module, monkeypatch, *args)
    assert message in capsys.readouterr().err


def test_data_loader(monkeypatch, tmp_path, capsys):
    out = tmp_path / 'loading.json'
    call(benchmark_dataloader, monkeypatch, '--workers', '0', '1',
         '--batches', '12', '--repeats', '2', '--out', str(out))
    assert [line.split('|')[1].strip() for line in
            capsys.readouterr().out.splitlines() if line.startswith('|')
            ] == ['workers', '0', '1']
    alone, one = json.loads(out.read_text())['workers'].values()
    assert alone['workers']['median'] == 0
    # the work moves from the main process to the worker
    assert one['workers']['min'] > one['main']['max'] > 0
    assert alone['main']['min'] > one['main']['max']
    assert len(one['wall']['samples']) == 2


@pytest.mark.parametrize('loader', ['train', 'test'])
def test_loaders_of_any_number_of_workers_have_the_same_batches(loader):
    args = Namespace(config=CONFIG, cfg_options=None, loader=loader, batches=3,
                     workers=[0, 2])
    loaders = benchmark_dataloader.loaders(args, benchmark_dataloader.read(args))
    names = [[[s.sample_idx for s in batch['data_samples']] for batch, *_ in loader]
             for loader in loaders.values()]
    assert names[0] == names[1]
    assert len(names[0]) == 3


def test_data_loader_without_data_is_told(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match=f'{tmp_path}/none'):
        call(benchmark_dataloader, monkeypatch, '--cfg-options',
             f'test_dataloader.dataset.data_root={tmp_path}/none')


def test_pipeline_without_resize_is_told(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {CONFIG!r}\n'
        "test_dataloader = dict(dataset=dict(pipeline=[dict(type='PackFewShotInputs'"
        ')]))\n')
    with pytest.raises(ValueError, match='has no ResizeFewShot'):
        next(photos(namespace(64, config=str(config)), 1))


# The textbook form must take at least so many times as long: a wide margin
GUARDED = dict(pyramid_and_decoder=1.0, training_step=1.0)


@pytest.fixture(scope='module')
def forms():
    args = namespace(200)
    forms = dict(mmfss=Contender(args), textbook=Contender(args, textbook=True))
    return forms, next(photos(args, shot=1, batch_size=2))


def pyramid_and_decoder(form, data, clock):
    batch = form.model.data_preprocessor(data)
    inputs = batch['inputs']
    masks = torch.cat([s.support_masks for s in batch['data_samples']]) == 1
    correlate, encode, decode = form.steps
    with torch.no_grad():
        correlations = correlate(
            form.form.extract_feat(inputs['query']),
            form.form.extract_feat(inputs['support'][:, 0]), masks)
        with clock('work'):
            decode(encode(correlations))


def training_step(form, data, clock):
    with clock('work'):
        form.train_step(data)


@pytest.mark.parametrize('work', [pyramid_and_decoder, training_step])
def test_no_slower_than_guarded(forms, work):
    contenders, data = forms
    ratios = []
    for _ in range(3):  # a busy machine gets more chances
        rounds = interleaved({
            name: partial(work, form, data)
            for name, form in contenders.items()
        }, 4, 'cpu')
        ours, textbook = (
            min(seconds['work'] for seconds in of_form)
            for of_form in rounds.values())
        ratios.append(textbook / ours)
        if ratios[-1] >= GUARDED[work.__name__]:
            return
    pytest.fail(f'textbook / ours: {ratios}, and {GUARDED[work.__name__]} is the '
                'least: something made us slower')
