"""What the harness itself costs, by the path of every case."""

import pytest

from bench.runs.process import ask

pytestmark = pytest.mark.timed


@pytest.fixture(scope="module")
def told() -> dict:
    answer = ask({"job": "null", "device": "cpu"}, 120)
    assert answer.status == "ok", answer.reason
    return answer.data["overhead"]


def test_a_model_that_does_nothing_costs_under_a_thousandth_of_a_millisecond(told) -> None:
    """Through the runner of a stream's variant, in which a guard against gradients alone would take as much."""
    null = told["paths"]["stream"]
    assert null["samples"] > 1000
    assert 0 < null["of_1_ms"] < 0.001
    assert null["sample_ns"] <= null["sample_p99_ns"][1] <= null["sample_p99_ns"][2]
    assert null["gpu_ns"] is None


def test_every_kind_of_variant_here_has_its_own_path(told) -> None:
    assert told["paths"].keys() == {"stream", "onnxruntime"}
    assert told["absent"] == {}
    assert told["paths"]["stream"]["sample_ns"] < told["paths"]["onnxruntime"]["sample_ns"] < 100_000


def test_watching_costs_next_to_nothing(told) -> None:
    assert told["watch_core"] < 0.03
    assert told["watch"]["rounds"] > 1
