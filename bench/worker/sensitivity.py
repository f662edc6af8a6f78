"""What 8 bits cost by layer, or by way of calibrating, simulated on pictures that calibrated nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import ceil
from typing import Any, cast

from torch import Tensor

from bench.runs.job import Notify
from bench.runs.kernel_jobs import SensitivityAnswer, SensitivityJob
from bench.worker.models import Built, build_model, draw
from bench.worker.prepare import draw_calibration
from bench.worker.runtime import describe_runtime
from resnet.calibration import METHODS
from resnet.fold import fold
from resnet.inputs import Source, find_source
from resnet.model import ResNet
from resnet.outside.sources import ModelError
from resnet.quant import effects as quant
from resnet.quant.network import Ranges, Scheme, float_steps, quantize
from resnet.quant.ranges import calibrate, choose_all, observe
from resnet.quant.steps import Step
from resnet.weights.synthetic import digest

SEARCHED = 4  # times as many pictures choose the layers to keep wide as rank them
LEAST_LOST = 2  # answers that a search may lose, at least: a loss of none says nothing of a small share

Effects = Mapping[str, quant.Effect]


def measure_sensitivity(job: SensitivityJob, notify: Notify = lambda stage: None) -> SensitivityAnswer:
    """Calibrate, simulate, and return the answers by network; the pictures are `pictures` 0 and on of the seed.

    Raises ModelError for a model that is none of this project's ResNets.
    """
    notify("build")
    source = find_source(job.source)
    built = build_model(job.case.model, job.build, job.seed, source, job.case.image)
    if not isinstance(built.module, ResNet):
        raise ModelError(f"{job.case.model} is none of this project's ResNets, whose layers alone can be simulated")
    scheme = quant.SCHEMES[job.formats]
    # as the backends do: oneDNN and the fused kernels add before they round, in uint8 ONNX Runtime after
    steps = float_steps(cast(ResNet, fold(built.module)), merged=job.formats != "uint8")
    calibration = draw_calibration(job.settings, job.case.image, built.channels, job.seed, source)
    pictures = _drawn(job, built, source, 0, job.pictures)
    notify("calibrate")
    answer: dict[str, Any] = {}
    if job.methods:
        seen = observe(steps, calibration.pictures)
        ranges_by_method = {method: choose_all(seen, method, scheme) for method in METHODS}
        notify("simulate")
        found: Effects = quant.effects(
            steps, {method: quantize(steps, ranges, scheme) for method, ranges in ranges_by_method.items()}, pictures
        )
    else:
        ranges = calibrate(steps, calibration, scheme)
        notify("simulate")
        found = by_layer(steps, ranges, scheme, pictures)
        if job.most_lost is not None:
            count = max(SEARCHED * job.pictures, ceil(LEAST_LOST / job.most_lost))
            parts = [_drawn(job, built, source, job.pictures + part * count, count) for part in (0, 1)]
            answer["found"] = search(steps, ranges, scheme, ranking(found), parts, job.most_lost, notify)
    return cast(
        SensitivityAnswer,
        {
            "status": "ok",
            "reason": "",
            "layers": quant.layers_of(steps),
            "effects": {name: asdict(effect) for name, effect in found.items()},
            "groups": [index % (len(source.files) or job.pictures) for index in range(job.pictures)],
            "labels": [],
            "found": {},
            "weights": digest(built.module),
            "input": source.description(),
            "runtime": describe_runtime("cpu"),
            **answer,
        },
    )


def by_layer(steps: Sequence[Step], ranges: Ranges, scheme: Scheme, pictures: Tensor) -> Effects:
    """Return the effects of all layers in 8 bits, of each alone in them, and of each alone out of them."""
    whole, layers = quantize(steps, ranges, scheme), quant.layers_of(steps)
    networks: dict[str, Sequence[Step]] = {quant.WHOLE: whole}
    networks |= {f"quantized:{layer}": quant.one_quantized(steps, whole, layer) for layer in layers}
    networks |= {f"wide:{layer}": quant.one_wide(steps, whole, layer) for layer in layers}
    return quant.effects(steps, networks, pictures, [quant.WHOLE])


def ranking(found: Effects) -> list[str]:
    """Return the layers in the order of their error alone in 8 bits, the largest first."""
    errors = {name.partition(":")[2]: sum(effect.squares) for name, effect in found.items() if "quantized:" in name}
    return sorted(errors, key=errors.__getitem__, reverse=True)


def search(
    steps: Sequence[Step],
    ranges: Ranges,
    scheme: Scheme,
    ranked: Sequence[str],
    parts: Sequence[Tensor],
    most_lost: float,
    notify: Notify = lambda stage: None,
) -> dict[str, Any]:
    """Return the fewest layers of a ranking that must stay wide, by halving on one part of pictures, then checked.

    Where the check on the other part fails, more are kept until it holds; at worst all are, and `met` is false.
    """
    tried: dict[tuple[int, int], float] = {}

    def lost(count: int, part: int) -> float:
        if (count, part) not in tried:
            notify(f"{count} layers wide")
            wide = quantize(steps, ranges, scheme, ranked[:count])
            tried[count, part] = disagreement(quant.effects(steps, {"wide": wide}, parts[part]), "wide")
        return tried[count, part]

    enough = fewest(lambda count: lost(count, 0) <= most_lost, len(ranked))
    while enough < len(ranked) and lost(enough, 1) > most_lost:
        enough = min(len(ranked), enough + max(1, enough // 4))
    return {
        "wide": list(ranked[:enough]),
        "met": lost(enough, 0) <= most_lost and lost(enough, 1) <= most_lost,
        "pictures": len(parts[1]),
        "loss": lost(enough, 0),
        "checked": lost(enough, 1),
        "tried": [[count, part, share] for (count, part), share in sorted(tried.items())],
    }


def fewest(holds: Callable[[int], bool], most: int) -> int:
    """Return the least number up to `most` from which on `holds` is true, by halving; `most` where it never is."""
    if holds(0):
        return 0
    fails, good = 0, most
    while good - fails > 1:
        middle = (fails + good) // 2
        fails, good = (fails, middle) if holds(middle) else (middle, good)
    return good


def disagreement(found: Effects, name: str) -> float:
    """Return the share of pictures whose class is not that of float32."""
    pairs = list(zip(found[name].top, found[quant.FLOAT].top, strict=True))
    return sum(mine != other for mine, other in pairs) / len(pairs)


def _drawn(job: SensitivityJob, built: Built, source: Source, first: int, count: int) -> Tensor:
    return draw(count, job.case.image, built.channels, job.seed, source, first)
