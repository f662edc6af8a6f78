"""What a precision costs, from scores: shares, the paired loss, and whose score is whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.records.quality import accuracy, agreement, describe_score, loss, score_key, scored_records
from bench.records.record import Record

Make = Callable[..., Record]
INT8 = "resnet18/onnxruntime/int8/b1/i64/stream"
LABELLED: dict[str, Any] = {"pictures": 200, "agree": 180, "labelled": True, "top1": 150, "plain_top1": 154}
LABELLED |= {"lost": 9, "gained": 5}


def test_a_score_without_labels_has_an_agreement_alone() -> None:
    found = agreement({"pictures": 200, "agree": 166})
    assert found
    assert found.percent() == "83 % (77 to 88)"
    assert accuracy({"pictures": 200, "agree": 166, "top1": 0}) is None
    assert loss({"pictures": 200, "lost": 1, "gained": 0}) is None


def test_the_loss_is_of_the_same_pictures() -> None:
    found, right = loss(LABELLED), accuracy(LABELLED)  # type: ignore[arg-type]
    assert found
    assert right
    assert found.value == pytest.approx((154 - 150) / 200)
    # 14 pictures of 200 differ: far closer than two shares of 200 by themselves
    assert found.high - found.low < 0.6 * 2 * (right.high - right.low)


@pytest.mark.parametrize("score", [{}, {"pictures": 0, "agree": 0}, {"agree": 3}, {"pictures": 2, "agree": 3}])
def test_a_score_that_is_none_has_no_share(score: dict[str, Any]) -> None:
    assert agreement(score) is None  # type: ignore[arg-type]


def test_a_score_is_of_every_batch_and_launch_with_its_weights_and_calibration(record: Make) -> None:
    scored = record(INT8, score={"pictures": 100, "agree": 90}, weights="a", settings={"calibrate": "mse"})
    assert score_key(scored) == score_key(record(INT8.replace("b1", "b8"), weights="a"))  # by default it is mse
    for other in (
        record(INT8, weights="b"),
        record(INT8, weights="a", settings={"calibrate": "minmax"}),
        record(INT8, weights="a", settings={"keep_wide": "fc"}),
        record(INT8.replace("i64", "i32"), weights="a"),
    ):
        assert score_key(other) != score_key(scored)
    fp32 = INT8.replace("int8", "fp32")
    assert score_key(record(fp32, settings={"calibrate": "minmax"})) == score_key(record(fp32))


def test_labels_come_before_more_pictures(record: Make) -> None:
    many = record(INT8, score={"pictures": 1000, "agree": 900})
    few = record(INT8, score=LABELLED)
    assert scored_records([few, many]) == scored_records([many, few]) == {score_key(few): few}
    assert scored_records([record(INT8, status="wrong", score=LABELLED)]) == {}


def test_a_case_with_more_right_than_float32_loses_nothing_less() -> None:
    for lost, gained, said in (
        (9, 5, "2.0 percentage points (-1.9 to 6.2) less"),
        (5, 9, "2.0 percentage points (-1.9 to 6.2) more"),
    ):
        assert f"{said} than float32" in describe_score(LABELLED | {"lost": lost, "gained": gained})  # type: ignore[arg-type]
