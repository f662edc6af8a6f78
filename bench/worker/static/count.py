"""In a child: what a forward does, counted without a clock and without a GPU (`bench.static.cases` says what, and how).

Each variant is prepared and called by its own code; what is counted is what that did. Replaced is only what a CPU
lacks or a count must not hang on: a launch of a Triton kernel is noted in place of made, the C++ that Inductor
generates is read and not built, and of what a variant chooses by the clock the first candidate wins.
"""

from __future__ import annotations

import importlib
import json
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import StoreError
from bench.paths import ACCEPTED
from bench.plans.case import Case
from bench.runs.kernel_jobs import FactsAnswer, FactsJob
from bench.runs.wire import Json
from bench.static.cases import Counted, Fact
from bench.static.kernels import Accepted, matching_entries
from bench.worker.static.counters import Dispatched, dispatched, launched_on, optimised_graphs
from bench.worker.static.inductor_calls import compilations
from kernels.cards import cards
from resnet.archs import Spec
from resnet.fused import launches
from resnet.fused.buffers import peak_bytes
from resnet.fused.eager_memory import eager_uses
from resnet.fused.launches import Target
from resnet.model import ResNet
from resnet.runner import DTYPES
from resnet.variants import VARIANTS, Runs, missing, prepare, refusal

HOPPER = cards.card_of_arch(90)
H200 = Target(HOPPER.name, HOPPER.arch, HOPPER.sms)


NO_GRAPH = "nothing traces this variant, so nothing can break"
NOT_PLANNED = "its memory is planned by the library, which does not say"
NO_BYTES = "what its kernels read is known to the library alone"
NOT_OURS = "runs no kernel of ours"


def run(job: FactsJob, tell: Callable[[str], None]) -> FactsAnswer:
    """The facts of the job's cases; tells `done total name` before each. `broken`: cases that killed a child before."""
    names, found = job.cases, dict[str, Json]()
    for done, name in enumerate(names):
        tell(f"{done} {len(names)} {name}")
        reason = job.broken.get(name)
        found[name] = (Counted(failed=reason) if reason else counted(Case.parse(name))).as_json()
    return {"status": "ok", "cases": found, "environment": environment()}


def environment() -> dict[str, str]:
    """What counts may hang on. Builds of one torch for a CPU and for CUDA count alike."""
    names = ("torch", "onnx", "onnxscript", "onnxruntime")
    found = {name: _version(name) for name in names}
    cpu = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {name: text for name, text in found.items() if text} | {"cpu": cpu}


def _version(package: str) -> str:
    for name in (package, f"{package}-gpu"):
        try:
            return version(name).partition("+")[0]
        except PackageNotFoundError:
            continue
    return ""


def counted(case: Case) -> Counted:
    """Everything that can be had of a case; a variant that raises has failed."""
    reason = _why_not(case)
    if reason:
        return Counted(skipped=reason)
    try:
        torch.manual_seed(0)
        model = ResNet(Spec.parse(case.model)).eval().requires_grad_(False)
        example = torch.randn(case.batch, 3, case.image, case.image)
        way = WAYS[VARIANTS[case.variant].runs]
        with _first_wins(case.variant):
            found = way(case, model, example)
        found.facts["flops"] = Fact(flops(case), "flop_counter")
    except Exception as error:  # whatever it is, it is this case's result
        return Counted(failed=f"{type(error).__name__}: {_first_line(error)}")
    return Counted(found.facts, found.absent)


def _why_not(case: Case) -> str | None:
    if case.largest:
        return "asks for the largest batch that fits, which is no count"
    if case.launch == "graph":
        return "a CUDA graph launches what the stream case launches: count that"
    variant = VARIANTS[case.variant]
    if variant.uncounted:
        return variant.uncounted
    served = variant.serves["cuda"] if variant.runs == "kernels" else ()  # compiled for a GPU, and not run
    refused = None if case.precision in served else refusal(variant, "cpu", case.precision, case.launch)
    return refused or missing(variant, "cpu")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")[:300]


@contextmanager
def _first_wins(variant: str) -> Iterator[None]:
    """The variant's choices by the clock, if it has any, fall on the first candidate: the clock's would vary."""
    module: Any = importlib.import_module(f"resnet.variants.{VARIANTS[variant].module}")
    fastest = getattr(module, "fastest", None)
    if fastest:
        module.fastest = lambda candidates, *_: (next(iter(candidates)), {})
    try:
        yield
    finally:
        if fastest:
            module.fastest = fastest


@dataclass
class _Found:
    facts: dict[str, Fact] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def flops(case: Case) -> int:
    """Of the plain model, from shapes alone."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = ResNet(Spec.parse(case.model)).eval()
        x = torch.empty(case.batch, 3, case.image, case.image)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    return int(counter.get_total_flops())


def _dispatched(case: Case, model: ResNet, example: Tensor) -> _Found:
    """A variant that calls torch operation by operation."""
    runner = prepare(case.variant, model, example, case.precision, case.launch)
    mode = dispatched(runner, example)
    found = _Found(
        {
            "launches": Fact(len(mode.names), "aten"),
            "bytes": Fact(mode.bytes, "tensors"),
            "weights": Fact(int(runner.details["weights_bytes"]), "parameters"),
        },
        {"breaks": NO_GRAPH, "record": NOT_OURS, "activations": NOT_PLANNED},
    )
    if case.variant == "eager":
        del found.absent["activations"]
        least = peak_bytes(eager_uses(model, tuple(example.shape), DTYPES[case.precision].itemsize))
        found.facts["activations"] = Fact(least, "alive")
    return found


def _compiled(case: Case, model: ResNet, example: Tensor) -> _Found:
    with compilations() as made:
        runner = prepare(case.variant, model, example, case.precision, case.launch)
    if not made.sources:
        raise RuntimeError("nothing was compiled: is torch.compile switched off?")
    return _Found(
        {
            "launches": Fact(made.calls, "inductor"),
            "breaks": Fact(made.breaks, "dynamo"),
            "weights": Fact(int(runner.details["weights_bytes"]), "parameters"),
        },
        {"bytes": NO_BYTES, "activations": NOT_PLANNED, "record": NOT_OURS},
    )


def _fused(case: Case, model: ResNet, example: Tensor) -> _Found:
    """By the variant itself, whose own launch path is called; it is not in the table for a CPU."""
    from resnet.variants import fused

    launches.install_tuned(H200.gpu)
    with launched_on(H200) as noted:
        runner = fused.prepare(model, example, case.precision, case.launch)
        x = runner.place(example)
        with torch.no_grad(), Dispatched() as mode:
            runner(x)
    found = _Found(
        {
            "launches": Fact(len(noted.names) + len(mode.names), "launcher"),
            "bytes": Fact(noted.bytes + mode.bytes, "arguments"),
            "weights": Fact(int(runner.details["weights_bytes"]), "parameters"),
            "activations": Fact(int(runner.details["activation_bytes"]), "buffers"),
        },
        {"breaks": NO_GRAPH},
    )
    try:
        found.facts["record"] = Fact(record_of(case, Accepted.read(ACCEPTED)), "accepted")
    except (StoreError, LookupError) as error:
        found.absent["record"] = str(error)
    return found


def record_of(case: Case, accepted: Accepted) -> str:
    """A digest of the accepted kernels of a case's layers. Raises LookupError where there are none."""
    glob = f"{case.model}/{case.precision}-n{case.batch}-"
    entries = matching_entries(accepted.entries, {entry.arch for entry in accepted.entries}, [glob])
    if not entries:
        raise LookupError(f"`bench kernels` compiles no {glob}*")
    rows = sorted(json.dumps(entry.as_json(), sort_keys=True) for entry in entries)
    return sha256("\n".join(rows).encode()).hexdigest()[:16]


def _onnx(case: Case, model: ResNet, example: Tensor) -> _Found:
    import numpy as np
    import onnx

    with tempfile.TemporaryDirectory(prefix="resnet-bench-facts-") as folder:
        with optimised_graphs(Path(folder)) as files:
            prepare(case.variant, model, example, case.precision, case.launch)
        graph = onnx.load(str(files[-1])).graph
    sizes = [
        int(np.prod(tensor.dims)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in graph.initializer
    ]
    return _Found(
        {
            "launches": Fact(sum(node.op_type != "Constant" for node in graph.node), "onnx"),
            "weights": Fact(sum(sizes), "initialisers"),
        },
        {"breaks": NO_GRAPH, "bytes": NO_BYTES, "activations": NOT_PLANNED, "record": NOT_OURS},
    )


WAYS: dict[Runs, Callable[[Case, ResNet, Tensor], _Found]] = {
    "modules": _dispatched,
    "compiled": _compiled,
    "kernels": _fused,
    "session": _onnx,
}
