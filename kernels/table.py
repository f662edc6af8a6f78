"""Configurations that were chosen, by GPU and layer, in a JSON file; and what an op asks at a call.

A table is data under results/: the tuner writes it, a process installs it with `use`. A call never searches: it takes
the table's entry for this GPU and layer, or else the model's choice; so, too, where the entry is unsafe.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kernels.cards import files
from kernels.kinds import default_config, hazard_reason
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import machine_of

SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """`chosen` is "measured" or "model"; `us` is the time measured or predicted; `when` an ISO 8601 time, UTC.

    `layer` is a `Layer.key`, `config` a configuration as text, `triton` the version that compiled it.
    """

    gpu: str
    layer: str
    config: str
    chosen: str
    us: float
    when: str
    triton: str

    def __post_init__(self) -> None:
        for name in ("gpu", "layer", "config", "when", "triton"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}: {getattr(self, name)!r} is no text")
        if self.chosen not in ("measured", "model"):
            raise ValueError(f"chosen: {self.chosen!r} is neither 'measured' nor 'model'")
        if isinstance(self.us, bool) or not isinstance(self.us, int | float):
            raise ValueError(f"us: {self.us!r} is no number")
        Config.parse(self.config)


class Table:
    """One entry per GPU and layer. A measurement outlasts a prediction, a later entry an earlier one."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            self.add(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: (entry.gpu, entry.layer)))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        known = self._entries.get((entry.gpu, entry.layer))
        if known is None or _rank(known) <= _rank(entry):
            self._entries[entry.gpu, entry.layer] = entry

    def merge(self, other: Table) -> Table:
        """Both together, as a new table."""
        return Table([*self, *other])

    def config(self, gpu: str, layer: Layer) -> Config | None:
        entry = self._entries.get((gpu, layer.key))
        return None if entry is None else Config.parse(entry.config)

    @staticmethod
    def load(path: Path) -> Table:
        try:
            return Table.of(json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a table of configurations: {error}") from error

    @staticmethod
    def of(data: Any) -> Table:
        """The table that a file's JSON is. Raises ValueError, KeyError or TypeError where it is none."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']}, and this version reads {SCHEMA}")
        return Table(Entry(**entry) for entry in data["entries"])

    def text(self) -> str:
        """As it is in a file: sorted, an entry a line."""
        lines = ",\n".join(f"  {json.dumps(asdict(entry))}" for entry in self)
        return f'{{"schema": {SCHEMA}, "entries": [\n{lines}\n]}}\n'

    def save(self, path: Path) -> None:
        """Writes it whole or not at all."""
        files.write_atomic(path, self.text().encode())


def _rank(entry: Entry) -> tuple[bool, str]:
    return entry.chosen == "measured", entry.when


_installed = Table()


def use(table: Table) -> None:
    """Installs a table for this process, in place of the one before."""
    global _installed
    _installed = table


def installed() -> Table:
    """This process's table; one without entries where none was installed."""
    return _installed


def config_for(layer: Layer, gpu: str, arch: int, sms: int | None = None) -> Config:
    """The installed table's entry for this GPU and layer, or else the model's choice.

    An entry by which the kernels may compute wrong numbers is left out with a warning.
    """
    chosen = _installed.config(gpu, layer)
    return chosen if chosen and _safe(layer, chosen, machine_of(arch).arch) else default_config(layer, arch, sms, gpu)


@cache
def _safe(layer: Layer, config: Config, arch: int) -> bool:
    if reason := hazard_reason(layer, config, arch):
        warnings.warn(f"the table's {config} for {layer.key} is left out: {reason}", stacklevel=3)
    return reason is None
