from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from resnet import cache
from resnet.calibration import METHODS, Calibration
from resnet.fold import fold
from resnet.model import ResNet
from resnet.quant.network import Scheme, float_steps, grid, quantize, run_steps
from resnet.quant.ranges import BINS, Histogram, calibrate, choose, choose_all, digest, observe

UINT8, INT8, E4M3 = Scheme("uint8"), Scheme("int8"), Scheme("e4m3", "e4m3")


def counted(*parts: Tensor) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def normal(count: int = 100_000) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def error(values: Tensor, ends: tuple[float, float], scheme: Scheme) -> float:
    """Mean squared error of the values themselves, on the grid of a range."""
    chosen = grid(*ends, scheme)
    return float(((chosen.values(chosen.codes(values.double())) - values) ** 2).mean())


def test_the_same_values_give_the_same_counts_in_any_order_and_parts() -> None:
    values = torch.cat([normal(), normal(1000) * 500, torch.zeros(50)])
    small = values[values.abs() < 1e-3]  # their bins double twenty times
    one, other = counted(values), counted(small, values[values.abs() >= 1e-3].flip(0))
    assert (one.low, one.high, one.zeros) == (float(values.min()), float(values.max()), 50)
    for mine, theirs in zip(one.bins(), other.bins(), strict=True):
        assert torch.equal(mine, theirs)
    assert one.bins()[1].sum() + 50 == len(values)


def test_every_value_is_in_the_bin_around_it() -> None:
    values = normal(2000)
    middles, counts = counted(values).bins()
    width = 2.0 ** torch.frexp(values.abs().max()).exponent.item() / BINS
    nearest = (values.double()[:, None] - middles).abs().amin(1)
    assert float(nearest.max()) <= width / 2 + 1e-12
    assert float((middles * counts).sum() / counts.sum() - values.mean()) == pytest.approx(0, abs=width / 2)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_have_no_range(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        counted(torch.tensor([1.0, bad]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scheme", [UINT8, INT8, E4M3])
def test_a_range_is_among_the_values_and_has_zero(method: str, scheme: Scheme) -> None:
    for values in (normal(), normal().relu(), normal().abs() + 3, torch.zeros(5), torch.tensor([-2.0])):
        low, high = choose(counted(values), method, scheme)
        assert min(float(values.min()), 0) <= low <= 0 <= high <= max(float(values.max()), 0)
    assert choose(counted(torch.zeros(5)), method, scheme) == (0, 0)


def test_minmax_is_exact() -> None:
    values = normal()
    assert choose(counted(values), "minmax", UINT8) == (float(values.min()), float(values.max()))


def test_percentile_leaves_out_one_value_in_100000() -> None:
    values = torch.linspace(0, 1, 200_001)[1:]
    far = torch.tensor([50.0, 70.0])
    _, high = choose(counted(values, far), "percentile", UINT8)
    assert high == pytest.approx(1, rel=0.01)
    _, kept = choose(counted(values, far, far), "percentile", UINT8)  # four far ones: two of them are covered
    assert kept == pytest.approx(50, rel=0.01)
    low, high = choose(counted(values, -far), "percentile", INT8)  # on both sides alike
    assert [low, high] == pytest.approx([-1, 1], rel=0.01)


@pytest.mark.parametrize("scheme", [UINT8, INT8])
@pytest.mark.parametrize("shape", ["normal", "relu", "outlier", "lopsided"])
def test_mse_has_the_least_error_of_a_plain_search_over_the_values(scheme: Scheme, shape: str) -> None:
    values = {
        "normal": normal(),
        "relu": normal().relu(),
        "outlier": torch.cat([normal(), torch.tensor([40.0])]),
        "lopsided": torch.cat([normal().clamp(min=-0.3), torch.tensor([9.0])]),
    }[shape]
    low, high = float(values.min().clamp(max=0)), float(values.max())
    tried = [i / 40 for i in range(1, 41)]
    plain = min(error(values, (low * a, high * b), scheme) for a in tried for b in tried)
    assert error(values, choose(counted(values), "mse", scheme), scheme) <= 1.02 * plain
    assert plain < error(values, (low, high), scheme)


@pytest.mark.parametrize("scheme", [UINT8, INT8])
def test_entropy_clips_outliers_and_keeps_most(scheme: Scheme) -> None:
    values = torch.cat([normal().relu(), torch.tensor([40.0, 45.0])])
    _, high = choose(counted(values), "entropy", scheme)
    assert 2 < high < 10
    assert choose(counted(torch.rand(100_000)), "entropy", scheme)[1] > 0.9  # nothing is rare in a uniform one


@pytest.fixture(scope="module")
def network(build: Callable[[str], ResNet]) -> ResNet:
    return fold(build("resnet18-digits"))  # type: ignore[return-value]


def test_ranges_are_cached_and_deterministic(
    network: ResNet, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    steps, pictures = float_steps(network, True), torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        first = calibrate(steps, Calibration(pictures, "minmax"), UINT8)
        with monkeypatch.context() as patch:
            patch.setattr("resnet.quant.ranges.observe", None)  # what is cached is not observed again
            assert calibrate(steps, Calibration(pictures, "minmax"), UINT8) == first
        torch.set_num_threads(2)
        anew = choose_all(observe(steps, pictures), "minmax", UINT8)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert digest(anew) == digest(first)
    others = [
        calibrate(steps, Calibration(pictures, "mse"), UINT8),
        calibrate(steps, Calibration(pictures.flip(3), "minmax"), UINT8),
        calibrate(float_steps(network, False), Calibration(pictures, "minmax"), UINT8),
    ]
    assert len({digest(ranges) for ranges in (first, *others)}) == 4


def test_a_network_in_8_bits_on_chosen_ranges_is_near_the_float_one(network: ResNet) -> None:
    steps = float_steps(network, False)
    pictures = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = observe(steps, pictures[:4])
    exact = run_steps(steps, pictures[4:]).logits
    for scheme, most in ((UINT8, 0.25), (INT8, 0.4), (E4M3, 0.5)):
        ranges = choose_all(seen, "mse", scheme)
        off = run_steps(quantize(steps, ranges, scheme), pictures[4:]).logits - exact
        assert 0 < float(off.norm() / (exact - exact.mean(0)).norm()) < most
