"""What is fused into what, design by design; the numbers are tests/resnet/variants/test_fused.py's."""

import pytest
import torch
from torch import nn

from kernels.space.layer import Layer
from resnet.archs import ARCHS, Spec
from resnet.fold import fold
from resnet.fused.program import Conv, Head, Program, build_program
from resnet.model import ResNet
from tests.networks import convolutions


def of(name: str, shape: tuple[int, ...] = (2, 3, 224, 224)) -> Program:
    with torch.device("meta"):
        return build_program(fold(ResNet(Spec.parse(name)).eval()), shape)


@pytest.mark.parametrize("depth", ARCHS)
@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("version", ["v1", "v1.5", "v2"])
def test_one_step_a_convolution_of_the_branches(depth, version, shortcut) -> None:
    """Projections, norms, sums and ReLUs are inside; only v2's pooled stem is activated apart, where one projects."""
    spec = Spec(depth, version, shortcut)
    steps = of(spec.name).steps
    branches = sum(spec.arch.counts) * (2 if spec.arch.block == "basic" else 3)
    projects = shortcut == "C" or (shortcut == "B" and spec.arch.block == "bottleneck")
    apart = version == "v2" and projects
    assert len(steps) == branches + 2 + apart
    assert [type(step) for step in (steps[0], *steps[1:-1], steps[-1])] == [*[Conv] * (len(steps) - 1), Head]
    assert [step.name for step in steps if isinstance(step, Conv) and step.pool] == [steps[0].name]
    assert [step.name for step in steps if step.name.endswith(".preact")] == ["layer1.0.preact"] * apart


@pytest.mark.parametrize(
    ("name", "prologues", "shortcuts", "residuals", "head"),
    [
        ("resnet50", 0, 4, 12, False),
        ("resnet50v1", 0, 4, 12, False),
        ("resnet18", 0, 3, 5, False),
        ("resnet50-A", 0, 4, 12, False),
        ("resnet50-C", 0, 16, 0, False),
        ("resnet50-none", 0, 0, 0, False),
        # the stem's, and one a block but for each stage's first, whose norm is in the block before
        ("resnet50v2", 1 + 12, 4 + 3, 9, True),
        # the first block of stage 1 projects nothing
        ("resnet18v2", 1 + 4, 3 + 3, 2, True),
        # every block's shortcut reads the raw sum
        ("resnet50v2-A", 16, 4 + 3, 9, True),
        # no sum is read raw
        ("resnet50v2-C", 1, 16, 0, False),
        ("resnet50v2-none", 1, 0, 0, False),
    ],
)
def test_where_norms_and_shortcuts_go(name, prologues, shortcuts, residuals, head) -> None:
    made = of(name)
    convs = list(made.steps[1:-1])
    assert sum(step.prologue is not None for step in convs) == prologues
    assert sum(step.shortcut is not None for step in convs) == shortcuts
    assert sum(step.residual is not None for step in convs) == residuals
    last = made.steps[-1]
    assert isinstance(last, Head)
    assert (last.prologue is not None) is head


def test_option_a_is_a_matrix_of_zeros_and_ones() -> None:
    step = next(
        step
        for step in build_program(fold(ResNet(Spec(18, "v1", "A")).eval()), (1, 3, 64, 64)).steps[1:-1]
        if step.shortcut
    )
    assert step.shortcut is not None
    assert step.shortcut.stride == 2
    assert not step.shortcut.learned
    want = torch.zeros(128, 64)
    want[range(64), range(64)] = 1
    assert torch.equal(step.shortcut.weight[:, :, 0, 0], want)


def test_a_norm_behind_a_sum_scales_the_shortcut_too() -> None:
    model = ResNet(Spec(50, "v2")).eval().requires_grad_(False)
    norm = model.layer2[0].preact_bn
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.uniform_(-1, 1)
    made = build_program(fold(model), (1, 3, 64, 64))
    step = next(step for step in made.steps[1:-1] if step.name == "layer1.2.conv3")
    assert step.relu
    assert step.shortcut is not None
    want = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    assert torch.allclose(step.shortcut.weight[:, :, 0, 0], torch.diag(want))


@pytest.mark.parametrize("shape", [(1, 3, 64), (1, 4, 64, 64), (0, 3, 64, 64)])
def test_a_batch_that_does_not_fit_is_refused(shape) -> None:
    with pytest.raises(ValueError, match="a batch of shape"):
        of("resnet18", shape)


def test_layers_come_once_and_from_a_name_alone() -> None:
    found = convolutions("resnet50", 32, 224, "bf16")
    assert len(found) == len(set(found)) == 23
    assert found[0] == Layer(32, 56, 56, 64, 64, (1, 1), dtype="bf16")
    assert found[2] == Layer(32, 56, 56, 64, 256, (1, 1), second=(56, 56, 64, 1), dtype="bf16")
    assert convolutions(Spec(50), 32, (224, 224), "bf16") == found
    assert convolutions("resnet50", 1, (224, 160), "fp16")[0].w == 40
    with pytest.raises(ValueError, match="unknown model"):
        convolutions("resnet51", 1, 224, "fp16")
