"""The ResNets of this project as data, and their names. Imports the standard library alone."""

import difflib
import itertools
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, cast, get_args

BlockKind = Literal["basic", "bottleneck"]
Version = Literal["v1", "v1.5", "v2"]
Shortcut = Literal["A", "B", "C", "none"]

VERSIONS: tuple[Version, ...] = get_args(Version)
SHORTCUTS: tuple[Shortcut, ...] = get_args(Shortcut)


class Arch(NamedTuple):
    """A kind of residual block, and the number of them in each of the four stages."""

    block: BlockKind
    counts: tuple[int, int, int, int]

    @property
    def expansion(self) -> int:
        """The output channels of a block for each of its inner ones."""
        return 4 if self.block == "bottleneck" else 1


# He et al. 2015, Table 1 (https://arxiv.org/abs/1512.03385).
ARCHS: dict[int, Arch] = {
    18: Arch("basic", (2, 2, 2, 2)),
    34: Arch("basic", (3, 4, 6, 3)),
    50: Arch("bottleneck", (3, 4, 6, 3)),
    101: Arch("bottleneck", (3, 4, 23, 3)),
    152: Arch("bottleneck", (3, 8, 36, 3)),
}

STAGE_WIDTHS = (64, 128, 256, 512)  # channels of the inner convolutions of each stage's blocks


class Task(NamedTuple):
    """A problem: the ends of the networks that solve it, and how many times narrower than the paper's they are."""

    classes: int = 1000
    channels: int = 3
    image: int = 224
    narrower: int = 1


# The problems by the end of a model's name. Networks of digits (`resnet.data.digits`) have trained weights, so that
# accuracy can be measured where nothing can be downloaded.
DIGITS = Task(10, 1, 32, 4)
TASKS: dict[str, Task] = {"": Task(), "digits": DIGITS, "digits-hard": DIGITS}

_NAME = re.compile(
    r"resnet(?P<depth>\d+)(?P<version>v\d+(?:\.\d+)?)?(?:-(?P<shortcut>(?!digits\b)\w+))?(?:-(?P<task>digits(?:-hard)?))?"
)


@dataclass(frozen=True)
class Spec:
    """One ResNet: its depth, its version, its shortcut option, and the problem that it solves.

    `version` is `v1` (stride in the block's first convolution; the paper, Keras), `v1.5` (stride in the 3x3;
    torchvision) or `v2` (pre-activation; Keras). `shortcut` is option `A` (no parameters: subsample, pad with zeros),
    `B` (projection where the channels change), `C` (projection in every block) or `none` (no skip connection at all).
    `task` is a key of TASKS: ImageNet's is not written.

    Raises `ValueError`, naming the allowed words, for any other value.
    """

    depth: int
    version: Version = "v1.5"
    shortcut: Shortcut = "B"
    task: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a word that is not in these tables."""
        allowed = (("depth", tuple(ARCHS)), ("version", VERSIONS), ("shortcut", SHORTCUTS), ("task", tuple(TASKS)))
        for field, words in allowed:
            value = getattr(self, field)
            if value not in words:
                raise ValueError(f"{field} {value!r} is not one of {', '.join(map(str, words))}")

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the spec of a name such as `resnet50`, `resnet101v2-C` or `resnet18-digits`.

        Raises `ValueError` with the allowed words and the nearest name, if any is near.
        """
        match = _NAME.fullmatch(name)
        try:
            if match is None:
                raise ValueError("want resnet<depth>[v1|v1.5|v2][-A|-B|-C|-none][-digits|-digits-hard]")
            version = cast(Version, match["version"] or "v1.5")
            shortcut = cast(Shortcut, match["shortcut"] or "B")
            return cls(int(match["depth"]), version, shortcut, match["task"] or "")
        except ValueError as error:
            raise ValueError(f"unknown model {name!r}: {error}{_suggestion(name)}") from None

    @property
    def name(self) -> str:
        """The one canonical spelling: version `v1.5` and shortcut `B`, the defaults, are not written."""
        version = "" if self.version == "v1.5" else self.version
        shortcut = "" if self.shortcut == "B" else f"-{self.shortcut}"
        task = f"-{self.task}" if self.task else ""
        return f"resnet{self.depth}{version}{shortcut}{task}"

    @property
    def ends(self) -> Task:
        """The classes, channels and pixels of its problem."""
        return TASKS[self.task]

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of the inner convolutions of each stage's blocks."""
        return tuple(width // self.ends.narrower for width in STAGE_WIDTHS)

    @property
    def arch(self) -> Arch:
        """Block kind and stage counts of this depth."""
        return ARCHS[self.depth]

    def strides(self, stage: int) -> list[int]:
        """Return the strides of the blocks of stage 0 to 3: v2 strides in the last block of the first three stages.

        v1 and v1.5 stride in the first block of the last three.
        """
        ones = [1] * (self.arch.counts[stage] - 1)
        return [*ones, 2 if stage < 3 else 1] if self.version == "v2" else [2 if stage > 0 else 1, *ones]

    def convs(self, width: int, stride: int) -> list[tuple[int, int, int]]:
        """Return output channels, kernel and stride of the convolutions of a block with this stride."""
        if self.arch.block == "basic":
            return [(width, 3, stride), (width, 3, 1)]
        first, second = (stride, 1) if self.version == "v1" else (1, stride)
        return [(width, 1, first), (width, 3, second), (width * self.arch.expansion, 1, 1)]

    def projects(self, in_channels: int, out_channels: int) -> bool:
        """Return whether a block's shortcut is a convolution: under `B`, where the channels change.

        A stride alone does not make it one: in v1 and v1.5 it comes with new channels, and v2's strided block, which
        keeps its channels, subsamples its identity as Keras does.
        """
        return self.shortcut == "C" or (self.shortcut == "B" and in_channels != out_channels)


def _suggestion(name: str) -> str:
    specs = (Spec(*fields) for fields in itertools.product(ARCHS, VERSIONS, SHORTCUTS, TASKS))
    names = {spec.name.lower(): spec.name for spec in specs}
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""


MODELS: tuple[str, ...] = tuple(Spec(depth, version).name for depth in ARCHS for version in VERSIONS)
