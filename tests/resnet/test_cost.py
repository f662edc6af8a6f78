from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from resnet.archs import ARCHS, MODELS, SHORTCUTS, VERSIONS, Spec
from resnet.cost import BYTES, Operation, operations
from resnet.floors import FUSIONS, Ceilings, _group_floors, described_floors, fused_groups
from resnet.model import ResNet
from resnet.variants import PRECISIONS

# A count of its own, made apart from this code: rates of 790 TFLOP/s and 4.3 TB/s, fp16, 224 pixels. A line a depth:
# GFLOP and MB of activations of an image in each fusion model, MB of weights (no biases), kernels where they were told.
COUNTED = """
 18  3.63   34.6  12.4   9.2  6.1  4.1   23.4   68  23  10
 34  7.33   53.4  18.6  15.4 11.1  6.6   43.6  124  39  18
 50  8.18  159.7  54.7  51.5 37.0 23.2   51.0  174  56  18
101 15.60  241.6  82.0  78.8 64.3 36.8   88.9  344 107  35
152 23.03  342.7 115.7 112.5 98.1 53.7  120.1  514 158  52
"""
# A line a depth and batch: microseconds in each fusion model.
TIMED = """
 18   1  14.2    8.8   8.2    8.0   7.8
 18   8  86.7   42.6  37.7   37.1  37.1
 18  32   346    170   150    148   148
 18 128  1382    677   599    589   589
 18 256  2764   1354  1198   1179  1179
 34   1  24.0   15.5  14.9   14.7  14.2
 34   8   150   80.1  75.2   74.5  74.5
 34  32   598    319   300    297   297
 34 128  2392   1277  1198   1189  1189
 34 256  4785   2553  2397   2378  2378
 50   1  49.8   25.3  24.7   21.1  17.8
 50   8   331    136   131    104  87.3
 50  32  1321    533   513    408   346
 50 128  5278   2126  2048   1625  1381
 50 256 10555   4250  4093   3249  2761
101   1  77.7   40.4  39.8   36.3  29.9
101   8   521    224   219    192   162
101  32  2078    879   860    754   647
101 128  8309   3505  3427   3004  2584
101 256 16617   7006  6849   6005  5167
152   1   109   56.1  55.5   51.9  41.2
152   8   745    322   317    291   238
152  32  2971   1266  1246   1140   948
152 128 11877   5044  4966   4544  3787
152 256 23751  10082  9926   9082  7573
"""
OTHERS = [
    Spec(depth, version, shortcut).name for depth in (18, 50) for version in VERSIONS for shortcut in ("A", "none")
]
CEILINGS = Ceilings("a card", {"fp16": 790e12, "int8": 1580e12}, 4.3e12, None, 0.0, "measured")


def floor_s(model: str, batch: int, image: int, precision: str, ceilings: Ceilings, fusion: str = "conv") -> float:
    """The floor of a network in seconds."""
    return sum(floor.seconds for floor in described_floors(model, batch, image, precision, {}, ceilings, fusion))


def named(model: str, batch: int = 1, image: int = 224, precision: str = "fp16") -> dict[str, Operation]:
    return {operation.name: operation for operation in operations(model, batch, image, precision)}


@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_flops_shapes_and_weights_are_those_of_the_module_layer_by_layer(name: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        model = ResNet(Spec.parse(name)).eval()
        for path, module in model.named_modules():
            module.register_forward_hook(lambda _, __, out, path=path: shapes.__setitem__(path, tuple(out.shape)))  # type: ignore[misc]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(2, 3, 96, 65))
    counts = {path.removeprefix("ResNet."): sum(flops.values()) for path, flops in counter.get_flop_counts().items()}
    layers = {operation.name: operation for operation in operations(name, 2, (96, 65), "bf16")}
    modules = {path: m for path, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert {path for path, operation in layers.items() if operation.flops} == modules.keys()
    assert sum(operation.flops for operation in layers.values()) == counter.get_total_flops()
    for path, operation in layers.items():
        if not path.endswith(".add"):
            assert operation.shape == shapes[path], path
        assert operation.written == 2 * torch.Size(operation.shape).numel()
    for path, layer in modules.items():
        assert layers[path].flops == counts[path], path
        outputs = cast(Tensor, layer.weight).shape[0]
        assert layers[path].weights == 2 * (layer.weight.numel() + outputs), path


def test_every_layer_of_the_module_is_an_operation_or_a_pass_behind_one() -> None:
    for name in ("resnet18", "resnet50v1", "resnet50v2", "resnet34v2-none"):
        with torch.device("meta"):
            model = ResNet(Spec.parse(name))
        parts = {p for p, m in model.named_modules() if not list(m.children()) and not isinstance(m, nn.Identity)}
        layers = named(name).values()
        told = {operation.name for operation in layers} | {each for operation in layers for each in operation.passes}
        adds = {name for name in told if name.endswith(".add")}
        strided = {part for part in parts if "downsample" in part and part not in told}
        assert told - adds - {part.rpartition(".")[0] for part in strided} == parts - strided - {"pool_pad"}, name


@pytest.mark.parametrize("line", COUNTED.split("\n")[1:-1])
def test_bytes_flops_and_kernels_are_those_that_were_counted_apart(line: str) -> None:
    depth, gflop, *rest = map(float, line.split())
    moved, weights, kernels = rest[:5], rest[5], rest[6:]
    layers = operations(f"resnet{depth:.0f}", 1, 224, "fp16")
    made = {fusion: fused_groups(layers, fusion) for fusion in FUSIONS}
    assert sum(operation.flops for operation in layers) / 1e9 == pytest.approx(gflop, abs=0.005)
    for fusion, expected in zip(FUSIONS, moved, strict=True):
        bytes_moved = sum(sum(group.reads) + sum(group.writes) for group in made[fusion])
        assert bytes_moved / 1e6 == pytest.approx(expected, abs=0.051), fusion
    biases = sum(2 * operation.shape[1] for operation in layers if operation.flops)
    assert (sum(operation.weights for operation in layers) - biases) / 1e6 == pytest.approx(weights, abs=0.05)
    assert [len(made[fusion]) for fusion in ("separate", "conv", "block")] == kernels


@pytest.mark.parametrize("line", TIMED.split("\n")[1:-1])
def test_floors_are_those_that_were_counted_apart(line: str) -> None:
    depth, batch, *times = line.split()
    for fusion, time in zip(FUSIONS, times, strict=True):
        last_digit = 0.1 if "." in time else 1
        # theirs have no biases, ours no norm's parameters where it is a pass of its own
        within = 0.51 * last_digit + 0.002 * float(time)
        # theirs multiply the padding, too
        layers = [replace(one, needed=one.flops) for one in operations(f"resnet{depth}", int(batch), 224, "fp16")]
        seconds = sum(floor.seconds for floor in _group_floors(fused_groups(layers, fusion), CEILINGS))
        assert 1e6 * seconds == pytest.approx(float(time), abs=within), fusion


@pytest.mark.parametrize(("name", "image"), [("resnet18", (32, 32)), ("resnet50v2", (72, 33))])
def test_the_products_that_a_convolution_needs_are_those_that_read_no_padding(
    name: str, image: tuple[int, int]
) -> None:
    layers = {one.name: one for one in operations(name, 2, image, "fp32")}
    with torch.device("meta"):
        modules = dict(ResNet(Spec.parse(name)).named_modules())
    for layer in filter(lambda one: one.kind == "conv", layers.values()):
        module = cast(nn.Conv2d, modules[layer.name])
        size = image if layer.sources == ("input",) else layers[layer.sources[0]].shape[2:]
        ones = torch.ones(1, 1, *size), torch.ones(1, 1, *module.kernel_size)
        valid = int(F.conv2d(*ones, stride=module.stride, padding=module.padding).sum())  # type: ignore[arg-type]
        assert layer.needed == 2 * 2 * module.in_channels * module.out_channels * valid, layer.name


def test_a_layer_that_is_kept_wide_has_the_rate_and_the_weights_of_its_own_precision() -> None:
    machine = Ceilings("a CPU", {"fp32": 1e11, "int8": 4e11}, 1e12, None, 0.0, "measured")
    coded, mixed, wide = (
        {floor.names: floor for floor in described_floors("resnet18", 8, 64, *about)}
        for about in (
            ("int8", {}, machine),
            ("int8", {}, machine, "conv", {"layer2.0.conv1": "fp32", "nothing": "fp32"}),
            ("fp32", {}, machine),
        )
    )
    name = ("layer2.0.conv1",)
    assert mixed[name].seconds == wide[name].seconds == 4 * coded[name].seconds
    assert mixed[name].group.weights == wide[name].group.weights
    assert mixed[name].group.reads == coded[name].group.reads
    assert {key: floor for key, floor in mixed.items() if key != name} == {
        key: floor for key, floor in coded.items() if key != name
    }


def test_the_bytes_of_a_block_are_those_counted_by_hand() -> None:
    layers = [operation for name, operation in named("resnet50").items() if name.startswith("layer1.0.")]
    narrow, wide = 56 * 56 * 64 * 2, 56 * 56 * 256 * 2  # an activation of 64 channels, of 256
    conv = {group.names: (group.reads, group.writes) for group in fused_groups(layers, "conv")}
    assert conv == {
        ("layer1.0.conv1",): ((narrow,), (narrow,)),
        ("layer1.0.conv2",): ((narrow,), (narrow,)),
        ("layer1.0.conv3", "layer1.0.add"): ((narrow, wide), (wide,)),
        ("layer1.0.downsample.0",): ((narrow,), (wide,)),
    }
    separate = [(sum(group.reads), sum(group.writes)) for group in fused_groups(layers, "separate")]
    inner, outer = [(narrow, narrow)] * 3, [(narrow, wide), (wide, wide)]  # conv, norm, ReLU; conv, norm
    assert separate == [*inner, *inner, *outer, *outer, (2 * wide, wide), (wide, wide)]
    (block,) = fused_groups(layers, "block")
    assert (block.reads, block.writes) == ((narrow,), (wide,))
    assert block.weights == 2 * (64 * 64 + 9 * 64 * 64 + 2 * 64 * 256 + 64 + 64 + 2 * 256)
    assert fused_groups(layers, "stage1") == (block,)


def test_a_strided_1x1_reads_a_quarter_and_a_block_reads_its_input_once() -> None:
    layers = named("resnet50")
    whole = 56 * 56 * 256 * 2
    assert sum(layers["layer2.0.downsample.0"].reads) == whole // 4
    assert sum(layers["layer2.0.conv1"].reads) == whole
    assert sum(named("resnet50v1")["layer2.0.conv1"].reads) == whole // 4
    blocks = {group.names[0]: group for group in fused_groups(list(layers.values()), "block")}
    assert blocks["layer2.0.conv1"].reads == (whole,)


def test_option_a_selects_and_its_copy_is_part_of_the_sum() -> None:
    layers = named("resnet18-A")
    shortcut = layers["layer2.0.downsample"]
    assert (shortcut.kind, shortcut.flops, shortcut.weights) == ("subsample", 0, 0)
    assert (shortcut.read, shortcut.written) == (28 * 28 * 64 * 2, 28 * 28 * 128 * 2)
    fused = {group.names[0]: group for group in fused_groups(list(layers.values()), "conv")}["layer2.0.conv2"]
    assert fused.names == ("layer2.0.conv2", "layer2.0.downsample", "layer2.0.add")
    assert fused.reads == (28 * 28 * 128 * 2, 28 * 28 * 64 * 2)
    assert not any(name.endswith(("add", "downsample")) for name in named("resnet18-none"))


specs = st.builds(Spec, st.sampled_from(sorted(ARCHS)), st.sampled_from(VERSIONS), st.sampled_from(SHORTCUTS))


@settings(max_examples=25)
@given(specs, st.integers(1, 64), st.integers(32, 300), st.sampled_from(sorted(BYTES)), st.sampled_from([0.0, 2e-6]))
def test_each_fusion_model_does_the_same_work_in_no_more_time(
    spec: Spec, batch: int, image: int, precision: str, launch_s: float
) -> None:
    layers = operations(spec, batch, image, precision)
    ceilings = Ceilings("any", dict.fromkeys(BYTES, 3e14), 2e12, 5e12, launch_s, "measured", cache=20_000_000)
    seconds = []
    for fusion in FUSIONS:
        made = described_floors(spec.name, batch, image, precision, {}, ceilings, fusion)
        assert sum(n for floor in made for _, n in floor.group.products) == sum(
            operation.needed for operation in layers
        )
        assert sum(floor.group.weights for floor in made) == sum(operation.weights for operation in layers)
        names = [name for floor in made for name in floor.names]
        assert len(names) == len(set(names))
        assert {operation.name for operation in layers} <= set(names)
        seconds.append(sum(floor.seconds for floor in made))
        assert floor_s(spec.name, batch, image, precision, ceilings, fusion) == pytest.approx(seconds[-1])
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(seconds))


def test_a_kernel_is_bound_by_what_takes_it_longest() -> None:
    floors = described_floors("resnet50", 8, 224, "fp16", {}, replace(CEILINGS, launch_s=1e-6))
    bounds = {floor.names[0]: floor.bound for floor in floors}
    assert (bounds["layer1.0.conv3"], bounds["layer3.1.conv2"], bounds["avgpool"]) == ("memory", "compute", "launch")
    endless = Ceilings("a dream", {"fp16": 1e30}, 1e30, None, 3e-6, "measured")
    assert floor_s("resnet50", 8, 224, "fp16", endless) == pytest.approx(56 * 3e-6)


def test_what_fits_the_cache_is_at_its_rate_and_weights_only_where_all_fit() -> None:
    slow = Ceilings("slow memory", {"fp16": 1e30}, 1e12, 4e12, 0.0, "measured", cache=2_000_000)
    layers = operations("resnet50", 1, 224, "fp16")
    moved = sum(sum(group.reads) + sum(group.writes) for group in fused_groups(layers, "conv"))
    weights = sum(operation.weights for operation in layers)
    assert floor_s("resnet50", 1, 224, "fp16", slow) == pytest.approx(weights / 1e12 + moved / 4e12)
    large = replace(slow, cache=60_000_000)
    assert floor_s("resnet50", 1, 224, "fp16", large) == pytest.approx((weights + moved) / 4e12)
    for unknown in (replace(slow, cache=None), replace(slow, l2=None)):
        assert floor_s("resnet50", 1, 224, "fp16", unknown) == pytest.approx((weights + moved) / 1e12)
    # 32 images' 64 channels of 112 x 112 are 51 MB: the first convolution's output is written to memory
    (stem, *_) = described_floors("resnet50", 32, 224, "fp16", {}, slow, "conv")
    image = 32 * 3 * 224 * 224 * 2  # 9.6 MB, no more in the cache than its output
    assert stem.seconds == pytest.approx((image + 32 * 64 * 112 * 112 * 2 + 2 * (64 * 147 + 64)) / 1e12)


def test_a_precision_is_no_slower_than_fp32_and_one_without_a_rate_is_refused() -> None:
    cpu = Ceilings("a CPU", {"fp32": 2e11, "fp16": 2e10, "bf16": 4e11}, 2e10, None, 0.0, "measured")
    assert [cpu.rate(precision) for precision in ("fp32", "fp16", "bf16")] == [2e11, 2e11, 4e11]
    with pytest.raises(ValueError, match=r"no int8 rate of a CPU; it has fp32, fp16, bf16"):
        floor_s("resnet18", 1, 224, "int8", cpu)


def test_bytes_are_known_of_every_precision_of_a_case() -> None:
    assert set(PRECISIONS) <= BYTES.keys()
    assert named("resnet18", precision="tf32")["conv1"].written == named("resnet18", precision="fp32")["conv1"].written
    layers = [replace(one, needed=one.flops) for one in operations("resnet50", 256, 224, "int8")]  # as it was counted
    seconds = sum(floor.seconds for floor in _group_floors(fused_groups(layers, "block"), CEILINGS))
    assert seconds == pytest.approx(256 / 185.4e3, rel=0.003)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet51", 1, 224, "fp16", "conv"), "depth 51 is not one of"),
        (("resnet50", 1, 224, "fp64", "conv"), "unknown precision 'fp64'; allowed: fp32"),
        (("resnet50", 1, 224, "fp16", "all"), "unknown fusion model 'all'; allowed: separate, conv"),
        (("resnet50", 0, 224, "fp16", "conv"), "batch 0 of 224 x 224 pixels"),
        (("resnet50", 1, (224, 0), "fp16", "conv"), "batch 1 of 224 x 0 pixels"),
    ],
)
def test_a_word_that_means_nothing_is_told(arguments: tuple[str, int, int, str, str], message: str) -> None:
    model, batch, image, precision, fusion = arguments
    with pytest.raises(ValueError, match=message):
        floor_s(model, batch, image, precision, CEILINGS, fusion)
