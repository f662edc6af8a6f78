"""The table of metrics against the frame."""

from bench.records.frame import load
from bench.verdicts.metrics import METRICS
from tests.bench.verdicts.sides import CASE, Folder


def test_every_metric_is_made_of_columns_of_the_frame(folder: Folder) -> None:
    frame = load(folder("base", {CASE: 10.0}))
    assert {column for metric in METRICS.values() for column in metric.columns} <= set(frame.columns)
