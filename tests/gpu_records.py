"""Made-up records of a GPU, as docs/FORMAT.md has them, for what must carry the sizes that real users have.

    python -m tests.gpu_records FOLDER --cases 355                  # or 1700 --rounds 3
    python -m tests.gpu_records FOLDER --cases 100 --commits 20     # a store: a folder a commit

Times follow a crude model of a card (work over a ceiling, bytes over a bandwidth, microseconds a launch) with noise
from a seed; they are no measurement of anything. Among them is what real sweeps have: ties, precisions that eager was
not measured in, failures, skipped cases, disturbed windows, energy, answers in 8 bits, largest batches and layers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bench.plans.case import Case
from bench.records.record import SAMPLES
from bench.roofline.layers import add_work
from resnet.cost import Operation, operations
from resnet.floors import Ceilings, fused_groups

GOLDEN = Path(__file__).parent / "bench/records/golden/schema6.jsonl"
BEGIN = datetime.fromisoformat("2026-09-01T02:00:00+00:00")
MODELS = ("resnet50", "resnet18", "resnet152", "resnet34", "resnet101")
BATCHES = (1, 32, 128, 8, 256, 64, 16, 4, 2)
PEAK = {"fp32": 50e12, "tf32": 380e12, "fp16": 750e12, "bf16": 750e12, "fp8": 1500e12, "int8": 1500e12}
BANDWIDTH = 4.1e12
# variant: the share of the ceilings that it reaches, launches of an operation, seconds to prepare it
VARIANTS = {
    "eager": (0.42, 2.6, 0.1),
    "channels-last-amp": (0.40, 3.4, 0.1),
    "compile": (0.55, 1.2, 18.0),
    "compile-max": (0.61, 1.1, 95.0),
    "compile-aot": (0.54, 1.2, 40.0),
    "library-fused": (0.63, 1.0, 4.0),
    "fused": (0.74, 1.0, 6.0),
    "per-layer": (0.74, 1.0, 8.0),  # as fast as fused: a tie
    "onnxruntime": (0.47, 1.4, 3.0),
    "onnxruntime-trt": (0.66, 1.0, 60.0),
}
EIGHT_BITS = {"int8": ("fused", "onnxruntime-trt"), "fp8": ("fused",)}
# a launch and precision, in the order in which a sweep of few cases has them
WAYS = (
    *(("graph", "fp16"), ("stream", "fp16"), ("graph", "fp32"), ("graph", "int8"), ("graph", "fp8")),
    *(("graph", "bf16"), ("stream", "fp32"), ("stream", "bf16"), ("graph", "tf32"), ("stream", "tf32")),
)
NOT_SERVED = {("channels-last-amp", "fp32"), ("channels-last-amp", "tf32"), ("onnxruntime", "bf16")}
FAILURES = {  # what some case of a variant and precision ends in
    ("onnxruntime", "fp32"): ("wrong", "rms 4.1 times plain torch's; above 3 it is refused"),
    ("onnxruntime-trt", "fp32"): ("memory", "OutOfMemoryError: CUDA out of memory. Tried to allocate 9.19 GiB"),
    ("compile-aot", "fp16"): ("crash", "its process died without an answer: signal 11"),
}


@cache
def golden() -> dict[str, Any]:
    """The good record of a GPU that readers are tested on."""
    line: dict[str, Any] = json.loads(GOLDEN.read_text().splitlines()[0])
    line["environment"]["gpu"] |= {"name": "NVIDIA H200", "memory_bytes": 150_754_820_096}
    network = {"origin": "resnet-bench", "weights": "synthetic", "num_classes": 1000, "in_channels": 3}
    environment = line["environment"] | {"variables": {}}
    plan = {"name": "full", "digest": "0123456789abcdef"}
    return line | {"network": network, "seed": 0, "environment": environment, "plan": plan}


def cases(count: int) -> list[Case]:
    """The first `count` of all cases: a few batches and precisions of each model and way before many."""
    few = count <= 400
    models, batches = (MODELS[:3], BATCHES[:4]) if few else (MODELS, BATCHES[:5] if count <= 2000 else BATCHES)
    served = [
        Case(model, variant, precision, batch, 224, launch)
        for (launch, precision), batch, model, variant in product(WAYS, batches, models, VARIANTS)
        if variant in EIGHT_BITS.get(precision, VARIANTS)
    ]
    return served[:count]


def seconds(case: Case) -> float:
    """Return what one execution takes by the model, without noise."""
    share, launches, _ = VARIANTS[case.variant]
    layers = operations(case.model, case.batch, case.image, case.precision)
    wave = min(1.0, 0.35 + case.batch / 64)  # a small batch does not fill the card
    work = sum(max(one.flops / PEAK[case.precision] / wave, moved(one) / BANDWIDTH) for one in layers)
    a_launch = 1.1e-6 if case.launch == "graph" else 4.5e-6
    return work / share + len(layers) * launches * a_launch


def moved(one: Operation) -> int:
    """Return the bytes that a layer reads and writes."""
    return sum(one.reads) + one.written + one.weights


def record(case: Case, turn: int, draw: np.random.Generator, at: datetime, slower: float = 1.0) -> dict[str, Any]:
    """Return the line of a process that started `at` some time, `slower` times as slow as the model has it."""
    base = golden()
    one = base | {"case": case.name, "round": turn, "order": 0, "started": at.isoformat(), "throttled": {}}
    one |= {"attempts": [], "largest": {}, "quantized": {}, "score": {}, "energy": {}, "settings": base["settings"]}
    empty: dict[str, Any] = {key: [] for key in (*SAMPLES, "windows")}
    kind = _status(case)
    if kind != ("ok", ""):
        names = ("throughput", "watch", "flushed_watch", "memory", "gate", "cold", "warmup")
        rest: dict[str, Any] = {name: {} for name in names}
        return one | empty | rest | {"status": kind[0], "reason": kind[1], "gpu_how": ""}
    took = seconds(case) * slower * np.exp(draw.normal(0, 0.004))
    host = 1e9 * (took + 4e-6) * np.exp(draw.gamma(1.2, 0.004, 48))
    device = 1e9 * took * np.exp(draw.normal(0, 0.002, 48))
    disturbed = {"disturbed": "power-cap"} if case.precision == "fp16" and case.batch == 256 and turn == 0 else {}
    windows = [
        {"turn": 0, "start_ns": int(1e9 * (5 + place)), "images": case.batch * 500, "ns": int(5e11 * one_took)}
        | (disturbed if place == 2 else {})
        for place, one_took in enumerate(took * 0.97 * np.exp(draw.normal(0, 0.002, 8)))
    ]
    rates = sorted((one for one in windows if "disturbed" not in one), key=lambda one: one["ns"])
    middle = rates[(len(rates) - 1) // 2]
    one |= {"latency_ns": host.astype(int).tolist(), "gpu_ns": device.astype(int).tolist(), "gpu_how": "held"}
    one |= {"flushed_ns": [], "flushed_gpu_ns": [], "windows": windows}
    one |= {"throughput": {"images": middle["images"], "ns": middle["ns"]}, "memory": _memory(case)}
    prepare = VARIANTS[case.variant][2]
    one["cold"] = {"import_s": 3.4, "build_s": 0.6, "prepare_s": prepare, "place_s": 0.01, "first_call_s": 0.2}
    one["cold"]["caches"] = "warm" if prepare > 10 else "unused"
    joules = 5.2 * (560 + 90 * (case.precision in ("fp16", "bf16")))
    images = int(5.2 * case.batch / took)
    one["energy"] = {"joules": joules, "images": images, "start_ns": 10**10, "s": 5.2, "temperature_c": [41, 55]}
    if case.precision in EIGHT_BITS:
        one["quantized"] = base["quantized"] | {"wide": [], "why_wide": {}}
        agree = 430 if case.precision == "int8" else 470
        one["score"] = base["score"] | {"agree": agree, "rms": 0.1}
    return one


def _status(case: Case) -> tuple[str, str]:
    if (case.variant, case.precision) in NOT_SERVED:
        return "skipped", f"{case.variant} has no {case.precision} form"
    if case.batch in (32, 256) and case.model == "resnet152":
        return FAILURES.get((case.variant, case.precision), ("ok", ""))
    return "ok", ""


def _memory(case: Case) -> dict[str, int]:
    layers = operations(case.model, case.batch, case.image, case.precision)
    weights = sum(one.weights for one in layers)
    work = max(sum(one.reads) + one.written for one in layers) * (2 if "compile" in case.variant else 3)
    whole = weights + work + (640 << 20)
    return {
        "weights": weights,
        "allocator_allocated_peak": weights + work,
        "allocator_reserved_peak": weights + int(1.15 * work),
        "device_process": whole,
        "host_resident_peak": 2_100_000_000,
    }


def layers(case: Case) -> dict[str, Any]:
    """Return what `bench layers CASE -o` would have left of a case."""
    share, _, _ = VARIANTS[case.variant]
    draw = np.random.default_rng(len(case.name))
    operation = {one.name: one for one in operations(case.model, case.batch, case.image, case.precision)}
    together = "fused" in case.variant  # a sum runs in the kernel of the convolution before it
    parts = [group.names for group in fused_groups([*operation.values()], "conv")] if together else None
    ceilings = Ceilings("NVIDIA H200", PEAK, BANDWIDTH, None, 1e-6, "measured", {"date": BEGIN.isoformat()})
    rows: list[dict[str, Any]] = []
    for names in parts or [(name,) for name in operation]:
        first = max(names, key=lambda name: operation[name].flops)
        rows.append({"name": first, "operations": list(names), "us": 0.0})
    add_work(rows, [*operation.values()], ceilings)
    for row in rows:
        us = row["floor_us"] / min(0.97, share * np.exp(draw.normal(0, 0.18))) + 0.6
        kernels = [{"name": f"{case.variant}_{operation[row['name']].kind}_kernel", "us": us, "count": 1}]
        row |= {"us": us, "half_us": 0.01 * us, "kernels": kernels, "of_floor": row["floor_us"] / us}
    total = sum(row["us"] for row in rows)
    whole = 1.05 * total  # between kernels
    for row in rows:
        row["share"] = row["us"] / whole
    about = {"layers": 1, "case": case.name, "device": "cuda", "machine": "NVIDIA H200", "date": BEGIN.isoformat()}
    about |= {"environment": golden()["environment"], "executions": 30, "how": "profiler", "note": ""}
    times = {"whole_us": whole, "whole_interval_us": [0.99 * whole, 1.01 * whole], "gpu_us": whole, "timed_us": whole}
    times |= {"sum_us": total, "outside_us": whole - total, "error_us": 0.01 * whole}
    rates = {"flops": PEAK, "bandwidth": BANDWIDTH, "l2": None}
    used = {"machine": "NVIDIA H200", "source": "measured", "date": BEGIN.isoformat()} | rates
    floor_us = sum(row["floor_us"] for row in rows)
    return about | times | {"floor_us": floor_us, "ceilings": used, "details": {}, "rows": rows}


def sweep(count: int, rounds: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the lines of a sweep in so many rounds; of those without a speed the first round alone."""
    draw = np.random.default_rng(seed)
    for turn, (place, case) in product(range(rounds), enumerate(cases(count))):
        if turn == 0 or _status(case) == ("ok", ""):
            yield record(case, turn, draw, BEGIN + timedelta(hours=9 * turn, seconds=40 * place))


def night(count: int, number: int, commits: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of one night of a store: from half of the commits on fused is 6 % slower in fp16 at batch 32,
    from three quarters on all of compile is 9 % faster with another torch."""
    draw = np.random.default_rng(number)
    base = golden()["environment"]
    sha = hashlib.sha1(f"night {number}".encode()).hexdigest()
    environment = base | {"git": {"sha": sha, "dirty": False}}
    newer = number >= 3 * commits // 4
    if newer:
        environment |= {"packages": base["packages"] | {"torch": "2.14.0"}}
    for place, case in enumerate(cases(count)):
        slower = 1.06 if case.variant == "fused" and case.batch == 32 and number >= commits // 2 else 1.0
        slower /= 1.09 if newer and case.variant.startswith("compile") else 1.0
        at = BEGIN + timedelta(days=number, seconds=40 * place)
        yield record(case, 0, draw, at, slower) | {"environment": environment}


def write(folder: Path, lines: Iterable[dict[str, Any]]) -> int:
    """Write a results folder, which is made; returns the number of its records."""
    folder.mkdir(parents=True)
    texts = [json.dumps(line, separators=(",", ":")) + "\n" for line in lines]
    (folder / "records.jsonl").write_text("".join(texts))
    return len(texts)


def write_sweep(folder: Path, count: int, rounds: int = 1) -> int:
    """Write the records of a sweep, and the layers of fused and of what it competes with; returns the records."""
    number = write(folder, sweep(count, rounds))
    for variant in ("fused", "library-fused"):
        file = folder / f"layers-{variant}.json"
        file.write_text(json.dumps(layers(Case("resnet50", variant, "fp16", 32, 224, "graph"))))
    return number


def write_store(store: Path, count: int, commits: int) -> int:
    """Write a folder for each of so many commits; returns the number of all records."""
    return sum(write(store / f"{number:04d}", night(count, number, commits)) for number in range(commits))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=355)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--commits", type=int, default=0, help="write a store: a folder a commit")
    args = parser.parse_args()
    if args.commits:
        print(write_store(args.folder, args.cases, args.commits), "records")
    else:
        print(write_sweep(args.folder, args.cases, args.rounds), "records")


if __name__ == "__main__":
    main()
