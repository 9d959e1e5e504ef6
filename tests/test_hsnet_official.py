"""Released checkpoints, converted by the command line tool, and back."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint

from mmfss.models.published_names import classifier_shapes, published_names
from tests.published import build, deterministic
from tests.test_golden import check_bundled_photos
from tests.test_safe_checkpoint import CreatesAFile
from tests.tool import run_tool

DATA = Path(__file__).parent / 'data'
GOLDEN = dict(vgg16='objects30_vgg16_320', resnet50='objects30_resnet50')


def convert(*args, ok=True):
    code, output = run_tool('model_converters/hsnet_official.py', *args)
    assert (code == 0) == ok, output[-5000:]
    assert 'Traceback' not in output, output[-5000:]
    return output


def classifier(model):
    """Any values; one number each, so that the files stay small."""
    return {
        key: torch.tensor(float(number)).expand(shape)
        for number, (key, shape) in enumerate(classifier_shapes(model).items())
    }


def released(backbone):
    """What the authors' program saves, with weights that follow from the names."""
    model = build(backbone)
    names = published_names(model)
    state = {
        f'module.{names[key]}': deterministic(names[key], value)
        for key, value in model.state_dict().items()
    }
    for key, value in classifier(model).items():
        state[f'module.backbone.{key}'] = value
    if backbone in GOLDEN:
        bias = np.load(DATA / f'{GOLDEN[backbone]}.npz')['decoder2.2.bias']
        state['module.hpn_learner.decoder2.2.bias'] = torch.from_numpy(bias)
    return state


def torchvision(backbone):
    """Torchvision's file of the backbone that ``released`` has."""
    prefix = 'module.backbone.'
    return {
        key[len(prefix):]: value
        for key, value in released(backbone).items()
        if key.startswith(prefix) and 'num_batches' not in key
    }


@pytest.fixture(scope='module')
def resnet50(tmp_path_factory):
    path = tmp_path_factory.mktemp('released') / 'best_model.pt'
    torch.save(released('resnet50'), path)
    return path


def test_the_released_names():
    """Spelled out, so that the map is not compared with itself alone."""
    names = set(released('resnet50')) | set(released('vgg16'))
    assert names >= {
        'module.backbone.conv1.weight', 'module.backbone.features.28.weight',
        'module.backbone.layer4.2.bn3.running_var',
        'module.backbone.fc.bias', 'module.backbone.classifier.6.weight',
        'module.hpn_learner.encoder_layer4.0.conv1.weight',
        'module.hpn_learner.encoder_layer3.3.conv2.bias',
        'module.hpn_learner.encoder_layer2.7.weight',
        'module.hpn_learner.encoder_layer4to3.6.conv2.weight',
        'module.hpn_learner.encoder_layer3to2.1.bias',
        'module.hpn_learner.decoder1.2.weight',
        'module.hpn_learner.decoder2.0.bias'
    }


@pytest.mark.parametrize('backbone, zipped', [('vgg16', False),
                                              ('resnet50', True)])
def test_converted_weights_give_the_golden_logits(
        backbone, zipped, tmp_path, objects30):
    theirs, ours = tmp_path / 'best_model.pt', tmp_path / 'new' / 'hsnet.pth'
    state = released(backbone)
    # files written before PyTorch 1.6 are no zip archives
    torch.save(state, theirs, _use_new_zipfile_serialization=zipped)
    output = convert(theirs, ours, '--backbone', backbone)
    assert f'Wrote {ours}' in output
    model = build(backbone)
    load_checkpoint(model, str(ours), strict=True)
    check_bundled_photos(
        model, dict(np.load(DATA / f'{GOLDEN[backbone]}.npz')), objects30)

    back, weights = tmp_path / 'back.pt', tmp_path / 'torchvision.pth'
    torch.save(torchvision(backbone), weights)
    convert(ours, back, '--backbone', backbone, '--reverse', '--classifier',
            weights)
    again = torch.load(back, weights_only=True)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)
    assert all(again[key].dtype == state[key].dtype for key in state)


def refused(tmp_path, path, *args):
    """Run, expect a refusal that names the file and leaves nothing behind."""
    before = set(tmp_path.iterdir())
    output = convert(path, tmp_path / 'out.pth', *args, ok=False)
    assert str(path) in output and output.endswith('Nothing was written.\n')
    assert set(tmp_path.iterdir()) == before
    return output


@pytest.mark.parametrize('backbone, problem', [
    ('resnet101', 'missing: module.backbone.layer3.6.conv1.weight'),
    ('vgg16', 'unexpected: module.backbone.conv1.weight'),
])
def test_wrong_backbone(resnet50, tmp_path, backbone, problem):
    output = refused(tmp_path, resnet50, '--backbone', backbone)
    assert f'is not a released HSNet with {backbone}' in output
    assert problem in output
    assert 'It looks like resnet50 in a released HSNet.' in output


def test_every_key_and_shape_is_checked(tmp_path):
    state = released('resnet50')
    del state['module.hpn_learner.decoder2.2.bias']
    state['module.extra'] = torch.zeros(1)
    state['module.backbone.fc.bias'] = torch.zeros(7)
    torch.save(state, tmp_path / 'changed.pt')
    output = refused(
        tmp_path, tmp_path / 'changed.pt', '--backbone', 'resnet50')
    assert '1 missing: module.hpn_learner.decoder2.2.bias\n' in output
    assert '1 unexpected: module.extra\n' in output
    assert ('1 of another shape: module.backbone.fc.bias is (7,), not (1000,)'
            in output)


@pytest.mark.parametrize('zipped', [True, False])
def test_cut_off_file(tmp_path, zipped):
    path = tmp_path / 'best_model.pt'
    torch.save(
        dict(weight=torch.rand(1000)), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:3000])
    assert 'is damaged' in refused(tmp_path, path, '--backbone', 'resnet50')


@pytest.mark.parametrize('zipped', [True, False])
def test_file_with_code(tmp_path, zipped):
    path, trace = tmp_path / 'best_model.pt', tmp_path / 'trace'
    torch.save({'module.x': CreatesAFile(str(trace))}, path,
               _use_new_zipfile_serialization=zipped)
    assert 'could run code' in refused(tmp_path, path, '--backbone', 'resnet50')
    assert not trace.exists()


def test_other_files(tmp_path):
    path = tmp_path / 'list.pt'
    torch.save([torch.zeros(1)], path)
    assert 'holds no state dict' in refused(
        tmp_path, path, '--backbone', 'resnet50')
    assert 'There is no checkpoint' in refused(
        tmp_path, tmp_path / 'nowhere.pt', '--backbone', 'resnet50')


def test_wrong_direction_and_classifier(resnet50, tmp_path):
    ours, weights = tmp_path / 'hsnet.pth', tmp_path / 'torchvision.pth'
    convert(resnet50, ours, '--backbone', 'resnet50')
    output = refused(tmp_path, ours, '--backbone', 'resnet50')
    assert 'It looks like resnet50 in an HSNet of mmfss.' in output

    torch.save(torchvision('resnet101'), weights)
    output = convert(ours, tmp_path / 'out.pt', '--backbone', 'resnet50',
                     '--reverse', '--classifier', weights, ok=False)
    assert f"{weights} is not torchvision's resnet50" in output
    assert 'It looks like resnet101 without an HSNet.' in output
    assert not (tmp_path / 'out.pt').exists()

    output = convert(ours, tmp_path / 'out.pt', '--backbone', 'resnet50',
                     '--reverse', ok=False)
    assert '--reverse and --classifier FILE go together' in output
