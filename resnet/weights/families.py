"""Which model a state dict is of, by its keys and shapes: one of this project, or of another family."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor

from resnet.archs import ARCHS, BlockKind, Shortcut, Spec, Version
from resnet.model import ResNet

State = Mapping[str, Tensor]
CLASSIFIER = {"fc.weight", "fc.bias"}

# Tells of other families: a key that only they have, what they are, and what to ask for. Names as they stand in timm or
# torchvision; the first that matches counts, so relatives of ResNet, which have its keys too, come first.
FAMILIES = (
    (r"layer1\.0\.convs\.0\.", "a Res2Net", "timm:res2net50_26w_4s"),
    (r"layer1\.0\.conv2\.(radix|fc1|conv)\b", "a ResNeSt or SKNet", "timm:resnest50d"),
    (r"layer1\.0\.bn1\.IN\.", "an IBN-Net", ""),
    (r"layer1\.0\.se_module\.|layer0\.conv1\.weight", "a SENet of the first kind", "timm:legacy_seresnet50"),
    (r"embedder\.embedder\.convolution\.", "a ResNet of Hugging Face's transformers, whose keys are its own", ""),
    (r"attnpool\.positional_embedding", "a ResNet of CLIP", "timm:resnet50_clip.openai"),
    (r"stages\.0\.blocks\.0\.norm1\.", "a pre-activated ResNet of timm, or a NormFree one", "timm:resnetv2_50"),
    (r"stages\.0\.blocks\.0\.conv_dw\.", "a ConvNeXt", "timm:convnext_tiny"),
    (r"features\.1\.0\.layer_scale", "a ConvNeXt of torchvision", "torchvision:convnext_tiny"),
    (r"stages\.0\.blocks\.0\.attn_block\.", "a MaxViT", "timm:maxvit_tiny_rw_224"),
    (r"features\.1\.0\.attn\.relative_position", "a Swin Transformer of torchvision", "torchvision:swin_t"),
    (r"relative_position_bias_table", "a Swin Transformer", "timm:swin_tiny_patch4_window7_224"),
    (r"encoder\.layers\.encoder_layer_0\.", "a Vision Transformer of torchvision", "torchvision:vit_b_16"),
    (r"blocks\.0\.attn\.qkv\.", "a Vision Transformer", "timm:vit_base_patch16_224"),
    (r"(^|\.)s1\.b1\.conv1\.", "a RegNet", "timm:regnety_016"),
    (r"trunk_output\.block1", "a RegNet of torchvision", "torchvision:regnet_y_1_6gf"),
    (r"conv_stem\.weight", "an EfficientNet or MobileNet", "timm:efficientnet_b0"),
    (r"features\.1\.0\.block\.", "an EfficientNet of torchvision", "torchvision:efficientnet_b0"),
    (r"features\.1\.(conv|block)\.0\.", "a MobileNet of torchvision", "torchvision:mobilenet_v2"),
    (r"features\.denseblock1\.", "a DenseNet", "torchvision:densenet121"),
    (r"Mixed_5b\.", "an Inception v3", "torchvision:inception_v3"),
    (r"inception3a\.", "a GoogLeNet", "torchvision:googlenet"),
    (r"features\.\d+\.squeeze\.", "a SqueezeNet", "torchvision:squeezenet1_1"),
    (r"stage2\.0\.branch2\.", "a ShuffleNet", "torchvision:shufflenet_v2_x1_0"),
    (r"(^|\.)features\.0\.weight", "a VGG or an AlexNet", "torchvision:vgg16_bn"),
    (r"(^|\.)model\.0\.conv\.weight", "a YOLO, which detects and does not classify", ""),
)


def likely_model(state: State) -> str | None:
    """Describe the model whose keys and shapes `state` has: "resnet50v2, num_classes=10, in_channels=3".

    A state dict may lack the classifier. Returns `None` where no model of this package matches in every other key.
    """
    spec = _guess(state)
    if spec is None:
        return None
    classes = len(state["fc.weight"]) if "fc.weight" in state else 1000
    with torch.device("meta"):
        model = ResNet(spec, classes, in_channels=state["conv1.weight"].shape[1])
    if not CLASSIFIER.issuperset(chain(*differences(model.state_dict(), state).values())):
        return None
    alternative = f" or {Spec(spec.depth, spec.version, 'none').name}" if spec.shortcut == "A" else ""
    return describe(spec.name + alternative, state)


def likely_family(state: State) -> tuple[str, str] | None:
    """Return what another family's `state` is of, and the model to ask for, or "" where there is none by name."""
    relative = _relative(state)
    if relative:
        return relative
    text = "\n".join(state)
    return next(((what, name) for tell, what, name in FAMILIES if re.search(tell, text, re.MULTILINE)), None)


def differences(model_state: State, file_state: State) -> dict[str, list[str]]:
    """Return the keys that differ between the states of a model and of a file, by fault."""
    want, have = (
        {key: value.shape for key, value in state.items() if not key.endswith("num_batches_tracked")}
        for state in (model_state, file_state)
    )
    return {
        "missing": [key for key in want if key not in have],
        "unexpected": [key for key in have if key not in want],
        "wrong shape": [key for key in want if key in have and want[key] != have[key]],
    }


def describe(name: str, state: State) -> str:
    """Return the name of a ResNet with the counts that its state has."""
    classes = f"num_classes={len(state['fc.weight'])}" if "fc.weight" in state else "no classifier (fc)"
    return f"{name}, {classes}, in_channels={state['conv1.weight'].shape[1]}"


def _blocks(state: State) -> dict[str, re.Match[str]]:
    return {match[0]: match for key in state if (match := re.match(r"layer(\d)\.(\d+)\.", key))}


def _depth(state: State) -> int | None:
    """Return the depth of the ResNet with these blocks; None where there is none."""
    blocks = _blocks(state)
    counts = tuple(len({match[2] for match in blocks.values() if match[1] == stage}) for stage in "1234")
    kind: BlockKind = "bottleneck" if "layer1.0.conv3.weight" in state else "basic"
    return next((depth for depth, arch in ARCHS.items() if arch == (kind, counts)), None)


def _guess(state: State) -> Spec | None:
    """Return the spec that the names of the keys suggest; the caller compares the shapes."""
    blocks, depth = _blocks(state), _depth(state)
    ranks = (state[key].ndim if key in state else None for key in ("conv1.weight", "fc.weight"))
    if depth is None or tuple(ranks) not in ((4, 2), (4, None)):
        return None
    preact = "layer1.0.preact_bn.weight" in state
    version: Version = "v1.5" if "conv1.bias" not in state else "v2" if preact else "v1"
    projections = sum(f"{block}downsample.0.weight" in state for block in blocks)
    shortcut: Shortcut = "A" if not projections else "C" if projections == len(blocks) else "B"
    return Spec(depth, version, shortcut)


def _relative(state: State) -> tuple[str, str] | None:
    """Return the relative of ResNet that `state` is of: with another stem, groups, width, or squeeze and excitation.

    It has torchvision's keys for the blocks, and the depth of one here.
    """
    depth, inner = _depth(state), state.get("layer1.0.conv2.weight")
    if inner is None or inner.ndim != 4:
        return None
    if depth is None:
        counts = Counter(match[1] for match in _blocks(state).values())
        return f"a ResNet with {', '.join(str(count) for count in counts.values())} blocks", ""
    width, group = inner.shape[:2]
    deep = "conv1.0.weight" in state or "layer2.0.downsample.2.weight" in state
    gates = next((word for key, word in (("se.conv.", "ecaresnet"), ("se.", "seresnet")) if _has(state, key)), "")
    if gates:
        kind = "efficient channel attention" if gates == "ecaresnet" else "squeeze and excitation"
        name = gates.replace("resnet", "resnext") if group < width else gates
        size = f"{depth}_{width // group}x{group}d" if group < width else f"{depth}{'d' if deep else ''}"
        return f"a ResNet-{depth} with {kind}", f"timm:{name}{size}"
    if group < width:
        size = f"{depth}_{width // group}x{group}d"
        source = "torchvision" if size in ("50_32x4d", "101_32x8d", "101_64x4d") and not deep else "timm"
        return f"a ResNeXt-{depth} of {width // group} groups of {group}", f"{source}:resnext{size}"
    if deep:
        return f"a ResNet-{depth} of timm with a deep stem (-D, or one like it)", f"timm:resnet{depth}d"
    if width > 64:
        return f"a wide ResNet-{depth}", f"torchvision:wide_resnet{depth}_{width // 64}"
    return None


def _has(state: State, part: str) -> bool:
    return any(key.startswith(f"layer1.0.{part}") for key in state)
