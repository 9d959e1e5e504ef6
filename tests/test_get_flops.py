"""The count of parameters and multiply-adds, run as a user runs it."""
import json

import pytest

from tests.conftest import REPO
from tests.tool import run_tool

CHANNELS = (16, 64, 128)
KERNELS = ((3, 3, 3), (5, 3, 3), (5, 5, 3))
STRIDES = ((2, 2, 2), (4, 2, 2), (4, 4, 2))


def get_flops(config, *args, ok=True):
    code, output = run_tool(
        'analysis_tools/get_flops.py', REPO / 'configs' / f'{config}.py', *args)
    assert (code == 0) == ok, output
    return output


def support_plane(k, c_in, c_out, query, before, after, shot):
    """A convolution over squares of a support plane, at ``query`` positions.

    On a plane no larger than its kernel it is a matrix product, for which the
    kernel is made a matrix once.
    """
    if before**2 > k**2:
        return shot * k**2 * c_in * c_out * query * after**2
    matrix = c_in * c_out * before**2 * after**2
    return shot * matrix * query + matrix * k**2


def conv4d(kernel_type, k, c_in, c_out, query, before, after, shot):
    """Multiply-adds of one convolution."""
    places = shot * query * after**2
    if kernel_type == 'FullConv4d':
        return k**4 * c_in * c_out * places
    width = c_in if kernel_type == 'CenterPivotConv4d' else c_out
    return k**2 * width * c_out * places + support_plane(
        k, c_in, c_out, query, before, after, shot)


def pyramid_by_hand(kernel_type, maps, sides, shot):
    """Squares of these sides, deep to shallow, for query and support alike."""
    total = 0
    for level, side in enumerate(sides):
        support, c_in = side, maps[level]
        for k, stride, c_out in zip(KERNELS[level], STRIDES[level], CHANNELS):
            before, support = support, -(-support // stride)
            total += conv4d(kernel_type, k, c_in, c_out, side**2, before, support,
                            shot)
            c_in = c_out
        if level:  # mixing
            total += 3 * conv4d(kernel_type, 3, 128, 128, side**2, support,
                                support, shot)
    return total


@pytest.mark.parametrize('shot', [1, 2])
@pytest.mark.parametrize('kernel_type', [
    'CenterPivotConv4d', 'FullConv4d', 'SeparableConv4d'
])
def test_counts_equal_hand_formulas(kernel_type, shot):
    result = json.loads(
        get_flops('hsnet_resnet50_pascal5i_fold0', '--shape', 64, '--shot', shot,
                  '--json', '--cfg-options',
                  f'model.neck.conv_cfg.type={kernel_type}'))
    sides, maps, widths = (2, 4, 8), (3, 6, 4), (2048, 1024, 512)
    counted = result['multiply_adds']
    assert counted['pyramid'] == pyramid_by_hand(kernel_type, maps, sides, shot)
    assert counted['correlation'] == shot * sum(
        n * width * side**4 for side, n, width in zip(sides, maps, widths))
    before, after = 8**2, 16**2
    assert counted['decoder'] == shot * 9 * (
        before * (128 * 128 + 128 * 64) + after * (64 * 64 + 64 * 2))
    # torchvision gives 4.09 G multiply-adds for 224 x 224 and the classifier
    assert counted['backbone'] == pytest.approx(
        (1 + shot) * 4.09e9 * (64 / 224)**2, rel=0.01)
    assert counted['total'] == sum(
        counted[part]
        for part in ('backbone', 'correlation', 'pyramid', 'decoder'))
    assert result['parameters']['total']['frozen'] == 23_508_032
    assert result['peak_memory'] > 100e6
    assert result['published_gflops'] is None


def test_table_has_the_published_figure_beside():
    output = get_flops('hsnet_resnet101_pascal5i_fold0')
    total, = [line for line in output.splitlines() if 'total' in line]
    assert '2,587,394' in total and '42,500,160' in total
    assert '20.6 GFLOPs (counting method not published)' in output
    assert 'Peak memory' in output


def test_published_figure_is_of_the_whole_model_only():
    output = get_flops('hsnet-deep_resnet101_pascal5i_fold0', '--shape', 64, 96)
    assert '64 x 96 pixels' in output
    assert 'GFLOPs' not in output


def test_model_without_a_pyramid_is_refused_in_one_line():
    message, = get_flops('prototype_vgg16_pascal5i_fold0', ok=False).splitlines()
    assert 'PrototypeNet' in message and 'no neck' in message


def test_option_without_a_value_is_refused():
    output = get_flops(
        'hsnet_resnet50_pascal5i_fold0', '--cfg-options', 'model', ok=False)
    assert output.splitlines()[-1].endswith(
        '--cfg-options: expected key=value, not model')
