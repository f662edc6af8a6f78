"""Memory plans, of random programs and of the networks': no two that are alive at once share a byte."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from resnet.archs import SHORTCUTS, VERSIONS, Spec
from resnet.fold import fold
from resnet.fused.buffers import ALIGN, Buffers, Use, lifetimes, peak_bytes, plan_buffers, scratch_name
from resnet.fused.eager_memory import eager_uses
from resnet.fused.network import memory_uses
from resnet.fused.program import Program, build_program
from resnet.model import ResNet


@st.composite
def programs(draw) -> list[Use]:
    """Operations that read any of those before them, or the input, and may write over one."""
    found: list[Use] = []
    for index in range(draw(st.integers(1, 12))):
        known = ["input", *(use.name for use in found)]
        reads = tuple(draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)))
        over = draw(st.sampled_from([None, *reads]))
        size = next((use.size for use in found if use.name == over), draw(st.integers(0, 2000)))
        found.append(Use(f"op{index}", size, reads, over, draw(st.sampled_from([0, 0, 100, 3000]))))
    return found


def simulate(found: list[Use], buffers: Buffers) -> None:
    """Every operation writes its own name into its bytes and finds in its operands' what was written there."""
    memory: list[str | None] = [None] * buffers.size
    sizes = {use.name: use.size for use in found}
    for use in found:
        for name in use.reads:
            if name in sizes:
                at = buffers.offsets[name]
                assert all(byte == name for byte in memory[at : at + sizes[name]]), f"{use.name} reads a spoilt {name}"
        regions = [(buffers.offsets[use.name], use.size)]
        if use.scratch:
            regions.append((buffers.offsets[scratch_name(use.name)], use.scratch))
        # what is written while something is read, element by element in no known order, may not lie where that lies,
        # except in the place of the one it may write over
        for name in set(use.reads) & set(sizes):
            at, end = buffers.offsets[name], buffers.offsets[name] + sizes[name]
            for offset, size in regions:
                same = name == use.overwrites and offset == at
                assert same or offset >= end or offset + size <= at or not size or at == end
        for offset, size in reversed(regions):  # the scratch first: it may not spoil the result
            assert offset % ALIGN == 0
            assert offset + size <= buffers.size
            memory[offset : offset + size] = [use.name] * size if offset == regions[0][0] else [None] * size
        start = regions[0][0]
        assert memory[start : start + use.size] == [use.name] * use.size


@settings(max_examples=300, deadline=None, derandomize=True)
@given(programs())
def test_nobody_reads_what_another_wrote(found) -> None:
    buffers = plan_buffers(found)
    simulate(found, buffers)
    assert buffers.size >= peak_bytes(found)


def test_what_is_written_over_is_in_place_only_where_it_dies() -> None:
    first, second = Use("a", 512), Use("b", 512, ("a",), overwrites="a")
    assert plan_buffers([first, second]).size == 512
    assert peak_bytes([first, second]) == 512
    third = Use("c", 512, ("a", "b"))
    assert plan_buffers([first, second, third]).offsets["a"] != plan_buffers([first, second, third]).offsets["b"]
    # read twice by the operation: once where it is written, once anywhere
    assert plan_buffers([first, Use("b", 512, ("a", "a"), overwrites="a")]).size == 1024


def test_the_caller_owns_what_no_operation_writes() -> None:
    assert set(plan_buffers([Use("a", 8, ("input",), overwrites="input")]).offsets) == {"a"}


def test_scratch_lives_for_one_operation() -> None:
    found = [Use("a", 256), Use("b", 256, ("a",), scratch=512), Use("c", 256, ("b",))]
    assert peak_bytes(found) == 1024
    assert [life.names for life in lifetimes(found)][-1] == (scratch_name("b"),)


def made(spec: Spec, shape: tuple[int, ...]) -> tuple[ResNet, Program]:
    with torch.device("meta"):
        model = ResNet(spec).eval()
    return model, build_program(fold(model), shape)


@pytest.mark.parametrize(
    "name",
    [Spec(depth, version, shortcut).name for depth in (18, 50) for version in VERSIONS for shortcut in SHORTCUTS]
    + ["resnet34", "resnet101", "resnet152"],
)
def test_a_network_takes_no_more_than_it_must_and_less_than_eager(name) -> None:
    spec, shape = Spec.parse(name), (32, 3, 224, 224)
    model, steps = made(spec, shape)
    found = memory_uses(steps, 2, {})
    assert plan_buffers(found).size <= (1.21 if spec.shortcut == "none" else 1.01) * peak_bytes(found)
    assert plan_buffers(found).size < 0.9 * peak_bytes(eager_uses(model, shape, 2))


def test_a_network_s_plan_keeps_what_is_read() -> None:
    for spec in (Spec(50), Spec(18, "v2", "A"), Spec(50, "v2", "C")):
        _, steps = made(spec, (1, 3, 33, 33))
        found = memory_uses(steps, 2, {step.name: 1000 for step in steps.steps[1:-1] if step.stride == 2})
        assert set(plan_buffers(found).offsets) >= {use.name for use in found}
        simulate(found, plan_buffers(found))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50v2", "resnet18v1-A"])
def test_eager_s_memory_is_no_more_than_it_takes(name, monkeypatch) -> None:
    model, shape = ResNet(Spec.parse(name), num_classes=10).eval(), (2, 3, 64, 64)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)  # it lays weights out anew at each call
    with torch.inference_mode():
        x = torch.randn(shape)
        model(x)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
            model(x)
    live = top = 0
    for event in sorted(trace.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
        if event.name() == "[memory]":
            live += event.nbytes()
            top = max(top, live)
    told = peak_bytes(eager_uses(model, shape, 4))
    assert told <= top <= 3 * told
