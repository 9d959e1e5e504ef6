"""Our code must equal the published program, from the JPEG to the mask."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from mmfss.datasets import Episode, FolderDataset, PASCAL5iDataset
from tests.conftest import pipeline
from tests.published import build, fill

DATA = Path(__file__).parent / 'data'
VGG16_WEIGHTS = 'vgg16_imagenet_torchvision.pth'


def check(model, golden, prefix, item, loss=None):
    """Compare one episode's every stage with the golden figures."""

    def figure(name):
        return golden[prefix + name]

    batch = model.data_preprocessor(pseudo_collate([item]))
    inputs, samples = batch['inputs'], batch['data_samples']
    label, supports = samples[0].gt_sem_seg.data, samples[0].support_masks
    query = inputs['query'][0].numpy()
    np.testing.assert_allclose(
        query[:, 100:116, 100:116], figure('query_img_patch'), atol=1e-5)
    np.testing.assert_allclose(
        query.mean(axis=(1, 2)), figure('query_img_mean'), atol=1e-5)
    assert (label == 1).sum() == figure('query_mask_sum')
    assert ((supports == 1).sum(dim=(1, 2)).numpy() ==
            figure('support_mask_sum')).all()
    if prefix + 'ignore_sum' in golden:
        assert (label == 255).sum() == figure('ignore_sum')

    with torch.no_grad():
        prediction = model(inputs, samples, mode='predict')[0]
        mask = prediction.pred_sem_seg.data.numpy().ravel()
        expected = np.unpackbits(figure('pred'))[:mask.size]
        assert (mask == expected).mean() >= 0.9999

        correlations = model.neck.correlate(
            model.extract_feat(inputs['query']),
            model.extract_feat(inputs['support'][:, 0]), supports[:1] == 1)
        for level, c in zip((4, 3, 2), correlations):
            np.testing.assert_allclose(
                c.mean(dim=(0, 2, 3, 4, 5)), figure(f'corr{level}_mean'), atol=1e-5)
            np.testing.assert_allclose(
                c[0, :, c.shape[2] // 2, c.shape[3] // 2, ::3, ::3],
                figure(f'corr{level}_slice'),
                atol=1e-5)

        samples[0].support_masks = supports[:1]
        inputs['support'] = inputs['support'][:, :1]
        logits = model(inputs, samples, mode='tensor')
        np.testing.assert_allclose(logits[0, 0], figure('logits'), atol=1e-4)
        if loss is None:
            loss = float(figure('loss'))
        ours = model(inputs, samples, mode='loss')['loss_ce']
        assert abs(float(ours) - loss) <= 1e-5


def check_bundled_photos(model, golden, objects30):
    """Compare a model that has the golden weights on the bundled photos."""
    dataset = FolderDataset(
        objects30, pipeline=pipeline(int(golden['size'])), test_mode=True)
    number = 0
    while f'ep{number}_query' in golden:
        query = str(golden[f'ep{number}_query'])
        supports = tuple(map(str, golden[f'ep{number}_supports']))
        class_id = dataset.metainfo['classes'].index(query.split('/')[0])
        dataset.episodes = [(0, Episode(class_id, query, supports))]
        check(model, golden, f'ep{number}_', dataset[0])
        number += 1
    assert number


@pytest.mark.parametrize('file, backbone', [
    ('objects30_vgg16_320', 'vgg16'),
    ('objects30_resnet50', 'resnet50'),
    ('objects30_resnet101_320', 'resnet101'),
])
def test_bundled_photos(file, backbone, objects30):
    golden = dict(np.load(DATA / f'{file}.npz'))
    model = build(backbone)
    fill(model, golden['decoder2.2.bias'])
    check_bundled_photos(model, golden, objects30)


@pytest.mark.parametrize('file, backbone, fold, shot', [
    ('vgg16_imagenet_fold0_1shot', 'vgg16', 0, 1),
    ('vgg16_imagenet_fold0_5shot', 'vgg16', 0, 5),
    ('resnet50_fold0_1shot', 'resnet50', 0, 1),
    ('resnet101_fold1_1shot', 'resnet101', 1, 1),
])
def test_voc_photos(file, backbone, fold, shot, voc_subset):
    golden = dict(np.load(DATA / f'{file}.npz'))
    losses = json.loads((DATA / 'loss_voc.json').read_text())
    weights = None
    if 'imagenet' in file:
        weights = voc_subset.parents[1] / 'weights' / VGG16_WEIGHTS
        if not weights.is_file():
            pytest.skip(f'there is no {weights}')
    model = build(backbone)
    fill(model, golden['decoder2.2.bias'], weights)
    dataset = PASCAL5iDataset(
        fold=fold,
        shot=shot,
        data_root=str(voc_subset / 'VOCdevkit' / 'VOC2012'),
        split_dir=str(voc_subset / 'splits' / 'pascal'),
        pipeline=pipeline(400),
        test_mode=True)
    number = 0
    while f'ep{number}_query' in golden:
        episode = dataset.get_episode(number)
        prefix = f'ep{number}_'
        assert episode.query == golden[prefix + 'query']
        assert list(episode.supports) == list(golden[prefix + 'supports'])
        assert episode.class_id == golden[prefix + 'class'][0]
        # the loss is that of the first support, so 1-shot's for 5-shot, too
        loss = losses[f'{file.replace("5shot", "1shot")}/ep{number}']
        check(model, golden, prefix, dataset[number], loss)
        number += 1
    assert number


@pytest.mark.parametrize('backbone, expected', [
    ('vgg16', 2_570_018),
    ('resnet50', 2_573_794),
    ('resnet101', 2_587_394),
])
def test_learnable_parameters(backbone, expected):
    model = build(backbone)
    assert sum(p.numel() for p in model.parameters()
               if p.requires_grad) == expected
