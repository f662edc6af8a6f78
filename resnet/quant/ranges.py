"""The range of each activation that 8 bits cover, chosen from its values on the calibration's pictures.

torch's observers know no e4m3, search in Python for seconds each, and leave torch for another package, whose histograms
depend on the order of the pictures; ONNX Runtime's divergence has as many bins as levels, and so clips nothing. Here a
method is a cost of a grid, which one search for every format makes least.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from pathlib import Path
from threading import Lock
from typing import TypeVar

import torch
from torch import Tensor

from resnet.cache import cached_file
from resnet.calibration import Calibration
from resnet.quant.network import INPUT, Ranges, Scheme, grid, run_steps
from resnet.quant.steps import CODES, Grid, Step

BINS = 8192  # on each side of zero: 16 or more for each level of 8 bits
OUTERMOST = 1e-5  # share of the values that `percentile` leaves out
# Pictures in one forward pass, and the most of them at once. They bound the memory; other counts of pictures and of
# cores in one pass are computed with other roundings.
CHUNK, AT_ONCE = 2, 8
RECIPE = 1  # raise it where the same values give other ranges than before
# The search: ranges this much narrower than the widest, and then as many between the neighbours of the best.
_COARSE, _FINE = [2.0 ** (-step / 8) for step in range(64)], [2.0 ** (step / 64) for step in range(-7, 8)]

Cost = Callable[[Grid], float]
S = TypeVar("S")
T = TypeVar("T")


class Histogram:
    """Counts of an activation's values: in bins whose width is a power of two and doubles where a value is larger.

    So the same values give the same counts, in whatever order and parts they come. Zeros, which every grid has exactly,
    are counted apart; `low` and `high` are the least and the largest value.
    """

    def __init__(self) -> None:
        """Begin without a value."""
        self.low, self.high, self.zeros = math.inf, -math.inf, 0
        self._counts = torch.zeros(2 * BINS, dtype=torch.int64)
        self._exponent = -60  # values are less than 2 to this
        self._lock = Lock()

    def add(self, values: Tensor) -> None:
        """Count the values of a float tensor. Raises ValueError for one that is not finite."""
        flat = values.detach().float().flatten()
        low, high = (float(end) for end in flat.aminmax())
        if not math.isfinite(low) or not math.isfinite(high):
            raise ValueError("an activation is not finite in float32 on the calibration's pictures")
        with self._lock:
            self.low, self.high = min(low, self.low), max(high, self.high)
            for _ in range(math.frexp(max(-low, high))[1] - self._exponent):
                self._exponent += 1
                pairs = self._counts.reshape(-1, 2).sum(1)
                self._counts = torch.nn.functional.pad(pairs, (BINS // 2, BINS // 2))
            bins = (flat * (1 / self._width)).floor_().to(torch.int32).add_(BINS)
            self._counts += torch.bincount(bins, minlength=2 * BINS)
            zeros = flat.numel() - int(torch.count_nonzero(flat))
            self.zeros += zeros
            self._counts[BINS] -= zeros

    @property
    def _width(self) -> float:
        return math.ldexp(1, self._exponent) / BINS

    def bins(self) -> tuple[Tensor, Tensor]:
        """Return the middles of the bins that hold values, ascending, and their counts, zeros left out: float64."""
        filled = self._counts.nonzero().flatten()
        middles = (filled - BINS + 0.5).double() * self._width
        return middles.clamp(self.low, self.high), self._counts[filled].double()


def choose(histogram: Histogram, method: str, scheme: Scheme) -> tuple[float, float]:
    """Return the least and largest value that 8 bits are to cover, never outside those that occurred, and zero.

    `method` is a key of METHODS.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    middles, counts = histogram.bins()
    if method == "minmax" or not len(middles):
        return low, high
    together = scheme.activations != "uint8"  # both ends are the same distance from zero
    if method == "percentile":
        return _percentile(middles, counts, low, high, together, float(counts.sum()) + histogram.zeros)
    cost = _squared_error if method == "mse" else _divergence
    return _search(lambda candidate: cost(candidate, middles, counts), low, high, together, scheme)


def on_cores(function: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Return what a function makes of each item, in order; as many run at once as torch has threads, AT_ONCE at most.

    Each runs on one core, without gradients: convolutions shared among cores sum in an order that their number decides.
    """
    threads = torch.get_num_threads()

    def run(item: S) -> T:
        torch.set_num_threads(1)
        with torch.no_grad():
            return function(item)

    try:
        with ThreadPoolExecutor(min(threads, AT_ONCE)) as pool:
            return list(pool.map(run, items))
    finally:
        torch.set_num_threads(threads)


def observe(steps: Sequence[Step], pictures: Tensor) -> dict[str, Histogram]:
    """Return the histogram of every activation of float steps on pictures [N, C, H, W]."""
    histograms = {name: Histogram() for name in (INPUT, *(step.name for step in steps))}

    def count(chunk: Tensor) -> None:
        for name, values in run_steps(steps, chunk).activations.items():
            histograms[name].add(values)

    on_cores(count, pictures.split(CHUNK))
    return histograms


def choose_all(histograms: Mapping[str, Histogram], method: str, scheme: Scheme) -> Ranges:
    """Return the ranges of activations by name, each by `choose`."""
    chosen = on_cores(lambda histogram: choose(histogram, method, scheme), histograms.values())
    return dict(zip(histograms, chosen, strict=True))


def calibrate(steps: Sequence[Step], calibration: Calibration, scheme: Scheme) -> Ranges:
    """Return the range of every activation of float steps, read from the cache where it has them.

    The same steps, pictures and method have the same ranges, to the last bit, on the same kind of CPU with the same
    torch, whatever the number of threads.
    """
    key = f"ranges {describe_calibration(steps, calibration, scheme)}"

    def write(path: Path) -> None:
        seen = observe(steps, calibration.pictures)
        path.write_text(json.dumps(choose_all(seen, calibration.method, scheme)))

    path, _ = cached_file(key, ".json", write)
    return {name: (low, high) for name, (low, high) in json.loads(path.read_text()).items()}


def describe_calibration(steps: Sequence[Step], calibration: Calibration, scheme: Scheme) -> str:
    """Return all that ranges depend on in a line, for a cache's key: method, formats, software, steps and pictures."""
    capability = torch.backends.cpu.get_cpu_capability()
    facts = [RECIPE, calibration.method, scheme.activations, torch.__version__, capability]
    computed = hashlib.sha256(json.dumps(_content(tuple(steps))).encode()).hexdigest()
    return f"{facts} {computed} {tensor_digest(calibration.pictures)}"


def digest(ranges: Ranges) -> str:
    """Return a digest of ranges, 16 hexadecimal digits: equal where every end is equal to the last bit."""
    words = json.dumps({name: [end.hex() for end in ranges[name]] for name in sorted(ranges)})
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _percentile(
    middles: Tensor, counts: Tensor, low: float, high: float, together: bool, total: float
) -> tuple[float, float]:
    """Return the range without the outermost values: those farthest from zero, or where ends differ half at each."""
    share = OUTERMOST * total
    if together:
        order = middles.abs().argsort(descending=True)
        end = float(middles.abs()[order][_first_over(counts[order], share)])
        return max(low, -end), min(high, end)
    share = share / 2 if low < 0 < high else share
    upper = float(middles[len(middles) - 1 - _first_over(counts.flip(0), share)])
    lower = float(middles[_first_over(counts, share)])
    return max(low, min(lower, 0.0)), min(high, max(upper, 0.0))


def _first_over(counts: Tensor, share: float) -> int:
    """Return the index at which the sum of the counts first is more than `share`, or the last."""
    return min(int((counts.cumsum(0) <= share).sum()), len(counts) - 1)


def _search(cost: Cost, low: float, high: float, together: bool, scheme: Scheme) -> tuple[float, float]:
    """Return the range whose grid costs least: both ends drawn in alike, and then each, where they may differ."""
    largest = max(-low, high)
    ends = ((True, True),) if together or not low < 0 < high else ((True, True), (False, True), (True, False))

    def drawn_in(share: float, which: tuple[bool, bool], start: tuple[float, float]) -> tuple[float, float]:
        if together:
            return max(low, -share * largest), min(high, share * largest)
        return start[0] * (share if which[0] else 1), start[1] * (share if which[1] else 1)

    best = (low, high)
    for which in ends:
        start, least = best, 1.0
        for factors in (_COARSE, _FINE):
            shares = [least * factor for factor in factors if least * factor <= 1]
            least = min(shares, key=lambda share: cost(grid(*drawn_in(share, which, start), scheme)))
        best = drawn_in(least, which, start)
    return best


def _squared_error(candidate: Grid, middles: Tensor, counts: Tensor) -> float:
    """Return the sum of the squared errors that rounding to a grid, and clipping to it, make."""
    return float((counts * (candidate.values(candidate.codes(middles)) - middles) ** 2).sum())


def _divergence(candidate: Grid, middles: Tensor, counts: Tensor) -> float:
    """Return the Kullback-Leibler divergence of TensorRT's calibrator: of values clipped from values rounded.

    What is clipped is counted in the outermost bins that are not; each code's values are spread evenly over its bins.
    """
    least, largest, _ = CODES[candidate.kind]
    places = middles / candidate.scale + candidate.zero
    inside = ((places >= least - 0.5) & (places <= largest + 0.5)).nonzero().flatten()
    if not len(inside):
        return math.inf
    first, last = int(inside[0]), int(inside[-1]) + 1
    clipped = counts[first:last].clone()
    clipped[0] += counts[:first].sum()
    clipped[-1] += counts[last:].sum()
    codes = candidate.codes(middles[first:last]).view(torch.uint8).long()
    total, bins = (torch.bincount(codes, weights, 256) for weights in (counts[first:last], None))
    spread = (total / bins)[codes]
    clipped, spread = clipped / clipped.sum(), spread / spread.sum()
    return float((clipped * (clipped / spread).log()).sum())


def _content(value: object) -> object:
    """Return a value as JSON has it: the fields of a dataclass, and the digest of a tensor."""
    if isinstance(value, Tensor):
        return tensor_digest(value)
    if is_dataclass(value):
        return [_content(getattr(value, field.name)) for field in fields(value)]
    return [_content(part) for part in value] if isinstance(value, tuple) else str(value)


def tensor_digest(tensor: Tensor) -> str:
    """Return a digest of a tensor's type, shape and values."""
    total = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    total.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return total.hexdigest()
