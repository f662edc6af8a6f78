"""The files beside records, imports and plans that readers take, each with the function that reads it."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bench.records.frame import export_parquet, load
from kernels.cards.constants import ConstantsError
from tests.bench.report.page.sweeps import layers_file
from tests.kernels.shapes import MIDDLE
from tests.soak.mutations import spoilt_json

ROOT = Path(__file__).resolve().parents[2]
Reader = Callable[[Path], Any]


def _json(name: str | Path) -> Callable[[], st.SearchStrategy[Any]]:
    @cache
    def content() -> Any:
        data = json.loads((ROOT / name).read_text())
        if "entries" in data:
            data["entries"] = data["entries"][:3]
        if "cases" in data:
            data["cases"] = dict(list(data["cases"].items())[:2])
        return data

    return lambda: st.just(content())


@cache
def _parquet_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        export_parquet([ROOT / "results/cpu-quick"], Path(name, "x.parquet"))
        return Path(name, "x.parquet").read_bytes()


def _parquet() -> st.SearchStrategy[bytes]:
    return st.just(_parquet_bytes())


def _accepted(path: Path) -> None:
    from bench.static import markdown
    from bench.static.kernels import Accepted

    Accepted.read(path)
    markdown.section(path.parent, path.name)


def _prediction(path: Path) -> None:
    from bench.static.predictions import read_prediction

    read_prediction(path)


def _counts(path: Path) -> None:
    from bench.static.cases import Facts, compare_facts
    from bench.static.cases_text import facts_lines, facts_markdown

    facts = Facts.read(path)
    changes = compare_facts(facts, Facts.read(ROOT / "results/static/counts.json"))
    list(facts_lines(facts, changes, facts, 1.0))
    facts_markdown(facts, changes, facts)


def _ceilings(path: Path) -> None:
    from bench.machine.environment import environment
    from bench.roofline.ceilings import read_ceilings, reason_outdated

    reason_outdated(read_ceilings(path), environment())


def _selftest(path: Path) -> None:
    from bench.verdicts.selftest.tables import section

    section(path.parent, path.name)


def _table(path: Path) -> None:
    from bench.tuning.trials import read_table

    read_table(path).to_json()


def _constants(path: Path) -> None:
    from kernels.cards.constants import read_constants

    read_constants(path, "NVIDIA H200")


def _mark(path: Path) -> None:
    from bench.records.places import MARK, saved_facts

    path.rename(path.with_name(MARK))
    saved_facts(path.parent)


def _layers(path: Path) -> None:
    from bench.report.page.data import layer_rows

    json.dumps(layer_rows([path.parent], {}, []))


def _bundle(path: Path) -> None:
    from kernels.compiled.bundle import maker_of, read_head

    maker_of(read_head(path))


def _archive(path: Path) -> None:
    from bench.campaign.restore import unpack_into_results

    with tempfile.TemporaryDirectory() as name:
        results = Path(name)
        for _ in range(2):  # into nothing, and joined with what is there
            unpack_into_results(path, results)


def _journal(path: Path) -> None:
    from bench.campaign.campaign import Campaign

    campaign = Campaign({"gpu": {"name": "x", "capability": [9, 0]}}, path.parent)
    campaign.journal = path
    campaign.entries()


def _card(path: Path) -> None:
    from bench.campaign.cards import _read_environment

    path.rename(path.with_name("environment.json"))
    _read_environment(path.parent)


def tar_of(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def _of(value: Any) -> Callable[[], st.SearchStrategy[Any]]:
    return lambda: st.just(value)


def _tarred(name: str, data: Any, others: dict[str, bytes] | None = None) -> Callable[[], st.SearchStrategy[bytes]]:
    """Return archives of which one file, JSON, is spoilt; beside them what is to be spoilt as a whole."""
    return lambda: spoilt_json(data).map(lambda content: tar_of((others or {}) | {name: content}))


GPU = "NVIDIA H200"
HERE = {
    "gpu": {"name": GPU, "capability": [9, 0]},
    "cpu": {"name": "A CPU", "cores": 2},
    "packages": {"torch": "2.11.0"},
}
DATED = {"schema": 1, "gpu": GPU, "provenance": {"date": "2026-11-01T00:00:00+00:00", "environment": HERE}}
CONSTANTS = DATED | {
    "constants": {
        "launch_us": {"value": 2.0, "how": "measured"},
        "tensor_share_ptr": {"value": 0.5, "how": "measured"},
    },
    "experiments": [
        {"name": "launches", "status": "ok", "reason": "", "seconds": 1.0, "data": {}, "date": "2026-11-01"}
    ],
}
ENTRY = {
    "gpu": GPU, "layer": MIDDLE.key, "config": "ptr-128x64x64-w4-s3-k1-g8-pdl", "chosen": "measured", "us": 5.0,
    "when": "2026-01-01T00:00:00+00:00", "triton": "3.6.0",
}  # fmt: skip
HEAD = {
    "schema": 1,
    "maker": dict.fromkeys(("python", "triton", "ptxas", "platform", "arch", "key", "sources"), "x"),
    "kernels": 1,
    "layers": [],
}
JOURNAL = {"task": "t", "status": "ok", "reason": "", "seconds": 1.0, "when": "2026-11-01", "code": "c", "commit": "0"}
CARD = {"h200/environment.json": json.dumps(HERE).encode()}
LAYERS = json.loads(layers_file("resnet18/eager/fp32/b1/i64/stream", HERE))
READERS: dict[str, tuple[Callable[[], st.SearchStrategy[Any]], str, Reader, tuple[type[Exception], ...]]] = {
    "accepted kernels": (_json("results/kernels/accepted.json"), ".json", _accepted, ()),
    "predictions": (_json("results/kernels/predictions.json"), ".json", _prediction, ()),
    "counts": (_json("results/static/counts.json"), ".json", _counts, ()),
    "ceilings": (_json(min((ROOT / "results/ceilings").glob("*.json"))), ".json", _ceilings, ()),
    "selftest, simulated": (_json("results/selftest/simulated.json"), ".json", _selftest, ()),
    "selftest, real": (_json("results/selftest/real.json"), ".json", _selftest, ()),
    "parquet": (_parquet, ".parquet", load, ()),
    "saved mark": (_of({"schema": 1, "from": "quick-1", "saved": "2026-01-01"}), ".json", _mark, ()),
    "layers": (_of(LAYERS), ".json", _layers, ()),
    "table of configurations": (_of({"schema": 1, "entries": [ENTRY, ENTRY | {"layer": "x"}]}), ".json", _table, ()),
    "constants": (_of(CONSTANTS), ".json", _constants, (ConstantsError,)),
    "journal": (_of(JOURNAL), ".jsonl", _journal, ()),
    "environment of a card": (_of(HERE), ".json", _card, ()),
    "bundle": (_of(tar_of({"head.json": json.dumps(HEAD).encode()})), ".bundle", _bundle, (ValueError, OSError)),
    "bundle's head": (_tarred("head.json", HEAD), ".bundle", _bundle, (ValueError, OSError)),
    "archive's constants": (_tarred("h200/constants.json", CONSTANTS, CARD), ".tar", _archive, ()),
    "archive's records": (_tarred("h200/sweep/records.jsonl", JOURNAL, CARD), ".tar", _archive, ()),
    "archive": (_of(tar_of(CARD)), ".tar.gz", _archive, ()),
}
