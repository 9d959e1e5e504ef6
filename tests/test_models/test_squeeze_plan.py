"""The squeeze's kernels and strides follow from the levels' strides."""
import math

import pytest
import torch

from mmfss.models import HypercorrelationPyramid
from mmfss.models.necks.squeeze_plan import squeeze_plan
from tests.test_models.test_hsnet import MOBILENET, episodes, hsnet

PUBLISHED = ([[3, 3, 3], [5, 3, 3], [5, 5, 3]], [[2, 2, 2], [4, 2, 2],
                                                 [4, 4, 2]])


def plan_of(neck):
    """The plan that a neck was built with."""
    convs = [[layer for layer in block if hasattr(layer, 'support_stride')]
             for block in neck.squeeze]
    return ([[conv.kernel_size for conv in block] for block in convs],
            [[conv.support_stride for conv in block] for block in convs])


@pytest.mark.parametrize('backbone', [
    dict(type='mmpretrain.VGG', depth=16),
    dict(type='mmpretrain.ResNet', depth=50),
    dict(type='mmpretrain.ResNet', depth=101), MOBILENET
], ids=['vgg16', 'resnet50', 'resnet101', 'mobilenetv2'])
def test_published_backbones_get_the_published_plan(backbone):
    assert plan_of(hsnet(backbone).neck) == PUBLISHED
    assert plan_of(HypercorrelationPyramid((1, 1, 1))) == PUBLISHED


@pytest.mark.parametrize('strides, support_strides', [
    ([14], [[4, 2, 2]]),
    ([16], [[4, 2, 2]]),
    ([32, 16, 8, 4], [*PUBLISHED[1], [4, 4, 4]]),
    ([45, 19, 9], [[2, 2, 2], [4, 2, 2], [4, 4, 2]]),
    ([64, 128, 256, 1000], [[2, 2, 1], [2, 1, 1], [1, 1, 1], [1, 1, 1]]),
])
def test_other_strides(strides, support_strides):
    kernels, plan = squeeze_plan(strides)
    assert plan == support_strides
    assert all(k % 2 and k > s for level in zip(kernels, plan)
               for k, s in zip(*level))


@pytest.mark.parametrize('steps', [1, 2, 4])
def test_any_number_of_steps(steps):
    kernels, plan = squeeze_plan([8], steps)
    assert len(kernels[0]) == len(plan[0]) == steps
    assert math.prod(plan[0]) == 32


def test_written_out_plan_wins():
    kernels, strides = [[5, 3, 3]] * 3, [[1, 2, 4]] * 3
    neck = hsnet(neck=dict(kernel_sizes=kernels, support_strides=strides)).neck
    assert plan_of(neck) == (kernels, strides)
    neck = hsnet(neck=dict(support_strides=strides)).neck
    assert plan_of(neck) == (PUBLISHED[0], strides)


@pytest.mark.parametrize('neck, message', [
    (dict(kernel_sizes=[[3, 3, 3], [3, 3], [3, 3, 3]]),
     'kernel_sizes.*3, as channels.*level 1 has 2'),
    (dict(support_strides=[[2, 2, 2], [4, 2, 2], [4, 4, 2, 1]]),
     'support_strides.*3, as channels.*level 2 has 4'),
    (dict(channels=(8, 16), kernel_sizes=PUBLISHED[0]),
     'kernel_sizes.*2, as channels.*level 0 has 3'),
    (dict(kernel_sizes=PUBLISHED[0][:2]),
     r'kernel_sizes.*one item per level \(3, as in_channels.*has 2 level\(s\)'),
    (dict(strides=[16]), 'kernel_sizes.*one item per level.*has 1 level'),
])
def test_a_plan_that_does_not_fit(neck, message):
    with pytest.raises(ValueError, match=message):
        HypercorrelationPyramid((1, 2, 3), **neck)


@pytest.mark.parametrize('height, width', [(32, 32), (33, 95)])
def test_map_smaller_than_its_kernel(height, width):
    """One position at stride 32, beneath a kernel of 3."""
    model = hsnet().eval()
    inputs, samples = episodes(2, 1, height, width)
    with torch.no_grad():
        logits = model(inputs, samples, mode='tensor')
    assert logits.isfinite().all()
