"""How long records take to load: the first time, when every line is parsed, and when a million of them have an index.

Measured on two shared cores of an AMD EPYC: see docs/FORMAT.md. The figures are printed by `pytest tests/speed`.
"""

import random
import shutil
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bench.records import frame
from bench.records.frame import load
from bench.records.record import Record

pytestmark = pytest.mark.timed

LINES = 20_000
MILLION = 1_000_000
LIMIT_S = 10.0  # what loading and grouping a million may take
GOLDEN = Path(__file__).parent.parent / "bench/records/golden/schema2.jsonl"
CASES = [
    f"{model}/{variant}/{precision}/b{batch}/i224/graph"
    for model, variant, precision, batch in product(
        *(["resnet18", "resnet50", "resnet152"], ["eager", "compile", "onnxruntime"], ["fp32", "fp16"], [1, 8, 64])
    )
]
KEYS = ["model", "variant", "precision", "batch"]


def lines() -> Iterator[str]:
    """Records of a GPU with 30 to 1000 samples of each kind, 4 to 30 KB: what the harness writes, round after round.

    Samples are drawn twice a case, and repeat from round to round: to write so much JSON takes longer than to read it.
    """
    draw = random.Random(0)
    whole = Record.parse(GOLDEN.read_text().splitlines()[0]).line()
    made = []
    for case, half in product(CASES, range(2)):
        record = Record.parse(whole.replace("resnet50/compile-max/fp16/b8/i224/graph", case))
        record.round, count = half, round(30 * (1000 / 30) ** draw.random())
        middle = draw.uniform(1e5, 1e8)
        for name in ("latency_ns", "gpu_ns", *(("flushed_ns", "flushed_gpu_ns") if record.case.batch <= 8 else ())):
            setattr(record, name, [int(draw.lognormvariate(0, 0.02) * middle) for _ in range(count)])
        made.append(record.line())
    for number in range(LINES):
        line = made[number % len(made)]
        place = number // len(made) * 2 + number % 2
        yield line.replace(f'"round":{number % 2}', f'"round":{place}', 1) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder of LINES records, and a cache without an index of it."""
    made = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_CACHE", str(made / "cache"))
        with (made / "records.jsonl").open("w") as file:
            file.writelines(lines())
        yield made
    shutil.rmtree(made)  # pytest would keep these hundreds of megabytes


def with_a_million(folder: Path) -> None:
    """Make the index that a million lines would have: the rows of LINES lines, with other rounds and other times.

    What is measured then is all that a load does with an index. To write and parse a million lines themselves, ten
    gigabytes, takes minutes, and happens once for each line.
    """
    load(folder)
    file = folder / "records.jsonl"
    place = frame._index_path([file])
    assert place
    found = frame._read_index([file], place)[file]
    draw = np.random.default_rng(0)
    tables = []
    for copy in range(MILLION // LINES):
        table = found.rows
        for at, field in enumerate(table.schema):
            column: Any = None
            if field.name == "round":
                column = pa.array(table[field.name].to_numpy() + copy * LINES)
            elif field.type == pa.float64():  # or the file would compress as no measurement does
                column = pa.array(table[field.name].to_numpy() * draw.normal(1, 0.01, LINES), from_pandas=True)
            table = table if column is None else table.set_column(at, field, column)
        tables.append(table)
    found.rows = pa.concat_tables(tables).unify_dictionaries()
    frame._write_index({file: found}, place)


@pytest.mark.slow
def test_the_first_load_parses_every_line(folder: Path, benchmark: Any) -> None:
    start = time.perf_counter()
    found = benchmark.pedantic(load, (folder,), rounds=1)
    spent = time.perf_counter() - start
    size = (folder / "records.jsonl").stat().st_size
    benchmark.extra_info |= {"records_per_s": LINES / spent, "mb_per_s": size / 1e6 / spent}
    print(
        f"\n{LINES} records of {size / LINES / 1e3:.1f} KB: {LINES / spent:.0f} a second, {size / 1e6 / spent:.0f} MB/s"
    )
    assert len(found) == LINES
    assert found["p50_ns"].notna().all()


@pytest.mark.slow
def test_a_million_records_load_and_group_in_seconds(folder: Path, benchmark: Any) -> None:
    with_a_million(folder)
    spent = []

    def look() -> Any:
        start = time.perf_counter()
        medians = load(folder).groupby(KEYS)["p50_ns"].agg(["median", "size"])
        spent.append(time.perf_counter() - start)
        return medians

    medians = benchmark.pedantic(look, rounds=3)
    size = sum(file.stat().st_size for file in folder.rglob("*.parquet"))
    print(f"\n{MILLION} records: {min(spent):.2f} to {max(spent):.2f} s, index {size >> 20} MiB")
    assert len(medians) == len(CASES)
    assert medians["size"].sum() == MILLION
    assert max(spent) < LIMIT_S
