"""What the harness itself costs, by the path of every case."""

from bench.process import ask


def test_a_model_that_does_nothing_costs_under_a_hundredth_of_a_millisecond() -> None:
    answer = ask({"job": "null", "device": "cpu"}, 120)
    assert answer.status == "ok", answer.reason
    told = answer.data["overhead"]
    assert told["samples"] > 1000
    assert 0 < told["of_1_ms"] < 0.01
    assert told["sample_ns"] <= told["sample_p99_ns"][1] <= told["sample_p99_ns"][2]
    assert told["watch_core"] < 0.03
    assert told["watch"]["rounds"] > 1
