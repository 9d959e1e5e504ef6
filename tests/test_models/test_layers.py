import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfss.models.layers import (
    CenterPivotConv4d,
    hypercorrelation,
    kshot_vote,
    mask_features,
)


@pytest.mark.parametrize('kernel, stride', [(3, 1), (3, 2), (5, 4), (1, 3)])
@pytest.mark.parametrize('grid', [(5, 4, 13, 12), (3, 6, 2, 1), (4, 4, 1, 7)])
def test_center_pivot_is_a_sum_of_two_plane_convolutions(kernel, stride, grid):
    conv = CenterPivotConv4d(2, 3, kernel, stride)
    x = torch.randn(2, 2, *grid)
    y = conv(x)
    s, p = stride, kernel // 2
    a = F.conv2d(
        x[..., ::s, ::s].permute(0, 4, 5, 1, 2, 3).flatten(0, 2),
        conv.query_conv.weight, conv.query_conv.bias, padding=p)
    b = F.conv2d(
        x.permute(0, 2, 3, 1, 4, 5).flatten(0, 2),
        conv.support_conv.weight, conv.support_conv.bias, padding=p, stride=s)
    hs, ws = b.shape[-2:]
    a = a.view(2, hs, ws, 3, *grid[:2]).permute(0, 3, 4, 5, 1, 2)
    b = b.view(2, *grid[:2], 3, hs, ws).permute(0, 3, 1, 2, 4, 5)
    torch.testing.assert_close(y, a + b, atol=1e-5, rtol=1e-5)


def test_center_pivot_refuses_even_kernels():
    with pytest.raises(ValueError, match='odd'):
        CenterPivotConv4d(1, 1, 4)


def test_hypercorrelation_is_a_clamped_cosine():
    query, support = torch.randn(2, 7, 3, 4), torch.randn(6, 7, 2, 5)
    c = hypercorrelation([query, -query], [support, support])
    assert c.shape == (6, 2, 3, 4, 2, 5)
    for n in (0, 4):  # the second episode's supports are 3, 4, 5
        expected = F.cosine_similarity(
            query[n // 3, :, 1, 2], support[n, :, 0, 3], dim=0).item()
        assert c[n, 0, 1, 2, 0, 3].item() == pytest.approx(
            max(expected, 0), abs=1e-4)
        assert c[n, 1, 1, 2, 0, 3].item() == pytest.approx(
            max(-expected, 0), abs=1e-4)


def test_hypercorrelation_of_masked_out_features_is_zero():
    support = mask_features([torch.randn(1, 7, 4, 4)], torch.zeros(1, 30, 30))
    c = hypercorrelation([torch.randn(1, 7, 4, 4)], support)
    assert c.abs().max() == 0


def test_mask_is_resized_with_aligned_corners():
    mask = torch.zeros(1, 9, 9)
    mask[:, :, 4:] = 1
    masked, = mask_features([torch.ones(1, 2, 5, 5)], mask)
    assert masked[0, 1, 0].tolist() == [0, 0, 1, 1, 1]


@settings(deadline=None)
@given(st.integers(1, 10), st.integers(0, 2**31 - 1))
def test_vote(shots, seed):
    g = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 2, (3, shots, 4, 4), generator=g)
    masks[0] = 0
    voted = kshot_vote(masks)
    assert voted[0].sum() == 0  # no votes at all
    for image, result in zip(masks, voted):
        votes = image.sum(dim=0)
        expected = votes / max(int(votes.max()), 1) >= 0.5
        assert (result.bool() == expected).all()
    if shots == 1:
        assert (voted == masks[:, 0]).all()
