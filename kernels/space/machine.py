"""A GPU in the cost model: its card's data sheet, and constants, measured or guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kernels.cards import cards
from kernels.cards.constants import Constants, cached, constants_of


@dataclass(frozen=True)
class Machine:
    """A GPU in the cost model.

    `flops`: dense operations per second by precision, and `memory`, bytes per second, from the data sheet of `card`;
    `assumed`: a sentence if that is another card's data sheet, because this GPU has none here, else empty.
    """

    arch: int
    sms: int
    flops: Mapping[str, float] = field(hash=False)
    memory: float
    card: str
    constants: Constants
    assumed: str = ""

    @property
    def copy_rate(self) -> float:
        """Return the bytes per second that a kernel reaches of the memory's."""
        return self.memory * self.constants.memory_share.value

    @property
    def l2_per_sm(self) -> float:
        """Return the bytes per second from L2 into one SM's shared memory while all SMs read."""
        return self.constants.l2_bytes_per_s.value / self.sms

    def product_rate(self, precision: str, impl: str) -> float:
        """Return the operations per second of all SMs in the main loop of a kernel of this `Config.impl`.

        A card whose data sheet has no rate of int8 (B300) is taken to multiply it as fast as fp16.
        """
        return self.flops.get(precision, self.flops["fp16"]) * self.constants.tensor_share(impl)


@cached
def machine_of(arch: int, sms: int | None = None, gpu: str = "") -> Machine:
    """Return the card named `gpu`, or the first of its architecture, scaled to `sms` SMs at the same rate each.

    `Machine.assumed` says so where no card of this architecture has the name. The constants are those that this process
    has for the name. Raises ValueError for an architecture that is too old.
    """
    named, fallback = cards.find_card(gpu), cards.card_of_arch(arch)
    card, assumed = fallback, ""
    if named and named.arch == fallback.arch:
        card = named
    elif gpu:
        assumed = f"{gpu} has no row in kernels/cards/cards.py: the model takes it for the {card.name}, "
        assumed += f"another of sm_{card.arch}"
    sms = sms or card.sms
    flops = {precision: rate * sms / card.sms for precision, rate in card.flops.items()}
    return Machine(fallback.arch, sms, flops, card.memory, card.name, constants_of(gpu, sms), assumed)
