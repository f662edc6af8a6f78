"""The cost of 8 bits by layer, or by way of calibrating, simulated on pictures that calibrated nothing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any, cast

import torch
from torch import Tensor

from bench.plans.scored import SEARCHED, least_pictures
from bench.runs.job import Notify
from bench.runs.kernel_jobs import SensitivityAnswer, SensitivityJob
from bench.stats import loss_interval
from bench.text import plural
from bench.worker.failure import CannotJudge
from bench.worker.models import Built, build_model, draw
from bench.worker.prepare import draw_calibration
from bench.worker.runtime import describe_runtime
from bench.worker.score import questions_of, refuse_unread
from resnet.calibration import ALL_WIDE, ALONE, FLOAT, METHODS, WHOLE, WIDE, Calibration
from resnet.data.digits import classes_of
from resnet.fold import fold
from resnet.inputs import Source, source_for
from resnet.model import ResNet
from resnet.outside.sources import ModelError
from resnet.quant import effects as quant
from resnet.quant.network import SCHEMES, Ranges, Scheme, float_steps, layers_of, quantize
from resnet.quant.ranges import CHUNK, calibrate, choose_all, observe
from resnet.quant.steps import Step
from resnet.weights.synthetic import digest

CUT_OUT = ("photos", "folder")  # sources whose pictures are cut out of files, in turn

Effects = Mapping[str, quant.Effect]
Part = tuple[Tensor, list[int]]  # pictures, and their classes where they have labels
Lost = tuple[int, int | None]  # answers that were lost, and those gained; None where none can be


def measure_sensitivity(job: SensitivityJob, notify: Notify = lambda stage: None) -> SensitivityAnswer:
    """Calibrate, simulate, and return the answers by network.

    The pictures are those of the seed from its first on, or of `data`. Raises ModelError for a model that is none of
    this project's ResNets, and CannotJudge for too few pictures.
    """
    notify("build")
    source = source_for(job.case.model, job.source)
    built = build_model(job.case.model, job.build, job.seed, source, job.case.image)
    if not isinstance(built.module, ResNet):
        raise ModelError("it is none of this project's ResNets, whose layers alone can be simulated")
    # in uint8 a sum is rounded behind its convolution, as by ONNX Runtime; else once, as by the fused kernels
    steps = float_steps(cast(ResNet, fold(built.module)), merged=job.formats != "uint8")
    calibration = draw_calibration(job.settings, job.case.image, built.channels, job.seed, source)
    parts = _parts(job, built, source)
    effects, search_result = _simulate(job, steps, calibration, parts, notify)
    files = len(source.files) if source.kind in CUT_OUT and not job.data else len(parts[0][0])
    answer: SensitivityAnswer = {
        "status": "ok",
        "reason": "",
        "layers": layers_of(steps),
        "effects": {name: asdict(effect) for name, effect in effects.items()},
        "groups": [index % files for index in range(len(parts[0][0]))],
        "labels": parts[0][1],
        "found": search_result,
        "weights": digest(built.module),
        "input": source.description(),
        "runtime": describe_runtime("cpu"),
    }
    return answer


def _simulate(
    job: SensitivityJob, steps: Sequence[Step], calibration: Calibration, parts: Sequence[Part], notify: Notify
) -> tuple[Effects, dict[str, Any]]:
    """Return the effects on the first part of the pictures, and the result of a search on the others."""
    scheme = SCHEMES[job.formats]
    notify("calibrate")
    if job.methods:
        seen = observe(steps, calibration.pictures)
        networks = {method: quantize(steps, choose_all(seen, method, scheme), scheme) for method in METHODS}
        notify("simulate")
        return quant.effects(steps, networks, parts[0][0]), {}
    ranges = calibrate(steps, calibration, scheme)
    notify("simulate")
    effects = by_layer(steps, ranges, scheme, parts[0][0])
    if job.most_lost is None:
        return effects, {}
    ranked = quant.ranking(effects)[:-1]  # one at least is to be in 8 bits
    return effects, search(steps, ranges, scheme, ranked, parts[1:], job.most_lost, notify)


def by_layer(steps: Sequence[Step], ranges: Ranges, scheme: Scheme, pictures: Tensor) -> Effects:
    """Return the effects of all layers in 8 bits, of each alone in them, of each alone out of them, and of all so."""
    whole, layers = quantize(steps, ranges, scheme), layers_of(steps)
    networks: dict[str, Sequence[Step]] = {WHOLE: whole}
    networks |= {f"{ALONE}{layer}": quant.one_quantized(steps, whole, layer) for layer in layers}
    networks |= {f"{WIDE}{layer}": quant.one_wide(steps, whole, layer) for layer in layers}
    networks[ALL_WIDE] = quantize(steps, ranges, scheme, layers)
    return quant.effects(steps, networks, pictures, [WHOLE])


def search(
    steps: Sequence[Step],
    ranges: Ranges,
    scheme: Scheme,
    ranked: Sequence[str],
    parts: Sequence[Part],
    most_lost: float,
    notify: Notify = lambda stage: None,
) -> dict[str, Any]:
    """Return the fewest layers of a ranking that must stay wide so that the whole interval of the loss is within one.

    They are chosen by halving on one part of the pictures. Where the check on the other part fails, more are kept until
    it holds; at worst all are. `met` is by the interval of that check, None where it has the limit inside.
    """
    tried: dict[tuple[int, int], Lost] = {}

    def interval(count: int, part: int) -> tuple[float, float]:
        pictures, labels = parts[part]
        if (count, part) not in tried:
            notify(f"{count} {plural(count, 'layer')} wide")
            wide = quantize(steps, ranges, scheme, ranked[:count])
            tried[count, part] = count_lost(quant.effects(steps, {"wide": wide}, pictures), "wide", labels)
        return loss_interval(*tried[count, part], len(pictures))

    enough = bisect_left(range(len(ranked)), True, key=lambda count: interval(count, 0)[1] <= most_lost)
    while enough < len(ranked) and interval(enough, 1)[1] > most_lost:
        enough = min(len(ranked), enough + max(1, enough // 4))
    interval(enough, 0)
    least, most = interval(enough, 1)
    return {
        "wide": list(ranked[:enough]),
        "met": True if most <= most_lost else False if least > most_lost else None,
        "pictures": len(parts[1][0]),
        "chosen": tried[enough, 0],
        "checked": tried[enough, 1],
        "tried": [[count, part, *counts] for (count, part), counts in sorted(tried.items())],
    }


def count_lost(effects: Effects, name: str, labels: Sequence[int] = ()) -> Lost:
    """Return how many classes are not those of float32; with labels, how many it alone has right, and how many not."""
    mine, plain = effects[name].top, effects[FLOAT].top
    if not labels:
        return sum(one != other for one, other in zip(mine, plain, strict=True)), None
    right = [(one == label, other == label) for one, other, label in zip(plain, mine, labels, strict=True)]
    return right.count((True, False)), right.count((False, True))


def _parts(job: SensitivityJob, built: Built, source: Source) -> list[Part]:
    """Return the pictures that rank layers, and for a search those that choose and those that check them."""
    more = 0 if job.most_lost is None else max(SEARCHED * job.pictures, least_pictures(job.most_lost))
    counts = [job.pictures, *([more, more] if more else [])]
    firsts = list(accumulate(counts, initial=0))
    if job.data:
        pictures, labels = _labelled(job, built, sum(counts))
        if len(pictures) < sum(counts):
            wanted = " + ".join(map(str, counts))
            cure = "fewer with -n" if more != least_pictures(job.most_lost or 1) else "a larger --max-loss"
            raise CannotJudge(f"--data has {len(pictures)} pictures, and {wanted} are needed: ask for {cure}")
        kept = labels if job.build.weights else []  # synthetic weights are right by chance
        return [(pictures[first:end], kept[first:end]) for first, end in pairwise(firsts)]
    return [
        (
            draw(count, job.case.image, built.channels, job.seed, source, first),
            classes_of(source.kind, first, count) or [],
        )
        for first, count in zip(firsts, counts, strict=False)
    ]


def _labelled(job: SensitivityJob, built: Built, count: int) -> Part:
    """Return so many of the labelled pictures, or all where there are fewer."""
    questions, unread = questions_of(job, built.ends, count), dict[int, str]()
    batches = list(questions.batches(CHUNK, unread))
    refuse_unread(unread, questions.count)
    labels = questions.labels or []
    return torch.cat([batch for _, batch in batches]), [labels[row] for rows, _ in batches for row in rows]
