"""A GPU as the model of configurations sees it: its card's datasheet, and constants, measured or guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from kernels.cards import cards
from kernels.cards.constants import Constants, constants_of, on_change


@dataclass(frozen=True)
class Machine:
    """A GPU as the model sees it: dense operations a second by precision, bytes a second of its memory, by datasheet.

    `card`: whose datasheet; `assumed`: a sentence where that is another card's, for want of this one's.
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
        """Bytes a second that a kernel gets of the memory."""
        return self.memory * self.constants.memory_share.value

    @property
    def l2_per_sm(self) -> float:
        """Bytes a second from L2 into one SM's shared memory, all of them at it."""
        return self.constants.l2_bytes_per_s.value / self.sms

    def product_rate(self, precision: str, impl: str) -> float:
        """Operations a second in the main loop of such a kernel, on all SMs."""
        return self.flops[precision] * self.constants.tensor_share(impl)


@cache
def machine_of(arch: int, sms: int | None = None, gpu: str = "") -> Machine:
    """The card `gpu`, or the one that stands for its architecture, with another number of SMs at the same rate each.

    A name that is not in kernels.cards.cards, or is of another architecture, is told in `assumed`. Its constants are
    those that this process has for the name. Raises ValueError for an architecture that is too old.
    """
    known, usual = cards.find_card(gpu), cards.card_of_arch(arch)
    card = known if known and known.arch == usual.arch else usual
    unknown = (
        f"{gpu} has no row in kernels/cards/cards.py: the model takes it for the {card.name}, another of sm_{card.arch}"
    )
    assumed = unknown if gpu and card is not known else ""
    number = sms or card.sms
    flops = {name: value * number / card.sms for name, value in card.flops.items()}
    return Machine(usual.arch, number, flops, card.memory, card.name, constants_of(gpu, number), assumed)


on_change(machine_of.cache_clear)
