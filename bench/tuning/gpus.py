"""The GPUs that configurations are chosen for, and the model's choices and predictions for one."""

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
    """A GPU to tune for; `arch` is the compute capability, such as 90. `name` is torch's, the key of the table."""

    name: str
    arch: int
    sms: int

    @property
    def file(self) -> Path:
        """The file of its table: results/tuned/nvidia-h200.json."""
        return places.tuned_path(self.name, TUNED.parent)


# The GPUs that the model predicts for, in this machine or not.
PREDICTABLE = {card.name: Gpu(card.name, card.arch, card.sms) for card in cards.CARDS}


def untuned_config(layer: Layer, gpu: Gpu) -> str:
    """Return the configuration that the model chooses: it runs where no table has the layer."""
    return str(kinds.default_config(layer, gpu.arch, gpu.sms, gpu.name))


def predict_us(layer: Layer, config: str, gpu: Gpu) -> float:
    """Predict the microseconds of one launch by the model."""
    return kinds.predicted_us(layer, Config.parse(config), machine_of(gpu.arch, gpu.sms, gpu.name))


def install_constants(gpu: Gpu) -> str:
    """Install the constants measured on such cards, and return the model's assumptions on the GPU, a line each.

    Raises ConstantsError where their file cannot be read.
    """
    measured = install_measured(gpu.name)
    return "\n".join(filter(None, (measured, machine_of(gpu.arch, gpu.sms, gpu.name).assumed)))
