"""The sentence that says why 8 bits are not faster."""

from __future__ import annotations

from typing import Any

from bench.roofline.eight_bits import describe_eight_bits

FP32, INT8 = "resnet18/onnxruntime/fp32/b1/i64/stream", "resnet18/onnxruntime/int8/b1/i64/stream"


def row(name: str, us: float, bound: str | None, **kernels: float) -> dict[str, Any]:
    listed = [{"name": kernel, "us": taken, "count": 1} for kernel, taken in kernels.items()]
    return {"name": name, "operations": [name], "us": us, "half_us": 0.0, "bound": bound, "kernels": listed}


def compared(name: str, difference: float, sure: bool = True) -> dict[str, Any]:
    return {"name": name, "difference_us": difference, "sure": sure}


def profile(bound: str | None = "compute") -> dict[str, Any]:
    rows = [
        row("conv1", 40.0, bound, QLinearConv=36.0, QuantizeLinear=4.0),
        row("layer1.0.conv1", 50.0, bound and "memory", QLinearConv=50.0),
        row("fc", 10.0, bound, DequantizeLinear=6.0, Gemm=4.0),
    ]
    quantized = {"layers": 20, "wide": ["fc"], "float_operations": ["ReduceMean"]}
    ours = {"case": INT8, "whole_us": 100.0, "sum_us": 100.0, "error_us": 1.0, "rows": rows}
    ours |= {"details": {"quantized": quantized}, "how": "onnxruntime", "whole_interval_us": [99.0, 101.0]}
    ours["timed_us"] = 100.0
    against = {"case": FP32, "whole_us": 210.0, "sum_us": 210.0, "error_us": 1.0, "details": {}, "rows": []}
    against |= {"whole_interval_us": [205.0, 215.0], "timed_us": 210.0}
    differences = [compared("conv1", -50.0), compared("fc", 5.0), compared("layer1.0.conv1", 1.0, sure=False)]
    return ours | {"against": against, "compared": differences}


def test_it_says_what_ran_what_conversions_take_and_what_memory_bounds() -> None:
    assert describe_eight_bits(profile()) == (
        "8 bits run it at 2.10 times the speed (2.03 to 2.17): 20 of 21 layers ran in 8 bits, kept wide: fc, "
        "left in float: ReduceMean; conversions between formats take 10.0% of the time; "
        "1 of 3 layers, sums and pools, with 50% of the time, is bound by memory, not arithmetic, by their floors "
        "(layer1.0.conv1); 1 layer is slower for sure (fc)."
    )


def test_conversions_have_the_time_of_their_row_and_those_that_cannot_be_told_apart_are_named() -> None:
    found = profile()
    found["rows"] = [row("conversions", 20.0, None, QuantizeLinear=3.0), row("conv1", 80.0, "compute", QLinearConv=1.0)]
    found["compared"] = [compared("conversions", 20.0)]
    said = describe_eight_bits(found)
    assert "take 20.0% of the time;" in said
    assert "slower" not in said, "conversions are no layer"
    found["whole_us"] = 200.0
    assert "take 10.0% of the time;" in describe_eight_bits(found), "of the whole, not of what was seen in parts"
    found["whole_us"] = 100.0
    mixed = "cpp_fused_dequantize_per_tensor_mean_quantize_per_tensor_1"
    alone = "graph_0_cpp_fused_quantize_per_tensor_0"
    found["rows"] = [row(name, 10.0, None, **{name: 10.0}) | {"operations": []} for name in (mixed, alone)]
    assert "take 10.0% of the time, without those inside other kernels" in describe_eight_bits(found)
    found["rows"] = [row("conv1", 10.0, None, **{"onednn::qconv_pointwise": 10.0})]
    assert "conversions between formats cannot be seen here" in describe_eight_bits(found)


def test_the_other_order_of_the_two_says_the_same() -> None:
    found = profile()
    turned = found["against"] | {
        "against": {name: found[name] for name in found if name not in ("against", "compared")}
    }
    turned["compared"] = [one | {"difference_us": -one["difference_us"]} for one in found["compared"]]
    assert describe_eight_bits(turned) == describe_eight_bits(found)


def test_without_ceilings_it_says_so_and_of_two_alike_nothing() -> None:
    assert "no floors, as this machine's ceilings in 8 bits are not measured" in describe_eight_bits(profile(None))
    both = profile()
    both["against"]["case"] = INT8
    assert describe_eight_bits(both) == ""


def test_on_a_busy_machine_it_does_not_say_how_fast() -> None:
    busy = profile() | {"whole_interval_us": [90.0, 240.0]}
    assert describe_eight_bits(busy).startswith("Whether 8 bits are faster is unclear, at 0.85 to 2.39 times the speed")
    slowed = profile() | {"error_us": 30.0}
    assert describe_eight_bits(slowed).startswith("How fast 8 bits are is unclear, as the machine was not quiet: 20 of")
    added = slowed | {"timed_us": 125.0}
    assert describe_eight_bits(added).startswith("8 bits run it at 2.10"), "timing the parts does not slow the whole"
    few = profile() | {"whole_interval_us": None}
    assert describe_eight_bits(few).startswith("Too few executions to say how fast 8 bits are")
