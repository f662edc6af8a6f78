import pytest
import torch
from torch import Tensor

from resnet import variants
from resnet.runner import BENCHMARKED_PLANS, GraphRunner, Placed, TorchRunner, fastest, set_torch_flags, with_launch
from resnet.variants import eager

pytestmark = pytest.mark.usefixtures("without_gradients")


def doubling(example: Tensor) -> TorchRunner:
    return TorchRunner(lambda x: x * 2, example, torch.float32, "channels_last", {"weights_bytes": 0})


def test_place_copies_into_the_variants_own_form(batch: Tensor) -> None:
    runner = TorchRunner(lambda x: x, batch, torch.bfloat16, "channels_last", {})
    placed = runner.place(batch)
    assert placed.dtype == torch.bfloat16
    assert placed.is_contiguous(memory_format=torch.channels_last)
    same = doubling(batch).place(batch.to(memory_format=torch.channels_last))
    assert same.data_ptr() != batch.data_ptr()


def test_a_call_has_no_guard_of_its_own(batch: Tensor) -> None:
    """It would be timed. The caller's is the one that counts."""
    seen: list[tuple[bool, bool]] = []

    def forward(x: Tensor) -> Tensor:
        seen.append((torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        return x

    runner = TorchRunner(forward, batch, torch.float32, "contiguous", {})
    x = runner.place(batch)
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            runner(x)
    assert seen == [(True, False), (False, False), (False, True)]


def test_what_is_prepared_and_captured_is_so_without_gradients(
    build, batch: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is called, or compiled code would be compiled anew."""
    seen: list[bool] = []

    def prepare(model: object, example: Tensor, precision: str, launch: str) -> GraphRunner:
        seen.append(torch.is_grad_enabled())

        def capture(forward: object, x: Tensor) -> object:
            seen.append(torch.is_grad_enabled())
            return lambda: x

        return GraphRunner(doubling(example), capture)

    monkeypatch.setattr(eager, "prepare", prepare)
    with torch.enable_grad():
        variants.prepare("eager", build("resnet18"), batch, "fp32").place(batch)
    assert seen == [False, False]


def test_what_was_not_placed_is_refused(batch: Tensor) -> None:
    placed: Placed[str] = Placed()
    placed[batch] = "here"
    assert placed[batch] == "here"
    with pytest.raises(ValueError, match="not placed"):
        placed[batch[:1]]  # the same address, another shape
    with pytest.raises(ValueError, match=r"place\(\)"):
        placed[batch.clone()]


def test_a_graph_runner_has_one_graph_for_each_buffer(batch: Tensor) -> None:
    captured = []

    def capture(forward, x):
        captured.append(x.data_ptr())
        return lambda: forward(x)

    runner = GraphRunner(doubling(batch), capture)
    first, second = runner.place(batch), runner.place(-batch)
    assert captured == [first.data_ptr(), second.data_ptr()]
    assert torch.equal(runner(first), batch * 2)
    assert torch.equal(runner(second), batch * -2)
    assert runner.details["graph"]
    with pytest.raises(ValueError, match="not placed"):
        runner(batch)


def test_a_stream_launch_needs_no_graph(batch: Tensor) -> None:
    runner = doubling(batch)
    assert with_launch(runner, "stream") is runner
    assert not runner.details["graph"]


def test_the_fastest_is_found() -> None:
    work = torch.ones(256, 256)
    calls = {"much": lambda: [work @ work for _ in range(50)], "little": lambda: None}
    name, least = fastest(calls, torch.device("cpu"))
    assert name == "little"
    assert least["much"] > least["little"] >= 0


def test_tf32_flags_leave_both_views_readable() -> None:
    """Inductor reads the old view and the new one; mixing the APIs makes one of them raise."""
    before = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    limit = torch.backends.cudnn.benchmark_limit
    try:
        for precision in ("tf32", "fp32", "tf32", "bf16"):
            set_torch_flags(torch.device("cuda"), precision)
            on = precision == "tf32"
            assert torch.backends.cudnn.allow_tf32 is on
            assert torch.backends.cuda.matmul.allow_tf32 is on
            assert (torch.backends.cudnn.conv.fp32_precision == "tf32") is on
            assert (torch.backends.cuda.matmul.fp32_precision == "tf32") is on
            assert torch.get_float32_matmul_precision() == ("high" if on else "highest")
            assert torch.backends.cudnn.benchmark
            assert torch.backends.cudnn.benchmark_limit == BENCHMARKED_PLANS
    finally:
        torch.backends.cudnn.benchmark_limit = limit
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_a_cpu_has_no_switches_to_set() -> None:
    before = torch.backends.cudnn.benchmark
    set_torch_flags(torch.device("cpu"), "fp32")
    assert torch.backends.cudnn.benchmark is before
