"""What only a GPU can show: every variant there, its CUDA graphs, and that a call enqueues without waiting."""

import time

import pytest
import torch

from resnet.variants import LAUNCHES, VARIANTS, missing, prepare

pytestmark = pytest.mark.gpu

CASES = [
    (name, precision, launch)
    for name, row in VARIANTS.items()
    for precision in row.serves.get("cuda", ())
    for launch in LAUNCHES
    if not name.startswith("compile") or precision in ("fp16", "fp32")
]


def prepared(name, precision, launch, model, batch):
    cure = missing(VARIANTS[name], "cuda")
    if cure:
        pytest.skip(cure)
    if name.startswith("compile"):
        torch._dynamo.reset()  # it compiles one function eight times in a process, and then no more
    return prepare(name, model, batch.cuda(), precision, launch)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision", "launch"), CASES)
def test_agrees_with_float64_on_two_buffers(name, precision, launch, build, batch, error, tolerance) -> None:
    model = build("resnet18")
    runner = prepared(name, precision, launch, model, batch)
    first, second = runner.place(batch), runner.place(batch.flip(0))
    for _ in range(3):
        assert error(model, batch, runner(first)) < tolerance[precision]
        assert error(model, batch, runner(second).flip(0)) < tolerance[precision]
    assert runner.details["graph"] is (launch == "graph")


@pytest.mark.parametrize("launch", ["stream", "graph"])
def test_a_call_follows_the_current_stream_and_does_not_wait(launch, build, batch) -> None:
    runner = prepared("eager", "fp16", launch, build("resnet18"), batch)
    x = runner.place(batch)
    want = runner(x).clone()
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(2_000_000_000)  # about a second
        start = time.perf_counter()
        logits = runner(x)
        enqueued = time.perf_counter() - start
        done = stream.query()
    stream.synchronize()
    assert enqueued < 0.5
    assert not done
    assert torch.equal(logits, want)


def test_an_onnxruntime_call_is_ordered_with_the_current_stream(build, batch) -> None:
    """Its stream is another one: work queued before a call must be seen by it, and work after must see its logits."""
    runner = prepared("onnxruntime", "fp16", "stream", build("resnet18"), batch)
    x = runner.place(torch.zeros_like(batch))
    want = runner(runner.place(batch)).clone()
    torch.cuda._sleep(200_000_000)
    x.copy_(batch)
    assert torch.equal(runner(x).clone(), want)


def test_a_graph_refuses_an_unplaced_batch(build, batch) -> None:
    runner = prepared("library-fused", "fp16", "graph", build("resnet18"), batch)
    with pytest.raises(ValueError, match="not placed"):
        runner(batch.cuda())
