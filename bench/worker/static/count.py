"""Facts of a forward pass, counted without a clock and without a GPU (`bench.static.cases` lists the facts).

Each variant is prepared and called by its code, and the operations of that call are counted. Only what a CPU lacks, or
what would make counts vary, is replaced: launches of Triton kernels are recorded and not executed, the C++ of Inductor
is read and not built, and where a variant chooses by the clock, the first candidate wins.
"""

from __future__ import annotations

import importlib
import json
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from bench.errors import StoreError
from bench.files import owned_folder
from bench.machine.environment import installed_version
from bench.paths import ACCEPTED
from bench.plans.case import Case
from bench.runs.job import MODELS_OWN
from bench.runs.kernel_jobs import FactsAnswer, FactsJob
from bench.runs.wire import Json
from bench.static.cases import Counted, Fact
from bench.static.kernels import Accepted, matching_entries
from bench.worker.static.counters import Dispatched, compilations, count_dispatched, launched_on
from kernels.cards import cards
from resnet.archs import Spec
from resnet.calibration import EIGHT_BITS, Calibration
from resnet.fused import launches
from resnet.fused.buffers import peak_bytes
from resnet.fused.eager_memory import eager_uses
from resnet.fused.launches import Target
from resnet.model import ResNet
from resnet.names import Build, is_outside
from resnet.outside.build import bare_outside
from resnet.outside.counting import count_module
from resnet.outside.wrapper import OutsideModel
from resnet.runner import DTYPES, Runner
from resnet.variants import find_variant, missing, not_taken, prepare, refusal
from resnet.variants.table import Runs

HOPPER = cards.card_of_arch(90)
H200 = Target(HOPPER.name, HOPPER.arch, HOPPER.sms)

NO_GRAPH = "nothing traces this variant, so nothing can break"
NOT_PLANNED = "its memory is planned by the library, which does not say"
NO_BYTES = "what its kernels read is known to the library alone"
NOT_OURS = "runs no kernel of ours"


def count_facts(job: FactsJob, notify: Callable[[str], None]) -> FactsAnswer:
    """Count the facts of the job's cases; sends `done total name` before each. `broken` ones killed a child before."""
    names, facts = job.cases, dict[str, Json]()
    for done, name in enumerate(names):
        notify(f"{done} {len(names)} {name}")
        reason = job.broken.get(name)
        facts[name] = (Counted(failed=reason) if reason else count_case(Case.parse(name), job.build)).as_json()
    return {"status": "ok", "cases": facts, "environment": environment()}


def environment() -> dict[str, str]:
    """Return the versions and the processor that counts depend on; torch's builds for CPU and CUDA count alike."""
    names = ("torch", "onnx", "onnxscript", "onnxruntime")
    versions = {name: installed_version(name) or installed_version(f"{name}-gpu") for name in names}
    cpu = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {name: text.partition("+")[0] for name, text in versions.items() if text} | {"cpu": cpu}


def count_case(case: Case, build: Build = MODELS_OWN) -> Counted:
    """Count all facts of a case, whose weights are of no account; a variant that raises has failed."""
    reason = _skip_reason(case)
    if reason:
        return Counted(skipped=reason)
    try:
        torch.manual_seed(0)
        model, channels = _build(case, build)
        example = torch.randn(case.batch, channels, case.image, case.image)
        count = COUNTERS[find_variant(case.variant).runs]
        with _first_wins(case.variant):
            counted = count(case, model, example)
        counted.facts["flops"] = Fact(flops(model, example.shape), "flop_counter")
    except Exception as error:  # every error is the case's result
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return Counted(failed=f"{type(error).__name__}: {(lines or ['no message'])[0][:300]}")
    return counted


def _skip_reason(case: Case) -> str | None:
    if case.largest:
        return "asks for the largest batch that fits, which is no count"
    if case.launch == "graph":
        return "a CUDA graph launches what the stream case launches: count that"
    variant = find_variant(case.variant)
    if variant.uncounted:
        return variant.uncounted
    served = variant.serves["cuda"] if variant.runs == "kernels" else ()  # compiled for a GPU, and not run
    refused = None if case.precision in served else refusal(variant, "cpu", case.precision, case.launch)
    not_run = not_taken(variant, case.model, case.precision, "cuda" if served else "cpu")
    return not_run or refused or missing(variant, "cpu", case.precision)


def _first_wins(variant: str) -> AbstractContextManager[object]:
    """Have a variant that chooses by the clock choose the first candidate, because the clock's choice would vary."""
    if is_outside(variant):
        return nullcontext()
    module = importlib.import_module(f"resnet.variants.{find_variant(variant).module}")
    if not hasattr(module, "fastest_runner"):
        return nullcontext()
    return patch.object(module, "fastest_runner", lambda candidates, *_: (next(iter(candidates)), {}))


def _build(case: Case, build: Build) -> tuple[ResNet | OutsideModel, int]:
    """Return the case's model, with the weights that it starts with, and the number of its channels."""
    classes, channels = build.num_classes or None, build.in_channels or None
    if is_outside(case.model):
        outside = bare_outside(case.model, image=case.image, num_classes=classes, in_channels=channels)
        return outside, outside.channels
    network = ResNet(Spec.parse(case.model), classes or 0, channels or 0)
    return network.eval().requires_grad_(False), network.conv1.in_channels


def flops(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Return the FLOPs of a model for a batch, which is not computed where shapes tell them."""
    return count_module(model, shape).flops


def _weights(runner: Runner) -> dict[str, Fact]:
    """Return the bytes of the weights as a fact, where the variant says them: code from outside need not."""
    weights = runner.details.get("weights_bytes")
    return {} if weights is None else {"weights": Fact(int(weights), "parameters")}


def _count_modules(case: Case, model: ResNet | OutsideModel, example: Tensor) -> Counted:
    """Count a variant that calls torch operation by operation."""
    runner = prepare(case.variant, model, example, case.precision, case.launch)
    mode = count_dispatched(runner, example)
    counted = Counted(
        {"launches": Fact(len(mode.names), "aten"), "bytes": Fact(mode.bytes, "tensors"), **_weights(runner)},
        {"breaks": NO_GRAPH, "record": NOT_OURS, "activations": NOT_PLANNED},
    )
    if case.variant == "eager" and isinstance(model, ResNet):
        del counted.absent["activations"]
        activation_bytes = peak_bytes(eager_uses(model, tuple(example.shape), DTYPES[case.precision].itemsize))
        counted.facts["activations"] = Fact(activation_bytes, "alive")
    return counted


def _count_compiled(case: Case, model: ResNet | OutsideModel, example: Tensor) -> Counted:
    """Count a variant that torch.compile compiles."""
    with compilations() as compiled:
        runner = prepare(case.variant, model, example, case.precision, case.launch)
    if not compiled.sources:
        raise RuntimeError("nothing was compiled: is torch.compile switched off?")
    return Counted(
        {"launches": Fact(compiled.calls, "inductor"), "breaks": Fact(compiled.breaks, "dynamo"), **_weights(runner)},
        {"bytes": NO_BYTES, "activations": NOT_PLANNED, "record": NOT_OURS},
    )


def _count_kernels(case: Case, model: ResNet, example: Tensor) -> Counted:
    """Count the launches of the fused variant, which the table does not have for a CPU."""
    from resnet.variants import fused

    launches.install_tuned(H200.gpu)
    with launched_on(H200) as launched:
        if case.precision in EIGHT_BITS:
            calibration = Calibration(example[:1], "minmax")  # ranges, too, are of no account
            runner: Runner = fused.prepare_quantized(model, example, case.precision, case.launch, calibration)
        else:
            runner = fused.prepare(model, example, case.precision, case.launch)
        x = runner.place(example)
        with torch.no_grad(), Dispatched() as mode:
            runner(x)
    counted = Counted(
        {
            "launches": Fact(len(launched.names) + len(mode.names), "launcher"),
            "bytes": Fact(launched.bytes + mode.bytes, "arguments"),
            **_weights(runner),
            "activations": Fact(int(runner.details["activation_bytes"]), "buffers"),
        },
        {"breaks": NO_GRAPH},
    )
    try:
        counted.facts["record"] = Fact(record_of(case, Accepted.read(ACCEPTED)), "accepted")
    except (StoreError, LookupError) as error:
        counted.absent["record"] = str(error)
    return counted


def record_of(case: Case, accepted: Accepted) -> str:
    """Return a digest of the accepted kernels of a case's layers. Raises LookupError where there are none."""
    glob = f"{case.model}/{case.precision}-n{case.batch}-"
    entries = matching_entries(accepted.entries, {entry.arch for entry in accepted.entries}, [glob])
    if not entries:
        raise LookupError(f"`bench kernels` compiles no {glob}*")
    rows = sorted(json.dumps(entry.as_json(), sort_keys=True) for entry in entries)
    return sha256("\n".join(rows).encode()).hexdigest()[:16]


def _count_session(case: Case, model: ResNet | OutsideModel, example: Tensor) -> Counted:
    """Count the nodes and weights of the graph that ONNX Runtime optimises."""
    import numpy as np
    import onnx
    from onnxruntime import InferenceSession

    runner: Any = prepare(case.variant, model, example, case.precision, case.launch)
    session = runner._session()
    options = session.get_session_options()
    with owned_folder("counts") as folder:
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        InferenceSession(session._model_path, options, providers=session.get_providers())
        graph = onnx.load(options.optimized_model_filepath).graph
    sizes = [
        int(np.prod(tensor.dims)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in graph.initializer
    ]
    return Counted(
        {
            "launches": Fact(sum(node.op_type != "Constant" for node in graph.node), "onnx"),
            "weights": Fact(sum(sizes), "initialisers"),
        },
        {"breaks": NO_GRAPH, "bytes": NO_BYTES, "activations": NOT_PLANNED, "record": NOT_OURS},
    )


COUNTERS: dict[Runs, Callable[[Case, Any, Tensor], Counted]] = {
    "modules": _count_modules,
    "compiled": _count_compiled,
    "kernels": _count_kernels,
    "session": _count_session,
}
