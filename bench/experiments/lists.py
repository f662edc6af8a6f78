"""The pieces and the experiments by name, the most informative first, with predicted outcomes. Without torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.errors import ArgumentError

MODEL = "model"  # the source of a prediction: computed from emitted code and public figures, never measured


@dataclass(frozen=True)
class Piece:
    """A part of a network that is tried alone.

    `kind` is pdl, graph, conv, stem, head or tma. `limit_s` covers compiling, operands, the check and the runs.
    """

    name: str
    kind: str
    precision: str = "fp16"
    limit_s: float = 30.0


PIECES = (
    Piece("pdl-chain", "pdl"),
    Piece("pdl-graph", "pdl"),
    Piece("graph", "graph"),
    Piece("conv1x1", "conv"),
    Piece("conv3x3", "conv"),
    Piece("stem", "stem"),
    Piece("head", "head"),
    Piece("tma", "tma"),
    Piece("split-k", "conv"),
    Piece("residual", "conv"),
    Piece("second", "conv"),
    Piece("prologue", "conv"),
    Piece("conv1x1-bf16", "conv", "bf16"),
    Piece("conv3x3-bf16", "conv", "bf16"),
    Piece("conv1x1-tf32", "conv", "tf32"),
    Piece("conv3x3-tf32", "conv", "tf32"),
    Piece("conv3x3-int8", "conv", "int8"),
    Piece("second-int8", "conv", "int8"),
    Piece("conv3x3-fp8", "conv", "fp8"),
)


@dataclass(frozen=True)
class Experiment:
    """A question about a card, with the predicted answer in words and in numbers."""

    name: str
    question: str
    predicted: str
    numbers: dict[str, float] = field(default_factory=dict)
    limit_s: float = 60.0

    @property
    def prediction(self) -> dict[str, object]:
        return {"text": self.predicted, "source": MODEL, "numbers": self.numbers}


EXPERIMENTS = (
    Experiment(
        "launches",
        "What does an empty kernel take in a CUDA graph, without and with programmatic dependent launch?",
        "2.3 us without, 1.2 us with it: what the configurations' model assumes.",
        {"launch_us": 2.3, "launch_pdl_us": 1.2},
    ),
    Experiment(
        "memory",
        "Which share of the datasheet's bandwidth does a copy of 1 GiB reach?",
        "4.2 of 4.8 TB/s on an H200.",
        {"memory_share": 0.875},
    ),
    Experiment(
        "products",
        "What bounds the pointer-load kernels on a 14x14 3x3 at batch 256, L2 or the tensor cores, and at what rate?",
        "L2 at 7.1 TB/s, as Triton's own fp8 products on an H100 imply; at the 5.5 TB/s that the configurations' model "
        "assumes 128x128 would be slower by a third. On an H200 128x128 takes 136 us at a depth of 2304.",
        {"l2_bytes_per_s": 7.1e12, "tensor_share_ptr": 0.55, "square_3x3_us": 136.0},
    ),
    Experiment(
        "gluon-agrees",
        "Does the Gluon kernel make the same bits as pointer loads, 1,000 times?",
        "The same bits each time: both add in the same order.",
        {"mismatching_repeats": 0.0},
        40.0,  # if its barriers are wrong it hangs, and others wait
    ),
    Experiment(
        "gluon-products",
        "Which share of the datasheet's rate does the Gluon kernel reach in its loop?",
        "0.70, with 128x256 tiles bound by L2 at 7.1 TB/s; 122 us for the 3x3 at a depth of 2304 on an H200.",
        {"tensor_share_tma": 0.70, "wide_3x3_us": 122.0},
        40.0,
    ),
    Experiment(
        "overwrite",
        "Do bulk-copy kernels that take x through registers overwrite what products in flight still read "
        "(triton#9433), 10,000 times?",
        "The code of 18 of 23 such kernels does; whether the hardware has read the registers by then nobody knows. Any "
        "mismatch is the fault.",
        {"mismatching_repeats": 1.0},
        120.0,
    ),
    Experiment(
        "prologue",
        "What does address arithmetic before the wait gain a kernel at batch 1?",
        "Less than 1.1 us a kernel: so much all that is planned for batch 1 together takes off 236 us in 76 kernels.",
        {"gain_us": 1.1},
    ),
    Experiment(
        "halves",
        "Are two half batches on two streams in one graph faster than one, at batch 128?",
        "By 6 %: tails of one fill with the other's programs.",
        {"gain": 0.06},
        150.0,
    ),
    Experiment(
        "slices",
        "Is stage 1 faster in slices of 4, 8 or 16 images that stay in L2, at batch 128?",
        "In slices of 8 the network gains 8 to 9 % on an H100 and 0.1 to 0.7 % on an H200, all of it in stage 1.",
        {"network_gain_h100": 0.085, "network_gain_h200": 0.004},
        90.0,
    ),
    Experiment(
        "racecheck",
        "Does compute-sanitizer find races in the Gluon kernel's shared memory?",
        "None.",
        {"hazards": 0.0},
        90.0,
    ),
)

Named = TypeVar("Named", Piece, Experiment)


def select_named(parts: Sequence[Named], names: Iterable[str]) -> list[Named]:
    """Return the parts with these names in the list's order, or all. Raises ArgumentError for an unknown one."""
    selected = list(names)
    allowed = [part.name for part in parts]
    for name in selected:
        if name not in allowed:
            raise ArgumentError(f"unknown name {name!r}; allowed: {', '.join(allowed)}")
    return [part for part in parts if not selected or part.name in selected]
