"""The trained models that come with mmfss, and how they are made."""
import pytest
import torch
from mmengine.config import Config

from mmfss.apis import FewShotInferencer
from mmfss.apis.configs import model_names, read_config
from mmfss.datasets.annotations.image_files import read_mask
from mmfss.safe_checkpoint import load_from_local
from tests.conftest import REPO
from tests.tool import run_tool

from .conftest import CONFIG


def publish(*args):
    return run_tool('model_converters/publish_model.py', *args)


def test_by_its_name(objects30):
    """The README's promise: no training, no download."""
    inferencer = FewShotInferencer(
        'hsnet_mobilenetv2', device='cpu', show_progress=False)
    inferencer.fit([f'{objects30}/images/berry_bowl/0{n}.jpg' for n in range(3)],
                   [f'{objects30}/masks/berry_bowl/0{n}.png' for n in range(3)], 'bowl')
    result = inferencer(f'{objects30}/images/berry_bowl/03.jpg')['predictions'][0]
    mask, truth = result['mask'] == 1, read_mask(f'{objects30}/masks/berry_bowl/03.png')
    assert (mask & truth).sum() / (mask | truth).sum() > 0.7


@pytest.mark.parametrize('name', model_names())
def test_is_small_and_whole(name):
    cfg = read_config(name)
    file = REPO / 'mmfss' / 'zoo' / f'{name}.pth'
    assert file.samefile(cfg.load_from)
    assert file.stat().st_size < 10e6
    FewShotInferencer(name, device='cpu', show_progress=False)  # every weight fits


def test_is_the_model_that_its_config_trains():
    ours, trained = read_config('hsnet_mobilenetv2'), Config.fromfile(CONFIG)
    del trained.model.backbone.init_cfg
    assert ours.model.to_dict() == trained.model.to_dict()
    scales = [[t.scale for step in cfg.test_dataloader.dataset.pipeline
               for t in step.get('transforms', []) if t.type == 'ResizeFewShot']
              for cfg in (ours, trained)]
    assert scales[0] == scales[1]


def test_unknown_name():
    with pytest.raises(FileNotFoundError, match='Near: .*hsnet_mobilenetv2'):
        FewShotInferencer('hsnet_mobilenet2')


class TestPublish:

    def test_weights_alone_and_halved(self, weights, tmp_path):
        checkpoint = load_from_local(weights)
        checkpoint['optimizer'] = dict(state=torch.zeros(1000))
        full, small = tmp_path / 'full.pth', tmp_path / 'small.pth'
        torch.save(checkpoint, full)
        code, output = publish(full, small)
        assert code == 0, output
        published = load_from_local(str(small))
        assert set(published) == {'meta', 'state_dict'}
        for name, weight in checkpoint['state_dict'].items():
            expected = weight.half() if weight.is_floating_point() else weight
            assert torch.equal(published['state_dict'][name], expected)
        FewShotInferencer(str(CONFIG), str(small), device='cpu')

    @pytest.mark.parametrize('change, message', [
        (lambda weights: weights.clear(), 'no state_dict'),
        (lambda weights: [weights.pop(name) for name in list(weights)
                          if name.startswith('backbone.')], 'without the backbone'),
        (lambda weights: next(iter(weights.values())).fill_(1e6), 'cannot hold'),
    ])
    def test_refused(self, weights, tmp_path, change, message):
        state = load_from_local(weights)['state_dict']
        change(state)
        torch.save(dict(state_dict=state), tmp_path / 'in.pth')
        code, output = publish(tmp_path / 'in.pth', tmp_path / 'out.pth')
        assert code == 1 and message in output
        assert not (tmp_path / 'out.pth').exists()

    def test_what_is_no_checkpoint_is_refused(self, tmp_path):
        torch.save([torch.zeros(2)], tmp_path / 'in.pth')
        code, output = publish(tmp_path / 'in.pth', tmp_path / 'out.pth')
        assert code == 1 and 'in.pth has no state_dict' in output
        assert 'Traceback' not in output
