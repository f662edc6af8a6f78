"""A profiler's trace read: the events below have the fields that torch.profiler writes for a GPU and for a CPU."""

import random
from typing import Any

from bench.worker.layers import trace
from bench.worker.layers.trace import EXECUTION, LAYER


def event(cat: str, name: str, ts: float, dur: float, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "tid": args.pop("tid", 1), "args": args}


def on_a_gpu() -> list[dict[str, Any]]:
    """Two executions of a convolution and a norm in one layer, a copy in a block around it; kernels run late."""
    found: list[dict[str, Any]] = [{"ph": "M", "name": "process_name"}]
    for start in (0.0, 1000.0):
        found += [
            event("user_annotation", EXECUTION, start, 900),
            event("gpu_user_annotation", f"{LAYER}conv1", start + 300, 200, tid=7),
            event("user_annotation", f"{LAYER}block", start + 10, 200),
            event("user_annotation", f"{LAYER}conv1", start + 20, 50),
            event("cuda_runtime", "cudaLaunchKernel", start + 30, 5, correlation=start + 1),
            event("cuda_driver", "cuLaunchKernelEx", start + 50, 5, correlation=start + 2),
            event("cuda_runtime", "cudaMemcpyAsync", start + 100, 5, correlation=start + 3),
            event("cuda_runtime", "cudaLaunchKernel", start + 300, 5, correlation=start + 4),
            event("kernel", "conv", start + 310, 100, tid=7, correlation=start + 1),
            event("kernel", "norm", start + 420, 10, tid=7, correlation=start + 2),
            event("gpu_memcpy", "copy", start + 440, 3, tid=7, correlation=start + 3),
            event("kernel", "last", start + 460, 4, tid=7, correlation=start + 4),
        ]
    random.Random(0).shuffle(found)
    return found


def test_a_kernel_belongs_to_the_innermost_range_that_launched_it_however_late_it_runs() -> None:
    first, second = trace.device_kernels(trace.complete(on_a_gpu()))
    expected = [("conv", 100, "conv1"), ("norm", 10, "conv1"), ("copy", 3, "block"), ("last", 4, None)]
    assert [(kernel.name, kernel.us, kernel.layer) for kernel in first] == expected
    assert first == second


def test_kernels_of_a_graph_share_a_launch_and_come_in_the_order_they_ran() -> None:
    events = [
        event("user_annotation", EXECUTION, 0, 100),
        event("cuda_runtime", "cudaGraphLaunch", 5, 2, correlation=9),
    ]
    events += [event("kernel", name, ts, 1, tid=7, correlation=9) for name, ts in (("b", 30), ("a", 20), ("c", 40))]
    (found,) = trace.device_kernels(trace.complete(events))
    assert [kernel.name for kernel in found] == ["a", "b", "c"]


def test_what_ran_between_executions_is_left_out() -> None:
    events = [event("user_annotation", EXECUTION, 100, 10)]
    for ts in (50, 105, 150):
        events += [event("cuda_runtime", "x", ts, 1, correlation=ts), event("kernel", f"k{ts}", ts, 1, correlation=ts)]
    assert [[kernel.name for kernel in one] for one in trace.device_kernels(trace.complete(events))] == [["k105"]]


def on_a_cpu() -> list[dict[str, Any]]:
    return [
        event("user_annotation", EXECUTION, 0, 100),
        event("cpu_op", "## Call CompiledFxGraph ##", 1, 90),
        event("user_annotation", f"{LAYER}conv1", 2, 50),
        event("cpu_op", "aten::conv2d", 5, 40),
        event("cpu_op", "aten::mkldnn_convolution", 10, 30),
        event("cpu_op", "aten::empty", 12, 4),
        event("cpu_op", "graph_0_cpp_fused_relu_1", 60, 10),
    ]


def test_an_operator_on_a_cpu_has_the_time_that_those_inside_it_have_not() -> None:
    found = {kernel.name: kernel for kernel in trace.host_kernels(trace.complete(on_a_cpu()))}
    assert {name: kernel.us for name, kernel in found.items()} == {
        "aten::conv2d": 10,
        "aten::mkldnn_convolution": 26,
        "aten::empty": 4,
        "graph_0_cpp_fused_relu_1": 10,
    }
    assert found["aten::empty"].layer == "conv1"
    assert found["graph_0_cpp_fused_relu_1"].layer is None


def test_the_outermost_operators_of_compiled_code_come_in_order_with_what_is_inside() -> None:
    (found,) = trace.host_calls(trace.complete(on_a_cpu()))
    assert [(call.name, call.us) for call in found] == [("aten::conv2d", 40), ("graph_0_cpp_fused_relu_1", 10)]
    assert {kernel.name for kernel in found[0].inside} == {"aten::conv2d", "aten::mkldnn_convolution", "aten::empty"}


def test_the_usual_sequence_is_that_of_most_executions() -> None:
    a, b = trace.Kernel("a", 1.0), trace.Kernel("b", 2.0)
    slower = [trace.Kernel("a", 3.0), b]
    assert trace.usual_executions([[a, b], [a], slower]) == [[a, b], slower]
