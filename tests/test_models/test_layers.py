import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mmfss.models.layers import (
    CenterPivotConv4d,
    FullConv4d,
    SeparableConv4d,
    center_pivot_conv4d,
    channels_last,
    group_norm,
    hypercorrelation,
    kshot_vote,
    unit_features,
)
from mmfss.models.layers.limits import numbers_at_a_time

KERNELS = [CenterPivotConv4d, FullConv4d, SeparableConv4d]


class Gated(CenterPivotConv4d):

    def forward(self, x):
        return 0 * super().forward(x)


def test_a_subclass_with_its_own_forward_correlates_by_it():
    maps = torch.rand(1, 4, 5, 5), torch.rand(1, 4, 6, 6)
    y = Gated(1, 2, 3).correlate(*([m] for m in maps))
    assert y.shape == (1, 2, 5, 5, 6, 6) and not y.any()


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


def full_conv4d_by_definition(x, weight, bias, stride):
    """Each output is a sum over the kernel's four sides, zeros outside."""
    p = weight.shape[-1] // 2
    padded = F.pad(x, (p, p) * 4)
    hq, wq = x.shape[2:4]
    hs, ws = (-(-side // stride) for side in x.shape[4:])
    y = torch.zeros(len(x), len(weight), hq, wq, hs, ws)
    for h, w, i, j in itertools.product(*map(range, (hq, wq, hs, ws))):
        y[:, :, h, w, i, j] = bias
        for a, b, c, d in itertools.product(range(weight.shape[-1]), repeat=4):
            seen = padded[:, :, h + a, w + b, i * stride + c, j * stride + d]
            y[:, :, h, w, i, j] += seen @ weight[:, :, a, b, c, d].T
    return y


@pytest.mark.parametrize('kernel, stride', [(3, 1), (3, 2), (1, 3), (5, 4)])
@pytest.mark.parametrize('grid', [(2, 3, 4, 3), (3, 1, 5, 2)])
def test_full_kernel_is_the_sum_over_four_dimensions(kernel, stride, grid):
    conv = FullConv4d(2, 3, kernel, stride)
    x = torch.randn(2, 2, *grid)
    with torch.no_grad():
        expected = full_conv4d_by_definition(x, conv.weight, conv.bias, stride)
        torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('kernel, stride', [(3, 1), (3, 2), (5, 4)])
def test_full_kernel_holds_the_others(kernel, stride):
    """Center-pivot and separable kernels are full kernels of a certain form."""
    x = torch.randn(2, 2, 4, 5, 7, 6)
    full = FullConv4d(2, 3, kernel, stride)
    center = kernel // 2
    with torch.no_grad():
        pivot = CenterPivotConv4d(2, 3, kernel, stride)
        full.weight.zero_()
        full.weight[..., center, center] += pivot.query_conv.weight
        full.weight[:, :, center, center] += pivot.support_conv.weight
        full.bias.copy_(pivot.query_conv.bias + pivot.support_conv.bias)
        torch.testing.assert_close(full(x), pivot(x), atol=1e-5, rtol=1e-4)

        separable = SeparableConv4d(2, 3, kernel, stride)
        full.weight.copy_(
            torch.einsum('omab,micd->oiabcd', separable.query_conv.weight,
                         separable.support_conv.weight))
        full.bias.copy_(separable.query_conv.bias)
        torch.testing.assert_close(full(x), separable(x), atol=1e-5, rtol=1e-4)


def test_full_kernel_starts_as_pytorchs_convolutions():
    torch.manual_seed(0)
    conv = FullConv4d(16, 64, 3)
    bound = (16 * 3**4)**-0.5
    for values in (conv.weight, conv.bias):
        assert bound * 0.9 < values.abs().max() <= bound


@pytest.mark.parametrize('channels', [4, 16])
@pytest.mark.parametrize('kernel', KERNELS)
def test_any_memory_layout(kernel, channels):
    conv = kernel(channels, 8, 3, 2)
    x = torch.randn(2, channels, 4, 5, 6, 3)
    y = conv(x)
    torch.testing.assert_close(conv(channels_last(x)), y)
    torch.testing.assert_close(conv(x.mT.contiguous().mT), y)


@pytest.mark.parametrize('learn', [False, True])
@pytest.mark.parametrize('kernel', KERNELS)
def test_hypercorrelation_need_not_exist_as_a_whole(kernel, learn, monkeypatch):
    """Neither for the result nor for the gradients."""
    two_rows = 4 * 3 * 7 * 5 * 6 * 2
    monkeypatch.setattr(center_pivot_conv4d, '_CPU_BYTES', two_rows)
    torch.manual_seed(0)
    conv = kernel(3, 8, 3, 2)
    maps = [torch.randn(2, 6, *size, requires_grad=learn)
            for size in ((5, 7), (5, 6)) for _ in range(3)]
    query, support = unit_features(maps[:3]), unit_features(maps[3:])
    results = []
    for y in (conv(hypercorrelation(query, support)),
              conv.correlate(query, support)):
        loss = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum()
        inputs = [*conv.parameters(), *(maps if learn else [])]
        results.append((y, torch.autograd.grad(loss, inputs, retain_graph=True)))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(
    sides=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    corners=st.tuples(*[st.integers(0, 13)] * 4),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 4))
def test_the_object_alone_is_correlated(sides, corners, kernel, stride):
    """Wherever it lies: the same values and gradients; it may be nowhere."""
    torch.manual_seed(0)
    conv = CenterPivotConv4d(2, 3, kernel, stride)
    query = unit_features([torch.rand(1, 4, 3, 2) for _ in range(2)])
    support = [torch.rand(1, 4, *sides) for _ in range(2)]
    top, bottom, left, right = corners
    for x in support:
        mask = torch.zeros(sides)
        mask[top:bottom + 1, left:right + 1] = 1
        x *= mask
    support = unit_features(support)
    results = []
    for y in (conv(hypercorrelation(query, support)),
              conv.correlate(query, support)):
        loss = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum()
        results.append((y, torch.autograd.grad(loss, list(conv.parameters()))))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kernel', [CenterPivotConv4d, SeparableConv4d])
def test_gradients(kernel, stride):
    """Numerically; of the input, the weights and the biases."""
    torch.manual_seed(0)
    conv = kernel(2, 3, 3, stride).double()
    x = torch.randn(2, 2, 3, 2, 3, 3, dtype=torch.double, requires_grad=True)

    def run(x, *weights):  # the convolution's own, changed in place
        return conv(x)

    assert torch.autograd.gradcheck(run, (x, *conv.parameters()))


@pytest.mark.parametrize('corners', [(0, 0, 0, 0), (2, 5, 3, 3), (0, 7, 0, 6)])
def test_gradients_around_the_object(corners):
    """Where nothing is correlated, the biases have theirs."""
    torch.manual_seed(0)
    conv = CenterPivotConv4d(1, 2, 3, 2).double()
    query = torch.rand(1, 3, 2, 2, dtype=torch.double)
    support = torch.zeros(1, 3, 9, 8, dtype=torch.double)
    top, bottom, left, right = corners
    support[..., top:bottom + 1, left:right + 1] = torch.rand(1).item()

    def run(*weights):  # the convolution's own, changed in place
        return conv.correlate([query], [support])

    assert torch.autograd.gradcheck(run, list(conv.parameters()))


def test_gradients_in_mixed_precision():
    """Of the weights in float32, and close to float32's."""
    torch.manual_seed(0)
    conv = CenterPivotConv4d(4, 8, 3, 2)
    x = torch.randn(1, 4, 6, 5, 4, 4)
    gradients = []
    for enabled in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            y = conv(x)
        loss = (y.float() * torch.linspace(-1, 1, y.numel()).view_as(y)).sum()
        gradients.append(torch.autograd.grad(loss, list(conv.parameters())))
    for full, mixed in zip(*gradients):
        assert mixed.dtype == torch.float32
        assert (full - mixed).abs().max() <= 0.02 * full.abs().max()


def test_the_background_costs_no_multiplications():
    """An object of 4 x 4 in 20 x 20: the convolutions' reach around it, too."""
    conv = CenterPivotConv4d(2, 3, 5, 4)
    query = unit_features([torch.rand(1, 4, 20, 20) for _ in range(2)])
    counts = []
    for background in (0, 1):
        support = [torch.full((1, 4, 20, 20), float(background)) for _ in range(2)]
        for x in support:
            x[..., 8:12, 8:12] = 1
        with FlopCounterMode(display=False) as counter:
            conv.correlate(query, unit_features(support))
        counts.append(counter.get_total_flops())
    assert counts[0] < 0.4 * counts[1]


@pytest.mark.parametrize('pixels', [(40, 8000), (13**2, 13**2)])
def test_group_norm_keeps_its_digits(pixels):
    """PyTorch's own would be off by more than 1e-4, and 1e-5."""
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(4, 16)
    torch.nn.init.normal_(norm.weight)
    image = (2 + torch.randn(2, *pixels, 16)).movedim(-1, 1)
    weights = torch.randn(image.shape)
    results = []
    for kind, apply in ((torch.float32, lambda x: group_norm(norm, x)),
                        (torch.float64, lambda x: norm.double()(x.contiguous()))):
        x = image.to(kind, copy=True).requires_grad_()
        y = apply(x)
        loss = (y * weights).mean()
        results.append((y, *torch.autograd.grad(loss, (x, *norm.parameters()))))
    tolerances = (2e-6, 2e-4, 2e-4, 2e-4)  # the gradients' sums are PyTorch's
    for ours, exact, tolerance in zip(*results, tolerances):
        assert (ours - exact).abs().max() <= tolerance * exact.abs().max()


def test_group_norm_without_weights():
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(4, 16, affine=False)
    image = torch.randn(1, 128, 128, 16).movedim(-1, 1)
    expected = norm(image.double()).float()
    torch.testing.assert_close(group_norm(norm, image), expected)


def test_unit_features_do_not_overflow():
    """In float16 the lengths of these would."""
    features = 10_000 * torch.rand(1, 512, 4, 4)
    expected, = unit_features([features])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        units, = unit_features([features.half()])
        c = hypercorrelation([units], [units])
    assert units.dtype == c.dtype == torch.bfloat16
    torch.testing.assert_close(units.float(), expected, rtol=1e-2, atol=1e-2)
    diagonal = c[0, 0].flatten(0, 1).flatten(1).diagonal()
    torch.testing.assert_close(
        diagonal.float(), torch.ones(16), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize('kernel', KERNELS)
def test_even_kernels_are_refused(kernel):
    with pytest.raises(ValueError, match='odd'):
        kernel(1, 1, 4)


def test_hypercorrelation_is_a_clamped_cosine():
    query, support = torch.randn(2, 7, 3, 4), torch.randn(2, 7, 2, 5)
    c = hypercorrelation(
        unit_features([query, -query]), unit_features([support, support]))
    assert c.shape == (2, 2, 3, 4, 2, 5)
    for n in range(2):
        expected = F.cosine_similarity(
            query[n, :, 1, 2], support[n, :, 0, 3], dim=0).item()
        assert c[n, 0, 1, 2, 0, 3].item() == pytest.approx(
            max(expected, 0), abs=1e-4)
        assert c[n, 1, 1, 2, 0, 3].item() == pytest.approx(
            max(-expected, 0), abs=1e-4)


@pytest.mark.parametrize('learn', [False, True])
@pytest.mark.parametrize('queries', [1, 2, 4])
def test_each_support_needs_a_query(queries, learn):
    query, support = (torch.rand(n, 7, 3, 3, requires_grad=learn)
                      for n in (queries, 3))
    for correlate in (hypercorrelation, CenterPivotConv4d(1, 2, 3).correlate):
        with pytest.raises(ValueError, match=f'{queries} queries.*3 supports'):
            correlate([query], [support])


@pytest.mark.parametrize('device, dtype, numbers', [
    ('cpu', torch.float32, 250), ('cpu', torch.bfloat16, 500),
    ('meta', torch.float32, 2**28), ('meta', torch.float16, 2**29)])
def test_limits_are_bytes(device, dtype, numbers):
    x = torch.empty(1, dtype=dtype, device=device)
    assert numbers_at_a_time(x, 1000) == numbers


def test_hypercorrelation_of_masked_out_features_is_zero():
    c = hypercorrelation(
        unit_features([torch.randn(1, 7, 4, 4)]),
        unit_features([torch.randn(1, 7, 4, 4)], torch.zeros(1, 30, 30)))
    assert c.abs().max() == 0


def test_mask_is_resized_with_aligned_corners():
    mask = torch.zeros(1, 9, 9)
    mask[:, :, 4:] = 1
    masked, = unit_features([torch.ones(1, 4, 5, 5)], mask)
    assert masked[0, 1, 0].tolist() == pytest.approx([0, 0, 0.5, 0.5, 0.5], abs=1e-4)


def test_masked_features_are_scaled_before_their_length_is_taken():
    """At the object's border, where a resized mask is neither 0 nor 1."""
    torch.manual_seed(0)
    features, mask = torch.rand(2, 6, 7, 9), torch.rand(2, 7, 9)
    masked, = unit_features([features], mask, eps=0.1)
    expected, = unit_features([features * mask[:, None]], eps=0.1)
    torch.testing.assert_close(masked, expected)


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
