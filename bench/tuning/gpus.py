"""The GPUs that configurations are chosen for, and what the model chooses and predicts for one, without measuring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kernels import kinds
from kernels.cards import cards, places
from kernels.cards.constants import install_measured
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import machine_of

TUNED = places.tuned_folder()  # configurations that were measured, a table for each GPU


@dataclass(frozen=True)
class Gpu:
    """What is tuned for; `arch` is the compute capability as 90. `name` is torch's, the key of the table."""

    name: str
    arch: int
    sms: int

    @property
    def file(self) -> Path:
        """Where its table is kept: results/tuned/nvidia-h200.json."""
        return places.tuned_path(self.name, TUNED.parent)


# What a table may be predicted for without one here.
KNOWN = {card.name: Gpu(card.name, card.arch, card.sms) for card in cards.CARDS}


def untuned(layer: Layer, gpu: Gpu) -> str:
    """The configuration that the model itself chooses: what runs where no table has the layer."""
    return str(kinds.space_of(layer).default_config(layer, gpu.arch, gpu.sms, gpu.name))


def predicted(layer: Layer, config: str, gpu: Gpu) -> float:
    """Microseconds of one launch, by the model."""
    return kinds.space_of(layer).predicted_us(layer, Config.parse(config), machine_of(gpu.arch, gpu.sms, gpu.name))


def assumed(gpu: Gpu) -> str:
    """What the model takes for granted of a GPU, a line each. Installs the constants that were measured on such cards.

    Raises ConstantsError where their file cannot be read.
    """
    measured = install_measured(gpu.name)
    return "\n".join(filter(None, (measured, machine_of(gpu.arch, gpu.sms, gpu.name).assumed)))
