"""ResNets as plain modules, in the three designs that carry the name.

| | v1 | v1.5 | v2 |
|---|---|---|---|
| source | He et al. 2015, `keras.applications.resnet` | torchvision | He et al. 2016, `keras.applications.resnet_v2` |
| stride 2 | first block of a stage, its first 1x1 | first block of a stage, its 3x3 | last block of a stage, its 3x3 |
| stages with stride | 2 3 4 | 2 3 4 | 1 2 3 |
| convolution bias | all | none | stem, last of a block, projection (no norm follows) |
| norm epsilon | 1.001e-5 | 1e-5 | 1.001e-5 |
| norm and ReLU | after a convolution | after a convolution | before a convolution, and once after stage 4 |
| pool padding | -inf (its input is a ReLU's: as good as 0) | -inf | 0 (its input has negative values, so it matters) |

A basic block (depths 18 and 34) has no 1x1, so its stride is in its first 3x3 under every version: v1 and v1.5 differ
there in bias and epsilon alone. Keras has no basic-block models; ours follow the conventions of its bottleneck ones.

Parameter names are torchvision's. v2 adds `preact_bn` in a block and `post_bn` after stage 4; there `bn1` follows
`conv1` as it does elsewhere. Every convolution, norm, ReLU and pool is a module that is called once a forward pass, so
that hooks and profilers see each layer.
"""

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from resnet.archs import Spec

NORM_EPS = {"v1": 1.001e-5, "v1.5": 1e-5, "v2": 1.001e-5}


class Block(nn.Module):
    """The layers of a residual block in the order in which they run, numbered as `Spec.convs` lists them.

    `downsample` is the shortcut: `nn.Identity`, a module, or `None` for the plain network without one. In v2 norm and
    ReLU come before each convolution, and `projects` says whether the shortcut is a convolution.
    """

    def __init__(self, in_channels: int, width: int, stride: int, spec: Spec) -> None:
        super().__init__()
        preact, eps, channels = spec.version == "v2", NORM_EPS[spec.version], in_channels
        if preact:
            self.preact_bn = nn.BatchNorm2d(in_channels, eps)
            self.preact_relu = nn.ReLU(inplace=True)
        *inner, last = spec.convs(width, stride)
        for number, (outputs, kernel, conv_stride) in enumerate(inner, 1):
            self.add_module(f"conv{number}", conv(channels, outputs, kernel, conv_stride, spec.version == "v1"))
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs, eps))
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))
            channels = outputs
        number, (outputs, kernel, conv_stride) = len(inner) + 1, last
        self.add_module(f"conv{number}", conv(channels, outputs, kernel, conv_stride, spec.version != "v1.5"))
        if not preact:
            self.add_module(f"bn{number}", nn.BatchNorm2d(outputs, eps))
        self.downsample = shortcut(in_channels, outputs, stride, spec)
        if preact:
            self.projects = spec.projects(in_channels, outputs)
        else:
            self.add_module(f"relu{number}", nn.ReLU(inplace=True))

    def convs(self) -> list[tuple[str, nn.Conv2d]]:
        """Return the convolutions with their names, without the shortcut's."""
        return [(name, layer) for name, layer in self.named_children() if isinstance(layer, nn.Conv2d)]

    if TYPE_CHECKING:  # the layers that are added by name

        def __getattr__(self, name: str) -> Any: ...


class BasicBlock(Block):
    """Two 3x3 convolutions and a shortcut: [N, in_channels, H, W] -> [N, width, H/stride, W/stride], rounded up."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out += self.downsample(x)
        return cast(Tensor, self.relu2(out))


class Bottleneck(Block):
    """1x1, 3x3, 1x1 and a shortcut: [N, in_channels, H, W] -> [N, 4 * width, H/stride, W/stride], rounded up.

    The stride sits in `conv1` for v1 and in `conv2` for v1.5.
    """

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            out += self.downsample(x)
        return cast(Tensor, self.relu3(out))


class PreActBasicBlock(Block):
    """`BasicBlock` with norm and ReLU before each convolution; same shapes.

    A projection (`projects`) reads the activated input, any other shortcut the raw one, so that an unchanged shape
    keeps an unbroken identity path through the network (He et al. 2016).
    """

    def forward(self, x: Tensor) -> Tensor:
        activated = self.preact_relu(self.preact_bn(x))
        out = self.relu1(self.bn1(self.conv1(activated)))
        out = self.conv2(out)
        if self.downsample is not None:
            out += self.downsample(activated if self.projects else x)
        return cast(Tensor, out)


class PreActBottleneck(Block):
    """`Bottleneck` with norm and ReLU before each convolution; same shapes. The stride sits in `conv2`."""

    def forward(self, x: Tensor) -> Tensor:
        activated = self.preact_relu(self.preact_bn(x))
        out = self.relu1(self.bn1(self.conv1(activated)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.conv3(out)
        if self.downsample is not None:
            out += self.downsample(activated if self.projects else x)
        return cast(Tensor, out)


class ResNet(nn.Module):
    """The network that `spec` names: [N, in_channels, H, W] -> logits [N, num_classes], by default its problem's.

    Weights are torchvision's initialisation: He (Kaiming) normal, fan-out, for convolutions, zero for their biases, one
    and zero for norms, PyTorch's default for the classifier. `H` and `W` are 32 or more in any sensible use.
    """

    def __init__(self, spec: Spec, num_classes: int = 0, in_channels: int = 0) -> None:
        super().__init__()
        num_classes, in_channels = num_classes or spec.ends.classes, in_channels or spec.ends.channels
        widths = spec.widths
        self.spec = spec
        self.choice = ""  # what was decided in reading the weights, where they are a file's
        self.preact = spec.version == "v2"
        eps = NORM_EPS[spec.version]

        self.conv1 = conv(in_channels, widths[0], 7, 2, bias=spec.version != "v1.5")
        if self.preact:
            # Not padding by the pool, which is -inf; a runtime that merges the two changes the function.
            self.pool_pad = nn.ZeroPad2d(1)
            self.maxpool = nn.MaxPool2d(3, 2)
        else:
            self.bn1 = nn.BatchNorm2d(widths[0], eps)
            self.relu = nn.ReLU(inplace=True)
            self.maxpool = nn.MaxPool2d(3, 2, padding=1)

        channels = [widths[0], *(width * spec.arch.expansion for width in widths)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (stage(channels[i], i, spec) for i in range(4))

        features = channels[-1]
        if self.preact:
            self.post_bn = nn.BatchNorm2d(features, eps)
            self.post_relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(features, num_classes)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.pool_pad(x) if self.preact else self.relu(self.bn1(x))
        x = self.maxpool(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        if self.preact:
            x = self.post_relu(self.post_bn(x))
        return cast(Tensor, self.fc(torch.flatten(self.avgpool(x), 1)))


def block_class(spec: Spec) -> type[Block]:
    """Return the class of the residual blocks of `spec`."""
    if spec.arch.block == "basic":
        return PreActBasicBlock if spec.version == "v2" else BasicBlock
    return PreActBottleneck if spec.version == "v2" else Bottleneck


def stage(in_channels: int, index: int, spec: Spec) -> nn.Sequential:
    """Return stage `index` (0 to 3), whose first block changes the channels."""
    block, width, strides = block_class(spec), spec.widths[index], spec.strides(index)
    channels = [in_channels] + [width * spec.arch.expansion] * (len(strides) - 1)
    return nn.Sequential(*(block(c, width, stride, spec) for c, stride in zip(channels, strides, strict=True)))


def shortcut(in_channels: int, out_channels: int, stride: int, spec: Spec) -> nn.Module | None:
    """Return a block's shortcut: a projection, subsampling and zero channels, the identity, or `None` for none."""
    if spec.shortcut == "none":
        return None
    if spec.projects(in_channels, out_channels):
        projection = conv(in_channels, out_channels, 1, stride, bias=spec.version != "v1.5")
        if spec.version == "v2":
            return nn.Sequential(projection)
        return nn.Sequential(projection, nn.BatchNorm2d(out_channels, NORM_EPS[spec.version]))
    steps: list[nn.Module] = []
    if stride > 1:
        steps.append(nn.MaxPool2d(1, stride))  # a window of one: keeps every stride-th pixel
    if out_channels > in_channels:
        # The last three axes of [N, C, H, W] are what a 3-d padding pads: the new channels go behind the old ones.
        steps.append(nn.ZeroPad3d((0, 0, 0, 0, 0, out_channels - in_channels)))
    return nn.Sequential(*steps) if steps else nn.Identity()


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Return a square convolution, padded so that stride 1 keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=bias)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
