"""The words that a shell completes: plans, variants, models, and results by the names they were saved under.

A shell asks at each press of its key, so nothing here reads more than names of files, or imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from bench.plans.plan import plan_names
from resnet.archs import ARCHS
from resnet.variants import VARIANTS

Complete = Callable[[str], list[str]]


def _complete(words: Callable[[], Iterable[str]]) -> Complete:
    def complete(incomplete: str) -> list[str]:
        """Return the words that begin as the one that is typed; of a list with commas, for its last."""
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in words() if word.startswith(last)]

    return complete


complete_plan = _complete(plan_names)
complete_variant = _complete(lambda: VARIANTS)
complete_model = _complete(lambda: [f"resnet{depth}{version}" for depth in ARCHS for version in ("", "v1", "v2")])
complete_results = _complete(lambda: import_module("bench.records.places").result_words())
