import json

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmfss.apis import FewShotInferencer
from mmfss.registry import MODELS
from mmfss.structures import FewShotDataSample
from tests.conftest import REPO, episodes
from tests.tool import run_tool

CONFIG = REPO / 'configs' / 'prototype_mobilenetv2_objects30.py'
SMALL = ['test_dataloader.dataset.pipeline.0.transforms.2.scale=(128,128)',
         'test_dataloader.dataset.num_episodes=20']


def run_test(*args, cwd, tool='test.py'):
    """A tool, as a user runs it: its exit code and what it prints."""
    return run_tool(tool, *args, '--cfg-options', *SMALL, cwd=cwd)


@MODELS.register_module()
class Patches(nn.Module):
    """The mean colour of each 8 x 8 patch, and of each 16 x 16 patch."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.AvgPool2d(8), nn.AvgPool2d(16)

    def forward(self, x):
        return self.fine(x), self.coarse(x)


def prototype_net(**kwargs):
    return MODELS.build(dict(
        dict(type='PrototypeNet', backbone=dict(type='Patches'),
             taps=[['fine']]), **kwargs)).eval()


def painted(left, right, size=(32, 48)):
    """An image whose halves have one colour each."""
    image = torch.zeros(3, *size)
    image[:, :, :size[1] // 2] = torch.tensor(left)[:, None, None]
    image[:, :, size[1] // 2:] = torch.tensor(right)[:, None, None]
    return image


def red_episode():
    """The support's left half is the object: red. The query's right is."""
    support = painted([3., 0., 0.], [0., 1., 0.])
    query = painted([0., 2., .5], [1., .5, 0.])
    sample = FewShotDataSample()
    sample.support_masks = torch.zeros(1, 32, 48, dtype=torch.uint8)
    sample.support_masks[:, :, :24] = 1
    return dict(query=query[None], support=support[None, None]), [sample]


def test_what_is_like_the_object_is_found():
    inputs, samples = red_episode()
    sample, = prototype_net()(inputs, samples, mode='predict')
    mask = sample.pred_sem_seg.data[0]
    assert mask[:, 28:].all() and not mask[:, :20].any()


@pytest.mark.parametrize('threshold, found', [(0.88, True), (0.90, False)])
def test_the_threshold_is_a_cosine(threshold, found):
    """That of (1, 0.5, 0) and red is 2 / sqrt(5) = 0.894."""
    inputs, samples = red_episode()
    background, foreground = prototype_net(threshold=threshold)(
        inputs, samples, mode='tensor')[0, 0]
    assert background.shape == (4, 6)
    assert (foreground > background)[:, 3:].all() == found
    assert not (foreground > background)[:, :3].any()


@pytest.mark.parametrize('background, found', [([.8, .6, 0.], False),
                                               ([0., 1., 0.], True)])
def test_without_one_the_nearer_prototype_wins(background, found):
    """(1, 0.5, 0) has a cosine of 0.98 with the first background."""
    inputs, samples = red_episode()
    inputs['support'] = painted([3., 0., 0.], background)[None, None]
    logits = prototype_net()(inputs, samples, mode='tensor')[0, 0]
    assert (logits[1] > logits[0])[:, 3:].all() == found


def test_levels_are_averaged_on_the_finest():
    inputs, samples = red_episode()
    logits = [prototype_net(taps=taps)(inputs, samples, mode='tensor')
              for taps in ([['coarse'], ['fine']], [['fine']], [['coarse']])]
    assert [tuple(x.shape[-2:]) for x in logits] == [(4, 6), (4, 6), (2, 3)]
    corner = [x[0, 0, 1, 0, 0] for x in logits]
    torch.testing.assert_close(corner[0], (corner[1] + corner[2]) / 2)


def test_each_support_has_its_own_prototype():
    model = prototype_net()
    inputs, samples = episodes(2, 3, 32, 48)
    together = model(inputs, samples, mode='tensor')
    for b in range(2):
        for k in range(3):
            support = model.encode_support(
                model.extract_feat(inputs['support'][b, k:k + 1]),
                samples[b].support_masks[k:k + 1] == 1)
            alone = model.segment(inputs['query'][b:b + 1], support)
            torch.testing.assert_close(alone[0, 0], together[b, k])


def test_it_has_nothing_to_train():
    with pytest.raises(RuntimeError, match='nothing to train: test it'):
        prototype_net()(*episodes(1, 1, 32, 32), mode='loss')
    with pytest.raises(ValueError, match='between -1 and 1, not 50'):
        prototype_net(threshold=50)


def test_without_a_checkpoint(tmp_path):
    code, output = run_test(CONFIG, '--report', tmp_path / 'report.json',
                            '--contact-sheet', tmp_path / 'sheet.html', cwd=tmp_path)
    assert code == 0, output
    report = json.loads((tmp_path / 'report.json').read_text())
    # far above what calls everything foreground: the backbone is pretrained
    assert report['mIoU'] > report['mIoU_all_foreground'] + 10
    assert report['checkpoint'] is None
    sheet = (tmp_path / 'sheet.html').read_text()
    assert sheet.count('<img ') == 24 and f'mIoU {report["mIoU"]:.1f}' in sheet


@pytest.mark.parametrize('config, message', [
    ('hsnet_mobilenetv2_objects30.py', 'HSNet needs trained weights: it has 2,'),
    ('random.py', 'its backbone would be random: name pretrained weights')])
def test_not_with_random_weights(config, message, tmp_path):
    (tmp_path / 'random.py').write_text(
        f'_base_ = {str(CONFIG)!r}\nmodel = dict(backbone=dict(init_cfg=None))\n')
    path = REPO / 'configs' / config
    code, output = run_test(path if path.is_file() else config, cwd=tmp_path)
    assert code == 1
    last = output.strip().splitlines()[-1]
    assert last.startswith('test.py: ') and message in last


def test_several_processes_need_a_checkpoint(tmp_path):
    """Of torch's DDP, which refuses a model without learnable parameters."""
    code, output = run_test(CONFIG, '--launcher', 'pytorch', cwd=tmp_path)
    assert code == 2 and 'leave --launcher out' in output


@pytest.mark.parametrize('options', [[], ['--amp'], ['--resume']])
def test_training_is_refused(options, tmp_path):
    code, output = run_test(CONFIG, *options, cwd=tmp_path, tool='train.py')
    last, = [line for line in output.splitlines() if 'train_dataloader' in line]
    assert code == 1 and last == output.splitlines()[-1]
    assert last.startswith(f'train.py: {CONFIG} has no') and 'tools/test.py' in last
    assert not list(tmp_path.iterdir())


def test_cross_validation(tmp_path):
    """Each fold once; a second time the reports are there."""
    for fold in range(4):
        (tmp_path / f'prototype_mobilenetv2_pascal5i_fold{fold}.py').write_text(
            f'_base_ = {str(CONFIG)!r}\n')
    config = tmp_path / 'prototype_mobilenetv2_pascal5i_fold{}.py'
    code, output = run_test(config, cwd=tmp_path, tool='cross_validate.py')
    assert code == 1 and 'or say --untrained' in output
    for tested in (4, 0):
        code, output = run_test(
            config, '--untrained', cwd=tmp_path, tool='cross_validate.py')
        assert code == 0, output
        assert output.count('Epoch(test) [20/20]') == tested
    folder, = (tmp_path / 'work_dirs').iterdir()
    table = (folder / 'cross_validation.md').read_text()
    assert table in output and 'ours (objects30' in table


def test_inferencer_without_weights(objects30):
    cfg = Config.fromfile(CONFIG)
    inferencer = FewShotInferencer(cfg, device='cpu', show_progress=False)
    inferencer.fit(f'{objects30}/images/teapot/00.jpg',
                   f'{objects30}/masks/teapot/00.png', 'teapot')
    prediction, = inferencer(f'{objects30}/images/teapot/04.jpg')['predictions']
    assert 0.02 < prediction['mask'].mean() < 0.9
    assert prediction['scores']['teapot'] > 0.5
