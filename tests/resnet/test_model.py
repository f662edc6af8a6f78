"""The networks against what their sources publish: names, counts, strides, biases, padding; and how they run."""

import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from resnet.archs import ARCHS, SHORTCUTS, VERSIONS, Spec
from resnet.model import BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck, ResNet, stage

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SPECS = [Spec(*words) for words in itertools.product(ARCHS, VERSIONS, SHORTCUTS)]


def meta(name: str | Spec, num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """The model without storage: shapes and names alone."""
    spec = Spec.parse(name) if isinstance(name, str) else name
    with torch.device("meta"):
        return ResNet(spec, num_classes, in_channels).eval()


def real(name: str, num_classes: int = 10) -> ResNet:
    """The model on the CPU with weights and norm statistics from a seed, all different from their defaults."""
    torch.manual_seed(0)
    model = ResNet(Spec.parse(name), num_classes).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
    return model


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "count"),  # https://pytorch.org/vision/stable/models.html, "num_params"
    [
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("resnet101", 44_549_160),
        ("resnet152", 60_192_808),
    ],
)
def test_torchvision_parameter_count(name: str, count: int) -> None:
    assert parameters(meta(name)) == count


@pytest.mark.parametrize(
    ("name", "count"),  # "Total params" of Model.summary(), which counts moving statistics
    [
        ("resnet50v1", 25_636_712),
        ("resnet101v1", 44_707_176),
        ("resnet152v1", 60_419_944),
        ("resnet50v2", 25_613_800),
        ("resnet101v2", 44_675_560),
        ("resnet152v2", 60_380_648),
    ],
)
def test_keras_parameter_count(name: str, count: int) -> None:
    model = meta(name)
    statistics = sum(b.numel() for key, b in model.named_buffers() if not key.endswith("num_batches_tracked"))
    assert parameters(model) + statistics == count


def torchvision_shapes(depth: int) -> dict[str, tuple[int, ...]]:
    """State-dict names and shapes by the rule of torchvision's models/resnet.py, written out anew."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv_bn(conv: str, bn: str, out_channels: int, in_channels: int, kernel: int) -> None:
        shapes[f"{conv}.weight"] = (out_channels, in_channels, kernel, kernel)
        shapes.update({f"{bn}.{leaf}": (out_channels,) for leaf in ("weight", "bias", "running_mean", "running_var")})
        shapes[f"{bn}.num_batches_tracked"] = ()

    conv_bn("conv1", "bn1", 64, 3, 7)
    counts = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    channels = 64
    for number, (blocks, width) in enumerate(zip(counts, (64, 128, 256, 512), strict=True), 1):
        out_channels = width if depth < 50 else 4 * width
        for i in range(blocks):
            at = f"layer{number}.{i}"
            kernels = (3, 3) if depth < 50 else (1, 3, 1)
            widths = [channels] + [width] * (len(kernels) - 1) + [out_channels]
            for j, kernel in enumerate(kernels, 1):
                conv_bn(f"{at}.conv{j}", f"{at}.bn{j}", widths[j], widths[j - 1], kernel)
            if channels != out_channels:
                conv_bn(f"{at}.downsample.0", f"{at}.downsample.1", out_channels, channels, 1)
            channels = out_channels
    shapes |= {"fc.weight": (1000, channels), "fc.bias": (1000,)}
    return shapes


@pytest.mark.parametrize("depth", ARCHS)
def test_torchvision_state_dict(depth: int) -> None:
    ours = {key: tuple(value.shape) for key, value in meta(f"resnet{depth}").state_dict().items()}
    assert ours == torchvision_shapes(depth)


@pytest.mark.parametrize("depth", [18, 50])
def test_against_torchvision(depth: int) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    ours = real(f"resnet{depth}", num_classes=1000)
    theirs = getattr(models, f"resnet{depth}")(weights=None).eval().requires_grad_(False)
    theirs.load_state_dict(ours.state_dict())
    batch = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(batch), theirs(batch), rtol=0, atol=0)


def strided(model: nn.Module) -> set[str]:
    """Convolutions and pools, outside the stem, that shrink the picture."""
    kinds = (nn.Conv2d, nn.MaxPool2d)
    found = {name: module for name, module in model.named_modules() if isinstance(module, kinds) and "layer" in name}
    return {name for name, module in found.items() if module.stride in (2, (2, 2))}


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("resnet50v1", [f"layer{i}.0.{at}" for i in (2, 3, 4) for at in ("conv1", "downsample.0")]),
        ("resnet50", [f"layer{i}.0.{at}" for i in (2, 3, 4) for at in ("conv2", "downsample.0")]),
        ("resnet34v1", [f"layer{i}.0.{at}" for i in (2, 3, 4) for at in ("conv1", "downsample.0")]),
        ("resnet34", [f"layer{i}.0.{at}" for i in (2, 3, 4) for at in ("conv1", "downsample.0")]),
        ("resnet50v2", [f"layer{i}.{at}" for i in ("1.2", "2.3", "3.5") for at in ("conv2", "downsample.0")]),
        ("resnet18v2", [f"layer{i}.1.{at}" for i in (1, 2, 3) for at in ("conv1", "downsample.0")]),
        ("resnet50v2-none", [f"layer{i}.conv2" for i in ("1.2", "2.3", "3.5")]),
    ],
)
def test_strides_sit_where_the_design_says(name: str, want: list[str]) -> None:
    assert strided(meta(name)) == set(want)


def test_biases() -> None:
    def biased(name: str) -> set[str]:
        convs = ((at, module) for at, module in meta(name).named_modules() if isinstance(module, nn.Conv2d))
        return {at.split(".", 2)[-1] for at, module in convs if module.bias is not None}

    assert biased("resnet50v1") == {"conv1", "conv2", "conv3", "downsample.0"}
    assert biased("resnet50") == set()
    assert biased("resnet50v2") == {"conv1", "conv3", "downsample.0"}
    assert meta("resnet50v2").layer1[0].conv1.bias is None  # the "conv1" above is the stem's
    assert biased("resnet18v2") == {"conv1", "conv2", "downsample.0"}


@pytest.mark.parametrize(("version", "eps"), [("v1", 1.001e-5), ("", 1e-5), ("v2", 1.001e-5)])
@pytest.mark.parametrize("depth", [18, 50])
def test_norm_epsilon(depth: int, version: str, eps: float) -> None:
    norms = [m for m in meta(f"resnet{depth}{version}-C").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {eps}


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnet152"])
def test_the_articles_check(name: str) -> None:
    with torch.device(DEVICE):
        model = ResNet(Spec.parse(name)).eval()
    with torch.inference_mode():
        assert model(torch.randn(4, 3, 224, 224, device=DEVICE)).shape == (4, 1000)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_model_builds(spec: Spec) -> None:
    model = meta(spec, num_classes=7, in_channels=4)
    kinds = {18: (BasicBlock, PreActBasicBlock), 34: (BasicBlock, PreActBasicBlock)}
    kind = kinds.get(spec.depth, (Bottleneck, PreActBottleneck))[spec.version == "v2"]
    stages = (model.layer1, model.layer2, model.layer3, model.layer4)
    assert tuple(map(len, stages)) == spec.arch.counts
    assert all(type(block) is kind for blocks in stages for block in blocks)

    sizes = []
    for blocks in stages:
        blocks.register_forward_hook(lambda _module, _inputs, output: sizes.append(tuple(output.shape[2:])))
    # Odd and oblong: both ways through a block must round up alike.
    assert model(torch.empty(2, 4, 97, 130, device="meta")).shape == (2, 7)
    halves = [(25, 33), (13, 17), (7, 9), (4, 5)]
    assert sizes == (halves if spec.version != "v2" else [*halves[1:], halves[-1]])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("depth", [18, 50])
def test_parameters_of_the_shortcuts(depth: int, version: str) -> None:
    models = {shortcut: meta(Spec(depth, version, shortcut)) for shortcut in SHORTCUTS}  # type: ignore[arg-type]
    projections = {
        shortcut: {key for key in model.state_dict() if key.endswith("downsample.0.weight")}
        for shortcut, model in models.items()
    }
    blocks = sum(ARCHS[depth].counts)
    first = (2, 3, 4) if depth == 18 else (1, 2, 3, 4)  # a basic block's stage 1 has 64 channels on both sides
    assert projections["A"] == projections["none"] == set()
    assert projections["B"] == {f"layer{i}.0.downsample.0.weight" for i in first}
    assert len(projections["C"]) == blocks
    assert parameters(models["A"]) == parameters(models["none"]) < parameters(models["B"]) < parameters(models["C"])


def test_shortcut_a_subsamples_and_pads_with_zeros() -> None:
    shortcut = meta("resnet18-A").to_empty(device="cpu").layer2[0].downsample
    x = torch.randn(2, 64, 9, 8)
    want = torch.zeros(2, 128, 5, 4)
    want[:, :64] = x[:, :, ::2, ::2]
    assert torch.equal(shortcut(x), want)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_strided_identity_of_v2_subsamples_what_enters_the_block(shortcut: str) -> None:
    block = real(f"resnet18v2-{shortcut}").layer1[1]
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    x = torch.randn(2, 64, 9, 8)
    assert torch.equal(block(x), x[:, :, ::2, ::2])


def test_projection_of_v2_reads_the_activated_input() -> None:
    block = real("resnet50v2").layer1[0]
    nn.init.zeros_(block.conv3.weight)
    nn.init.zeros_(block.conv3.bias)
    x = torch.randn(2, 64, 8, 8)
    activated = torch.relu(block.preact_bn(x))
    assert torch.equal(block(x), block.downsample(activated))


@pytest.mark.parametrize("version", ["v1", "", "v2"])
def test_plain_network_has_no_skip(version: str) -> None:
    block = real(f"resnet18{version}-none").layer1[0]
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 64, 8, 8)
    spread = block(x).std(dim=(0, 2, 3))
    assert torch.equal(spread, torch.zeros(64))  # behind weights of zero nothing of x is left


def test_v2_pads_its_pool_with_zeros() -> None:
    model = real("resnet18v2")
    pooled = model.maxpool(model.pool_pad(torch.full((1, 64, 4, 4), -1.0)))
    assert torch.equal(pooled[0, 0], torch.tensor([[0.0, 0.0], [0.0, -1.0]]))


@pytest.mark.parametrize("spec", [s for s in SPECS if s.depth in (18, 50)], ids=lambda spec: spec.name)
def test_every_layer_is_a_module_called_once(spec: Spec) -> None:
    model = meta(spec)
    calls: Counter[str] = Counter()
    leaves = {name: module for name, module in model.named_modules() if not list(module.children())}
    for name, module in leaves.items():
        module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    model(torch.empty(1, 3, 64, 64, device="meta"))
    assert calls == Counter(leaves.keys())


@pytest.mark.parametrize("name", ["resnet18v1-C", "resnet18-A", "resnet18-none", "resnet18v2", "resnet18v2-A"])
def test_channels_last_stays_channels_last(name: str) -> None:
    model, batch = real(name), torch.randn(2, 3, 64, 64)
    want = model(batch)
    others = []

    def note(module: nn.Module, _: object, output: Tensor) -> None:
        if output.ndim == 4 and not output.is_contiguous(memory_format=torch.channels_last):
            others.append(module)

    model = model.to(memory_format=torch.channels_last)
    for module in model.modules():
        module.register_forward_hook(note)
    torch.testing.assert_close(model(batch.to(memory_format=torch.channels_last)), want, rtol=1e-4, atol=1e-4)
    assert others == []


def test_compiles_without_a_graph_break() -> None:
    model, batch = real("resnet18v2-A"), torch.randn(2, 3, 64, 64)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.equal(compiled(batch), model(batch))


def test_exports_with_a_dynamic_batch() -> None:
    model, batch = real("resnet18v2-A"), torch.randn(2, 3, 64, 64)
    program = torch.export.export(model, (batch,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    for count in (1, 5):
        batch = torch.randn(count, 3, 64, 64)
        torch.testing.assert_close(program.module()(batch), model(batch))


@pytest.mark.parametrize("spec", [s for s in SPECS if s.depth in (18, 50)], ids=lambda spec: spec.name)
def test_trains(spec: Spec) -> None:
    """The in-place additions and ReLUs overwrite nothing that the backward pass needs."""
    blocks = stage(64, 0, spec)
    blocks(torch.randn(2, 64, 8, 8)).square().mean().backward()
    gradients = [parameter.grad for parameter in blocks.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_initialisation_is_torchvisions() -> None:
    torch.manual_seed(0)
    model = ResNet(Spec.parse("resnet18v1"))
    conv = model.layer3[1].conv1
    assert conv.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)  # fan-out: out channels * 3 * 3
    assert not conv.bias.any()
