"""A table of tuned configurations by GPU and layer, kept as a JSON file, and the lookup at an op's call.

A table is data under results/: the tuner writes it, a process installs it with `install`. A call never searches: it
uses the table's entry for this GPU and layer, or the cost model's choice if there is no entry or the entry is unsafe.
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
from kernels.cards.reading import read_json_file
from kernels.kinds import space_of
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.space.machine import machine_of

SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """A layer's configuration on a GPU.

    `layer`: a `Layer.key`; `config`: a configuration as text; `chosen`: "measured" or "model"; `us`: the time measured
    or predicted; `when`: an ISO 8601 time, UTC; `triton`: the version that compiled it.
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
    """One entry per GPU and layer; a measured entry replaces a predicted one, a later one an earlier one."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        for entry in entries:
            self.add(entry)

    def __iter__(self) -> Iterator[Entry]:
        return iter(sorted(self._entries.values(), key=lambda entry: (entry.gpu, entry.layer)))

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        """Add an entry, unless the layer has a better one."""
        present = self._entries.get((entry.gpu, entry.layer))
        if present is None or _rank(present) <= _rank(entry):
            self._entries[entry.gpu, entry.layer] = entry

    def merge(self, other: Table) -> Table:
        return Table([*self, *other])

    def config(self, gpu: str, layer: Layer) -> Config | None:
        """Return the configuration of a layer on a GPU, or None without an entry."""
        entry = self._entries.get((gpu, layer.key))
        return None if entry is None else Config.parse(entry.config)

    @staticmethod
    def read(path: Path) -> Table:
        """Return a file's table. Raises ValueError for a file that is none, OSError for one that cannot be read."""
        try:
            return Table.from_json(read_json_file(path))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a table of configurations: {error}") from error

    @staticmethod
    def from_json(data: Any) -> Table:
        """Return the table in a file's parsed JSON. Raises ValueError, KeyError or TypeError for other JSON."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']}, and this version reads {SCHEMA}")
        return Table(Entry(**entry) for entry in data["entries"])

    def to_json(self) -> str:
        """Return the file's content: sorted entries, one a line."""
        lines = ",\n".join(f"  {json.dumps(asdict(entry))}" for entry in self)
        return f'{{"schema": {SCHEMA}, "entries": [\n{lines}\n]}}\n'

    def save(self, path: Path) -> None:
        """Replace a file with this table, atomically. Raises OSError."""
        files.write_atomic(path, self.to_json().encode())


def _rank(entry: Entry) -> tuple[bool, str]:
    return entry.chosen == "measured", entry.when


_installed = Table()


def install(table: Table) -> None:
    """Make a table this process's, replacing the one before."""
    global _installed
    _installed = table


def installed_table() -> Table:
    return _installed


def config_for(layer: Layer, gpu: str, arch: int, sms: int | None = None) -> Config:
    """Return the installed table's configuration for this GPU and layer, or the cost model's choice.

    An entry whose kernels may compute wrong numbers is skipped with a warning.
    """
    chosen = _installed.config(gpu, layer)
    if chosen and _safe(layer, chosen, machine_of(arch).arch):
        return chosen
    return space_of(layer).default_config(layer, arch, sms, gpu)


@cache
def _safe(layer: Layer, config: Config, arch: int) -> bool:
    if reason := space_of(layer).hazard_reason(layer, config, arch):
        warnings.warn(f"the table's {config} for {layer.key} is left out: {reason}", stacklevel=3)
    return reason is None
