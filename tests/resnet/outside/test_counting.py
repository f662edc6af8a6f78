"""FLOPs and bytes of any module, against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet.archs import MODELS, Spec
from resnet.cost import operations
from resnet.counted import Row
from resnet.floors import fused_groups
from resnet.model import ResNet
from resnet.outside.counting import CountError, count_module

PICTURE = 4 * 8 * 8  # elements of 4 channels of 8 x 8
SHAPE = (1, 4, 8, 8)


def rows(model: nn.Module, shape: tuple[int, ...] = SHAPE) -> list[Row]:
    counted = count_module(model.eval(), shape)
    assert counted.how == "meta"
    assert counted.flops >= sum(row[1] for row in counted.rows)
    return counted.rows


def conv(inputs: int, outputs: int, kernel: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)


class Block(nn.Module):
    """Modules by name, and a forward of their own."""

    def __init__(self, forward: Any, **modules: nn.Module) -> None:
        super().__init__()
        self.calls = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Any:
        return self.calls(self, x)


def test_a_norm_and_a_relu_run_behind_their_convolution_and_leave_a_bias() -> None:
    net = nn.Sequential(conv(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), conv(8, 4))
    flops = 2 * 22**2 * 4 * 8, 2 * 8 * 4 * 64  # 22 of 3 x 8 taps read no padding
    assert rows(net) == [
        ["0", flops[0], 9 * 4 * 8 + 8, [[-1, PICTURE]], 8 * 64],
        ["3", flops[1], 8 * 4, [[0, 8 * 64]], PICTURE],
    ]
    assert count_module(net, SHAPE).kernels.members == [["0", "1", "2"], ["3"]]


def test_grouped_depthwise_and_strided_convolutions() -> None:
    grouped, depthwise, strided = conv(4, 8, 3, groups=2), conv(8, 8, 5, groups=8), conv(8, 16, stride=2)
    found = rows(nn.Sequential(grouped, depthwise, strided))
    assert [row[1] for row in found] == [2 * 22**2 * 2 * 8, 2 * 34**2 * 8, 2 * 8 * 16 * 16]
    assert [row[2] for row in found] == [9 * 2 * 8, 25 * 8, 8 * 16]
    # a 1x1 of stride 2 reads a quarter of the pixels
    assert [row[3:] for row in found] == [[[[-1, PICTURE]], 512], [[[0, 512]], 512], [[[1, 128]], 16 * 16]]


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 4, (3, 5), stride=(2, 1), padding=(2, 3), dilation=2, groups=2, bias=False),
        nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, bias=False),
    ],
)
def test_products_with_padding_are_torchs_flops_and_no_work(module: nn.Conv2d) -> None:
    counted = count_module(module, SHAPE)
    ones = torch.ones(1, 1, *(module(torch.ones(SHAPE)).shape if module.transposed else SHAPE)[2:])
    window = torch.ones(1, 1, *module.kernel_size)
    valid = int(F.conv2d(ones, window, None, module.stride, module.padding, module.dilation).sum())  # type: ignore[arg-type]
    assert counted.rows[0][1] == 2 * valid * 16 // module.groups < counted.flops


def test_a_sum_runs_in_the_newest_of_its_branches_and_reads_the_other() -> None:
    net = Block(lambda m, x: F.relu(m.b(F.relu(m.a(x))) + m.down(x)), a=conv(4, 4, 3), b=conv(4, 4, 3), down=conv(4, 4))
    assert [(row[0], row[3], row[4]) for row in rows(net)] == [
        ("a", [[-1, PICTURE]], PICTURE),
        ("b", [[0, PICTURE]], PICTURE),
        ("down", [[-1, PICTURE], [1, PICTURE]], PICTURE),
    ]


def test_an_identity_block_reads_its_input_twice_and_a_preactivation_is_written_once() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        y = m.a(x)  # in memory for the sum: the norm and the ReLU before `b` run as `b` reads it
        return m.c(y + m.b(F.relu(m.norm(y))))

    net = Block(forward, a=conv(4, 4), norm=nn.BatchNorm2d(4), b=conv(4, 4), c=conv(4, 4))
    assert [(row[0], row[3], row[4]) for row in rows(net)] == [
        ("a", [[-1, PICTURE]], PICTURE),
        ("b", [[0, PICTURE]], PICTURE),
        ("c", [[1, PICTURE]], PICTURE),
    ]


def test_joined_values_stay_where_they_are_and_slices_are_read_in_part() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        joined = torch.cat([x, m.a(x)], 1)
        first, second = F.relu(m.norm(joined)).chunk(2, 1)
        return m.b(second) + m.c(first)

    net = Block(forward, a=conv(4, 12), norm=nn.BatchNorm2d(16), b=conv(8, 4), c=conv(8, 4))
    found = {row[0]: row[3:] for row in rows(net)}
    assert found["a"] == [[[-1, PICTURE]], 3 * PICTURE]
    # each reads a half of the joined value: its pieces in proportion
    assert found["b"] == [[[-1, PICTURE // 2], [0, 3 * PICTURE // 2]], PICTURE]
    assert found["c"] == [[[-1, PICTURE // 2], [0, 3 * PICTURE // 2], [1, PICTURE]], PICTURE]


def test_a_gate_is_applied_as_the_next_convolution_reads() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        y = m.a(x)
        gate = m.fc(y.mean((2, 3), keepdim=True)).sigmoid()
        return m.b(y * gate)

    net = Block(forward, a=conv(4, 32, 3), fc=conv(32, 32), b=conv(32, 4))
    y = 32 * 64
    assert [row[:1] + row[3:] for row in rows(net)] == [
        ["a", [[-1, PICTURE]], y],
        ["mean", [[0, y]], 32],
        ["fc", [[1, 32]], 32],
        ["b", [[0, y], [2, 32]], PICTURE],
    ]


def test_attention_is_one_kernel_beside_its_products_and_norms() -> None:
    width, length, heads = 16, 10, 2

    def forward(m: Any, x: Tensor) -> Any:
        q, k, v = m.qkv(m.norm(x)).reshape(1, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        return x + m.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(1, length, width))

    net = Block(forward, norm=nn.LayerNorm(width), qkv=nn.Linear(width, 3 * width), out=nn.Linear(width, width))
    size = length * width
    assert rows(net, (1, length, width)) == [
        ["norm", 0, 2 * width, [[-1, size]], size],
        ["qkv", 2 * 3 * width * size, 3 * width * (width + 1), [[0, size]], 3 * size],
        ["scaled_dot_product_attention", 2 * 2 * length * size, 0, [[1, 3 * size]], size],
        ["out", 2 * width * size, width * (width + 1), [[2, size], [-1, size]], size],
    ]


def test_torchs_own_attention_module_is_counted_alike() -> None:
    net = Block(lambda m, x: m.attention(x, x, x, need_weights=False)[0], attention=nn.MultiheadAttention(16, 2))
    assert [row[4] for row in rows(net, (10, 1, 16))] == [3 * 160, 160, 160]


def test_what_depends_on_weights_alone_is_no_work() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        weight = m.a.weight
        return F.conv2d(x, (weight - weight.mean()) / weight.std(), padding=1)

    (row,) = rows(Block(forward, a=conv(4, 4, 3)))
    assert row == ["convolution", 2 * 22**2 * 16, 9 * 16, [[-1, PICTURE]], PICTURE]


def test_writing_in_place_into_a_part_keeps_the_rest() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        y = m.a(x)
        y[:, :1] = m.b(x)
        return m.c(y)

    net = Block(forward, a=conv(4, 4), b=conv(4, 1), c=conv(4, 4))
    assert [(row[0], row[3], row[4]) for row in rows(net)] == [
        ("a", [[-1, PICTURE]], PICTURE),
        ("b", [[-1, PICTURE]], 64),
        ("c", [[0, PICTURE - 64], [1, 64]], PICTURE),
    ]


def test_a_module_called_twice_has_a_name_for_each_call() -> None:
    net = Block(lambda m, x: m.relu(m.b(m.relu(m.a(x)))), a=conv(4, 4), b=conv(4, 4), relu=nn.ReLU())
    modules = count_module(net, SHAPE).kernels.modules
    assert modules == {"a": ["a"], "b": ["b"], "relu": ["a"], "relu#2": ["b"]}


@pytest.mark.parametrize("name", [*MODELS[:9], "resnet50-A", "resnet18-none", "resnet50v2-C"])
def test_this_projects_networks_are_counted_as_they_are_worked_out(name: str) -> None:
    found = rows(ResNet(Spec.parse(name)), (1, 3, 224, 224))
    layers = operations(name, 1, 224, "fp32")
    expected = fused_groups(layers, "conv")
    assert [row[1] for row in found] == [sum(flops for _, flops in group.products) for group in expected]
    exact = "v2" not in name  # v2's pool has a padded copy to read, and the norm before a sum is written, too
    reads, writes = sum(e for row in found for _, e in row[3]), sum(row[4] for row in found)
    assert 4 * reads == pytest.approx(sum(sum(group.reads) for group in expected), rel=0 if exact else 0.02)
    assert 4 * writes == pytest.approx(sum(sum(group.writes) for group in expected), rel=0 if exact else 0.06)
    # v1's convolutions have biases, which the norms' are added to
    assert 4 * sum(row[2] for row in found) == pytest.approx(sum(layer.weights for layer in layers), rel=0.002)


def test_what_needs_data_or_holds_tensors_of_its_own_runs_on_the_cpu_and_is_left_as_it_was() -> None:
    def forward(m: Any, x: Tensor) -> Any:
        m.kept = x  # some keep what they worked out for the next call
        return m.a(x) * m.own if x.sum() < 1 else x

    net = Block(forward, a=conv(4, 4))
    net.own = torch.ones(1)
    counted = count_module(net, SHAPE)
    assert (counted.how, [row[0] for row in counted.rows]) == ("cpu", ["a"])
    assert not hasattr(net, "kept")


def test_what_cannot_run_is_told() -> None:
    with pytest.raises(CountError, match=r"cannot be counted: RuntimeError: .*expected input\[1, 3, 8, 8\]"):
        count_module(conv(4, 4), (1, 3, 8, 8))
