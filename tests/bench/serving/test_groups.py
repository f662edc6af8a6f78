"""Services in 8 bits stand apart from those that answer as float32 does, and say what they cost."""

from bench.serving.groups import group_services, simulate_group
from tests.bench.report.precisions import sweep
from tests.bench.report.shown import Make


def test_eight_bits_are_a_group_of_their_own_with_a_price(record: Make) -> None:
    records = [one for one in sweep(record, {"resnet50": 1.0}) if one.case.batch == 1]
    groups = [simulate_group(*services, 1e9, 0.0, None, 0) for services in group_services(records)]
    assert [{one.service.case.precision for one in group.capacities} for group in groups] == [
        {"fp32", "bf16"},
        {"int8"},
    ]
    assert groups[1].heading == groups[0].heading + ", in int8"
    assert groups[0].price == ""
    assert groups[1].price.startswith("agrees with float32 on 86 % (83 to 89) of 500 pictures and has 76 %")


def test_a_burst_of_slow_ones_leaves_open_whether_requests_are_surely_late(record: Make) -> None:
    """Twelve slow executions of two hundred in a row are one event; spread over them, they are the p99."""
    quick, slow = 10_000_000, 60_000_000
    orders = {"burst": [quick] * 100 + [slow] * 12 + [quick] * 88, "spread": ([quick] * 15 + [slow]) * 12 + [quick] * 8}
    doubts = {}
    for name, ns in orders.items():
        services = group_services([record("resnet50/eager/fp32/b1/i224/stream", latency_ns=ns)])
        doubts[name] = simulate_group(*services[0], 50_000_000.0, 0.0, None, 0).doubt
    assert doubts["spread"] == ""
    assert "200 samples are too few for a p99" in doubts["burst"]
