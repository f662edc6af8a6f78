"""Which candidate is tried when."""

from __future__ import annotations

from bench.tuning.gpus import predict_us
from bench.tuning.order import Target, order_candidates, take_turns
from bench.tuning.trials import Trial
from kernels.space.config import Config
from tests.bench.tuning.played import GPU, LARGE, SMALL


def test_turns_are_by_share_and_go_on_where_they_were() -> None:
    targets = [Target(LARGE, 0.75, list("abcdefgh")), Target(SMALL, 0.25, list("xyz"))]
    order = "".join(config for _, config in take_turns(targets))
    assert order == "abcxdefyghz"  # a tie is the larger one's: 0.75 / 3 and 0.25
    for config in "abcx":
        lost = Trial(GPU.name, "", config, "lost", 1.0, 1.0, 1.0, "", "", "")
        targets[config == "x"].add(lost)
    assert "".join(config for _, config in take_turns(targets)) == order[4:]


def test_candidates_are_in_the_order_of_the_model_and_not_all_of_a_kind() -> None:
    found = [Config.parse(text) for text in order_candidates(LARGE, GPU)]
    assert len(set(found)) == len(found) > 50
    assert {config.impl for config in found} == {"ptr", "tma"}
    assert len({(config.impl, config.block_m, config.block_n) for config in found[:12]}) > 2
    times = [predict_us(LARGE, str(config), GPU) for config in found]
    assert sum(times[:10]) < sum(times[-10:])
