"""What holds of a frame whatever the records."""

import json
import random
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from bench.records.columns import COLUMNS
from bench.records.frame import export_parquet, load
from bench.records.record import Record
from tests.bench.records.written import quick, write

TIMES = st.lists(st.integers(1, 10**12), max_size=40)
RECORDS = st.lists(
    st.tuples(st.sampled_from(["eager", "compile"]), st.sampled_from([1, 8]), st.sampled_from(["ok", "crash"]), TIMES),
    min_size=1,
    max_size=12,
)


def loaded(records: list[Record]) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *records)
        return load(folder)


@settings(deadline=None, max_examples=40)
@given(TIMES, st.integers(1, 1000))
def test_times_scale_with_their_samples(times: list[int], factor: int) -> None:
    scaled = [factor * time for time in times]
    one, two = (quick(latency_ns=s, gpu_ns=s, gpu_how="held", flushed_ns=s, flushed_gpu_ns=s) for s in (times, scaled))
    names = [name for name in COLUMNS if name.endswith("_ns")]
    before, after = (loaded([found])[names].iloc[0].to_numpy(float) for found in (one, two))
    np.testing.assert_allclose(after, factor * before, rtol=1e-12)
    assert np.isnan(before).all() == (not times)


@settings(deadline=None, max_examples=30)
@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(drawn: list[tuple[str, int, str, list[int]]], draw: random.Random) -> None:
    records = [
        quick(f"resnet18/{variant}/fp32/b{batch}/i64/stream", round=k, status=status, latency_ns=times)
        for k, (variant, batch, status, times) in enumerate(drawn)
    ]
    shuffled = draw.sample(records, len(records))
    one, two = (
        loaded(found).groupby(["model", "variant", "precision", "batch"])["p50_ns"].median()
        for found in (records, shuffled)
    )
    pd.testing.assert_series_equal(one, two)
    # and what has no time takes no part in the median
    timed = {}
    for variant, batch, status, times in drawn:
        timed.setdefault((variant, batch), [])
        if status == "ok" and times:
            timed[variant, batch].append(median(times))
    for (variant, batch), medians in timed.items():
        value = one["resnet18", variant, "fp32", batch]
        assert value == pytest.approx(median(medians)) if medians else np.isnan(value)


@settings(deadline=None, max_examples=30)
@given(RECORDS)
def test_a_round_trip_through_parquet(drawn: list[tuple[str, int, str, list[int]]]) -> None:
    records = [
        quick(f"resnet18/{variant}/fp32/b{batch}/i64/stream", status=status, latency_ns=times, wall_s=float(len(times)))
        for variant, batch, status, times in drawn
    ]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *records)
        export_parquet([folder], Path(folder) / "x.parquet")
        assert_frame_equal(load(Path(folder) / "x.parquet", samples=True), load(folder, samples=True))
        last = {(record.case.name, record.round): record for record in records}
        assert [json.dumps(cell.tolist()) for cell in load(folder, samples=True)["latency_ns"]] == [
            json.dumps(record.latency_ns) for record in records if last[record.case.name, record.round] is record
        ]
