"""No part of a model stays random without anybody noticing."""
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.runner import CheckpointLoader, load_checkpoint
from PIL import Image

from mmfss.engine.hooks import SafeCheckpointHook
from mmfss.models.backbones.torchvision_names import torchvision_names
from mmfss.registry import MODELS
from tests.published import build
from tests.test_models.test_hsnet import MOBILENET, hsnet

DENSENET121_WEIGHTS = 'densenet121_imagenet_torchvision.pth'
# torchvision's index in ``features`` of VGG-16's convolutions
VGG16_CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@pytest.fixture
def torchvision_vgg16(tmp_path):
    """A file with torchvision's names, classifier included."""
    torch.manual_seed(0)
    ours = MODELS.build(dict(type='mmpretrain.VGG', depth=16)).state_dict()
    convs = [k.rsplit('.', 1)[0] for k in ours if k.endswith('weight')]
    state = {
        f'features.{number}.{name}': torch.randn_like(ours[f'{conv}.{name}'])
        for conv, number in zip(convs, VGG16_CONVS) for name in ('weight', 'bias')
    }
    state['classifier.0.weight'] = torch.zeros(2, 2)
    torch.save(state, tmp_path / 'vgg16.pth')
    return state, str(tmp_path / 'vgg16.pth')


def test_torchvision_vgg_is_renamed_on_loading(torchvision_vgg16):
    state, path = torchvision_vgg16
    model = hsnet(
        dict(
            type='mmpretrain.VGG',
            depth=16,
            init_cfg=dict(type='Pretrained', checkpoint=path)))
    model.init_weights()
    features = model.backbone.features
    assert torch.equal(features[0].conv.weight, state['features.0.weight'])
    assert torch.equal(features[16].conv.bias, state['features.28.bias'])


@pytest.mark.parametrize('config, expected', [
    (dict(type='mmpretrain.VGG', depth=11, norm_cfg=dict(type='BN')), {
        'features.0.conv.bias': 'features.0.bias',
        'features.0.bn.running_var': 'features.1.running_var',
        'features.2.conv.weight': 'features.4.weight',
        'features.11.bn.weight': 'features.26.weight',
    }),
    (MOBILENET, {
        'conv1.conv.weight': 'features.0.0.weight',
        'conv1.bn.bias': 'features.0.1.bias',
        'layer1.0.conv.0.conv.weight': 'features.1.conv.0.0.weight',
        'layer1.0.conv.0.bn.weight': 'features.1.conv.0.1.weight',
        'layer1.0.conv.1.conv.weight': 'features.1.conv.1.weight',
        'layer1.0.conv.1.bn.weight': 'features.1.conv.2.weight',
        'layer2.0.conv.1.conv.weight': 'features.2.conv.1.0.weight',
        'layer2.0.conv.2.bn.running_mean': 'features.2.conv.3.running_mean',
        'layer7.0.conv.2.conv.weight': 'features.17.conv.2.weight',
        'conv2.conv.weight': 'features.18.0.weight',
    }),
    (dict(type='mmpretrain.DenseNet', arch='121'), {
        'stem.0.weight': 'features.conv0.weight',
        'stem.1.running_var': 'features.norm0.running_var',
        'stages.0.block.0.norm1.weight':
        'features.denseblock1.denselayer1.norm1.weight',
        'stages.3.block.15.conv2.weight':
        'features.denseblock4.denselayer16.conv2.weight',
        'transitions.2.conv.weight': 'features.transition3.conv.weight',
        'transitions.3.0.bias': 'features.norm5.bias',
    }),
    (dict(type='mmpretrain.ResNet', depth=50), {
        'bn1.weight': 'bn1.weight',
        'layer1.0.downsample.0.weight': 'layer1.0.downsample.0.weight',
    }),
], ids=['vgg11_bn', 'mobilenet_v2', 'densenet121', 'resnet50'])
def test_torchvision_names(config, expected):
    names = torchvision_names(MODELS.build(config))
    assert {key: names[key] for key in expected} == expected
    assert len(set(names.values())) == len(names)


def test_torchvision_densenet_still_classifies(voc_subset, objects30):
    """The file's own classifier, on the features of the renamed weights."""
    path = voc_subset.parents[1] / 'weights' / DENSENET121_WEIGHTS
    if not path.is_file():
        pytest.skip(f'there is no {path}')
    model = hsnet(
        dict(
            type='mmpretrain.DenseNet',
            arch='121',
            init_cfg=dict(type='Pretrained', checkpoint=str(path))))
    model.init_weights()
    state = torch.load(path, weights_only=True)
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    # ImageNet's tiger cat, Pembroke and teapot
    for name, label in (('cat', 282), ('dog', 263), ('teapot', 849)):
        photo = sorted(Path(objects30, 'images', name).iterdir())[0]
        image = np.array(Image.open(photo).convert('RGB').resize((224, 224)))
        image = torch.from_numpy((image - mean) / std).float()
        with torch.no_grad():
            features = model.backbone(image.permute(2, 0, 1)[None])[-1]
        scores = F.linear(
            features.mean((2, 3)), state['classifier.weight'],
            state['classifier.bias'])
        assert scores.argmax() == label, name


def test_the_zoos_own_names_load_too(tmp_path):
    backbone = MODELS.build(dict(type='mmpretrain.VGG', depth=16))
    path = str(tmp_path / 'zoo.pth')
    torch.save(
        dict(state_dict={
            f'backbone.{k}': v for k, v in backbone.state_dict().items()
        }), path)
    model = hsnet(
        dict(
            type='mmpretrain.VGG',
            depth=16,
            init_cfg=dict(type='Pretrained', checkpoint=path, prefix='backbone')))
    model.init_weights()
    assert torch.equal(model.backbone.features[4].conv.weight,
                       backbone.features[4].conv.weight)


def test_backbone_weights_of_another_backbone(torchvision_vgg16):
    _, path = torchvision_vgg16
    model = hsnet(
        dict(
            type='mmpretrain.ResNet',
            depth=50,
            init_cfg=dict(type='Pretrained', checkpoint=path)))
    with pytest.raises(
            ValueError,
            match='do not fit ResNet: conv1.weight is miss.*init_cfg.*vgg16.pth'):
        model.init_weights()


@pytest.mark.parametrize('saved, loaded', [('resnet50', 'vgg16'),
                                           ('vgg16', 'resnet50'),
                                           ('resnet50', 'resnet101'),
                                           ('resnet101', 'resnet50')])
def test_checkpoint_of_another_backbone(saved, loaded, tmp_path):
    path = str(tmp_path / 'model.pth')
    torch.save(dict(state_dict=build(saved).state_dict()), path)
    with pytest.raises(ValueError, match='do not fit HSNet.*another backbone'):
        load_checkpoint(build(loaded), path)
    load_checkpoint(build(saved), path)


def pretrained(folder, seed=0):
    """Config of a backbone with weights from a file."""
    torch.manual_seed(seed)
    path = str(folder / f'backbone{seed}.pth')
    torch.save(MODELS.build(MOBILENET).state_dict(), path)
    return dict(MOBILENET, init_cfg=dict(type='Pretrained', checkpoint=path))


@pytest.fixture
def without_backbone(tmp_path):
    """A model, its backbone's config, its checkpoint without the backbone."""
    backbone = pretrained(tmp_path)
    model = hsnet(backbone)
    model.init_weights()
    checkpoint = dict(state_dict=model.state_dict())
    SafeCheckpointHook(save_backbone=False).before_save_checkpoint(
        None, checkpoint)
    path = tmp_path / 'model.pth'
    torch.save(checkpoint, path)
    assert not any(k.startswith('backbone.') for k in checkpoint['state_dict'])
    assert path.stat().st_size < 11e6
    return model, backbone, str(path)


@pytest.mark.parametrize('initialised', [True, False])
def test_checkpoint_without_backbone(without_backbone, initialised, log):
    """As in training, where it is loaded already, and as in testing."""
    model, backbone, path = without_backbone
    loaded = hsnet(backbone)
    if initialised:
        loaded.init_weights()
    log.clear()
    load_checkpoint(loaded, path)
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    assert sum('has no backbone: it is that of' in line for line in log) == 1
    assert not any('missing' in line or 'unexpected' in line for line in log)
    loaded.load_state_dict(torch.load(path)['state_dict'], strict=True)


def test_checkpoint_without_backbone_needs_pretrained_weights(without_backbone):
    with pytest.raises(ValueError, match='without its frozen .* names no pret'):
        load_checkpoint(hsnet(), without_backbone[-1])


def test_checkpoint_without_backbone_needs_the_same_weights(
        without_backbone, tmp_path):
    with pytest.raises(ValueError, match='was not that of .*backbone1.pth'):
        load_checkpoint(hsnet(pretrained(tmp_path, 1)), without_backbone[-1])


def test_half_a_backbone_is_refused(tmp_path):
    backbone = pretrained(tmp_path)
    model = hsnet(backbone)
    state = model.state_dict()
    for key in [k for k in state if k.startswith('backbone.layer')]:
        del state[key]
    torch.save(state, tmp_path / 'half.pth')
    with pytest.raises(ValueError, match='backbone.layer1.* is missing'):
        load_checkpoint(hsnet(backbone), str(tmp_path / 'half.pth'))


def test_random_frozen_backbone_is_loud(log):
    hsnet().init_weights()
    assert any('MobileNetV2 backbone is RANDOM' in line for line in log)


@pytest.mark.parametrize('path', [
    'torchvision://vgg16', 's3://bucket/vgg16.pth', 'openmmlab://vgg16'
])
def test_loaders_that_may_run_code_are_refused(path):
    with pytest.raises(ValueError, match='path or an http.s. URL'):
        load_checkpoint(hsnet(), path)


def test_damaged_checkpoint(tmp_path):
    path = tmp_path / 'model.pth'
    torch.save(dict(state_dict=hsnet().state_dict()), path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(RuntimeError, match='model.pth is damaged'):
        load_checkpoint(hsnet(), str(path))
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_checkpoint(hsnet(), 'nowhere.pth')


@pytest.mark.parametrize('content, message', [
    (b'', 'is damaged or is no PyTorch'), (b'hello world', 'is no PyTorch'),
    (b'a,b\n1,2\n', 'is no PyTorch'), (b'{"a": 1}', 'is no PyTorch'),
    (b'\x80\x02', 'is damaged'), (b'\x80\x02hello', 'is damaged'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:0', 'git lfs pull')])
def test_what_is_no_checkpoint(content, message, tmp_path):
    path = tmp_path / 'model.pth'
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=f'model.pth .*{message}'):
        load_checkpoint(hsnet(), str(path))


def test_files_of_one_name_from_a_server(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    for folder, name in (('a', 'best.pth'), ('b', 'best.pth'),
                         ('a', 'net-0123abcd.pth')):
        (tmp_path / folder).mkdir(exist_ok=True)
        torch.save(dict(state_dict={}, folder=folder), tmp_path / folder / name)
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f'http://127.0.0.1:{server.server_port}'
        for folder in 'ab':
            loaded = CheckpointLoader.load_checkpoint(f'{url}/{folder}/best.pth?raw=1')
            assert loaded['folder'] == folder
        CheckpointLoader.load_checkpoint(f'{url}/a/net-0123abcd.pth')
        server.shutdown()
        thread.join()
    # a name with a hash stays as it is: files are brought along so
    assert (tmp_path / 'hub' / 'checkpoints' / 'net-0123abcd.pth').is_file()
    assert len(list((tmp_path / 'hub').rglob('best.pth'))) == 2
