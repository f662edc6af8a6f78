"""Choosing between our kernels and the library's: on a CPU with aten in both places, and as it is on a GPU."""

import importlib.util
import json

import pytest

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

from resnet.fold import fold
from resnet.fused.program import build_program
from resnet.library import ops as library_ops
from resnet.library import steps as library_steps
from resnet.library.steps import library_step
from resnet.runner import with_launch
from resnet.variants import VARIANTS, per_layer, prepare, refusal

pytestmark = pytest.mark.usefixtures("cudnn_on_a_cpu")


def always(answer):
    return lambda calls, *_: ([call() for call in calls.values()], (answer, dict.fromkeys(calls, 8.0)))[1]


@pytest.fixture
def faster(monkeypatch):
    def choose(name):
        monkeypatch.setattr(per_layer, "fastest", always(name))
        monkeypatch.setattr(library_ops, "fastest", always("fused"))

    return choose


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("resnet18", 0),
        ("resnet50v1", 0),
        ("resnet18-C", 0),
        ("resnet18-none", 0),
        ("resnet18-A", 3),  # a shortcut by a matrix of zeros and ones
        ("resnet50v2-A", 16 + 7 + 1),  # as many again behind a norm, and the classifier
        ("resnet50v2", 13 + 3 + 1),
    ],
)
def test_the_library_s_steps_agree_with_float64(
    name, own, faster, build, batch, error, tolerance, cudnn_on_a_cpu
) -> None:
    faster("library")
    runner = per_layer.prepare(build(name), batch, "fp32", "stream")
    assert runner.details["steps"]["own"] == own
    cudnn_on_a_cpu.clear()
    assert error(build(name), batch, runner(runner.place(batch))) < tolerance["fp32"]
    assert cudnn_on_a_cpu.total() > 0


@pytest.mark.parametrize("name", ["resnet18", "resnet50v2", "resnet18-A"])
def test_our_steps_agree_with_float64(name, faster, build, batch, error, tolerance, cudnn_on_a_cpu) -> None:
    faster("own")
    runner = per_layer.prepare(build(name), batch, "fp32", "stream")
    assert runner.details["steps"]["library"] == 0
    cudnn_on_a_cpu.clear()
    for given, flip in ((batch, False), (batch.flip(0), True)):
        logits = runner(runner.place(given))
        assert error(build(name), batch, logits.flip(0) if flip else logits) < tolerance["fp32"]
    assert cudnn_on_a_cpu.total() == 0
    json.dumps(runner.details)


def test_whole_groups_are_timed_once_for_all_that_are_alike(faster, build, batch, monkeypatch) -> None:
    timed = []

    def fastest(calls, *_):
        timed.append(list(calls))
        return "own", {"own": 8.0, "library": 16.0}

    monkeypatch.setattr(per_layer, "fastest", fastest)
    runner = per_layer.prepare(build("resnet50"), batch, "fp32", "stream")
    assert timed == [["own", "library"]] * (23 + 2)  # 23 different convolutions, stem and head
    why = runner.details["choices"]
    assert why["fp32-n2-16x16x64-1x1-s1-p0-k256-and16x16x64s1-relu"] == "own: own 1.0 us, library 2.0 us"
    projecting = next(
        step for step in build_program(fold(build("resnet50")), (2, 3, 64, 64)).steps[1:-1] if step.shortcut
    )
    rival = library_step(projecting, "fp32")
    assert isinstance(rival, library_steps.LibraryConv)
    assert rival.projection is not None


def test_a_way_that_is_far_from_the_other_is_not_ours(faster, build, batch, monkeypatch) -> None:
    faster("own")
    monkeypatch.setattr(per_layer, "_relative_difference", lambda *_: float("nan"))
    details = per_layer.prepare(build("resnet18"), batch, "fp32", "stream").details
    assert details["steps"] == {"own": 0, "library": 18}
    assert "apart" in next(iter(details["choices"].values()))


def test_a_graph_is_timed_in_graphs_that_share_a_pool_with_their_rival_alone(build, batch, monkeypatch) -> None:
    pools = []

    class Capture:
        def __init__(self):
            self.graphs = []
            pools.append(self.graphs)

        def __call__(self, forward, x):
            self.graphs.append(forward(x))
            return lambda: self.graphs[-1]

    monkeypatch.setattr(per_layer, "CudaCapture", Capture)
    monkeypatch.setattr(per_layer, "fastest", always("library"))
    monkeypatch.setattr(per_layer, "with_launch", lambda runner, launch: with_launch(runner, "stream"))
    per_layer.prepare(build("resnet18"), batch, "fp32", "graph")
    assert [len(graphs) for graphs in pools] == [2] * (14 + 2)


def test_a_cpu_has_nothing_to_mix(build, batch) -> None:
    assert "nothing to choose from" in str(refusal(VARIANTS["per-layer"], "cpu", "fp32", "stream"))
    with pytest.raises(ValueError, match="nothing to choose from"):
        prepare("per-layer", build("resnet18"), batch, "fp32", "stream")


@pytest.mark.gpu
@pytest.mark.parametrize("launch", ["stream", "graph"])
@pytest.mark.parametrize("precision", ["fp16", "tf32"])
@pytest.mark.parametrize("name", ["resnet50", "resnet18v2"])
def test_on_a_gpu_it_agrees_with_float64(name, precision, launch, build, batch, error, tolerance) -> None:
    runner = prepare("per-layer", build(name), batch.cuda(), precision, launch)
    first, second = runner.place(batch), runner.place(batch.flip(0))
    for _ in range(2):
        assert error(build(name), batch, runner(first)) < tolerance[precision]
        assert error(build(name), batch, runner(second).flip(0)) < tolerance[precision]
    assert not [why for why in runner.details["choices"].values() if "apart" in why]
    steps = runner.details["steps"]
    assert steps["own"] + steps["library"] == len(build_program(fold(build(name)), tuple(batch.shape)).steps)
