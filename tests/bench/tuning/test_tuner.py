"""The tuner with a child that is played: what is tried, kept and blamed, and when it ends."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StoreError, TuningError
from bench.runs.process import Answer
from bench.tuning import trials
from bench.tuning import tuner as tuning
from bench.tuning.networks import layer_from_json
from bench.tuning.order import order_candidates
from bench.tuning.trials import Trial
from bench.tuning.tuner import Tuner
from kernels.kinds import space_of
from kernels.table import Table
from tests.bench.tuning.played import GPU, LARGE, MIDDLE, NETWORK, SMALL, VERSIONS, FakeChild, better


def test_a_larger_share_gets_more_and_a_short_budget_several_of_what_costs_most(tuner: Callable[..., Tuner]) -> None:
    child = FakeChild()
    made = tuner(child, cap=None, budget_s=40)
    made.tune()
    counts = Counter(layer for layer, _ in child.tried)
    assert counts[LARGE.key] > counts[MIDDLE.key] > counts[SMALL.key] == 0
    first = {target.layer: target.candidates[0] for target in made.targets}
    assert first == {layer: str(space_of(layer).default_config(layer, 90, 132)) for layer in NETWORK.layers}
    long = tuner(FakeChild(), cap=None, budget_s=400)
    long.tune()
    assert all(len(target.tried) > 1 for target in long.targets)


def test_it_stops_on_time(tuner: Callable[..., Tuner]) -> None:
    child = FakeChild()
    tuner(child, cap=None, budget_s=100).tune()
    assert 100 - tuning.START_S <= child.time <= 100
    assert all(job["seconds"] <= 100 for job in child.jobs)


def test_what_is_done_is_not_done_again_and_the_rest_is(tuner: Callable[..., Tuner]) -> None:
    first, second, third = FakeChild(), FakeChild(), FakeChild()
    tuner(first, budget_s=tuning.START_S + 5).tune()
    assert 5 < len(first.tried) < 3 * 6
    tuner(second).tune()
    assert not set(first.tried) & set(second.tried)
    assert len(first.tried) + len(second.tried) == 3 * 6
    again = tuner(third)
    again.tune()
    assert third.jobs == []
    assert all(len(target.tried) == 6 for target in again.targets)


def test_what_was_tried_and_never_reached_the_table_does_when_it_goes_on(tuner: Callable[..., Tuner]) -> None:
    """A kill between the line of a trial and the table."""
    whole = tuner(FakeChild(better))
    whole.tune()
    entries = Table.read(whole.store.path).to_json()
    whole.store.path.unlink()
    child = FakeChild(better)
    tuner(child).tune()
    assert child.tried == []
    assert Table.read(whole.store.path).to_json() == entries


def test_other_versions_try_again_and_begin_with_what_was_best(tuner: Callable[..., Tuner]) -> None:
    best = order_candidates(LARGE, GPU)[4]
    won = {"status": "won", "us": 5.0}
    tuner(FakeChild(lambda layer, config: won if config == best else {"status": "lost", "us": 9.0})).tune()
    child = FakeChild()
    tuner(child, versions=VERSIONS | {"triton": "3.8.0"}).tune()
    assert len(child.tried) == 3 * 6
    assert (LARGE.key, best) in child.tried[:3]


def test_the_table_has_every_improvement_at_once(tuner: Callable[..., Tuner]) -> None:
    seen = []

    def on_trial(trial: Trial) -> None:
        made = Table.read(Path(target_path))
        entry = next(entry for entry in made if entry.layer == trial.layer)
        assert (entry.config, entry.us) == (trial.config, round(trial.us or 0, 3))
        assert (entry.gpu, entry.chosen, entry.triton) == (GPU.name, "measured", "3.7.1")
        seen.append(trial)

    child = FakeChild(lambda layer, config: better(layer, config))
    made = tuner(child, on_trial=on_trial)
    target_path = made.store.path
    made.tune()
    assert len(seen) == 3 * 6
    lines = [Trial(**json.loads(line)) for line in made.store.lines.read_text().splitlines()]
    assert lines == seen
    assert all(trial.made_by.startswith("torch 2.13.0, triton 3.7.1, kernels ") for trial in lines)
    assert all(trial.predicted_us > 0 for trial in lines)


@pytest.mark.parametrize("status", ["wrong", "refused", "failed"])
def test_what_is_not_right_is_recorded_and_never_chosen(tuner: Callable[..., Tuner], status: str) -> None:
    bad = {(layer.key, str(space_of(layer).default_config(layer, 90, 132))) for layer in NETWORK.layers}

    def verdict(layer: str, config: str) -> dict[str, Any]:
        return {"status": status, "reason": "off"} if (layer, config) in bad else {"status": "lost", "us": 9.0}

    made = tuner(FakeChild(verdict))
    made.tune()
    assert all(target.best is None and target.count(status) == 1 for target in made.targets)
    assert len(Table.read(made.store.path) if made.store.path.exists() else []) == 0


def test_a_best_that_is_wrong_in_another_process_is_left_out_of_the_table(tuner: Callable[..., Tuner]) -> None:
    class Doubting(FakeChild):
        def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
            for visit in job["visits"]:
                if visit["best"]:
                    hear(f"try {visit['best'][0]} running")
                    hear(f'done {visit["best"][0]} {{"status": "wrong", "reason": "off"}}')
            return super().__call__(job, limit_s, hear)

    best = {layer.key: str(space_of(layer).default_config(layer, 90, 132)) for layer in NETWORK.layers}
    verdict = lambda layer, config: {"status": "won" if config == best[layer] else "lost", "us": 5.0}  # noqa: E731
    made = tuner(Doubting(verdict), batch=3)
    made.tune()
    assert len(Table.read(made.store.path)) == 0
    assert all(target.tried[best[target.layer.key]].status == "wrong" for target in made.targets)


def test_a_process_that_dies_costs_one_candidate(tuner: Callable[..., Tuner]) -> None:
    deadly = order_candidates(LARGE, GPU)[2]

    def verdict(layer: str, config: str) -> dict[str, Any] | Answer:
        if (layer, config) == (LARGE.key, deadly):
            return Answer("crash", "died by signal SIGSEGV", {}, 1.0)
        return {"status": "lost", "us": 9.0}

    child = FakeChild(verdict)
    made = tuner(child)
    made.tune()
    assert len(child.tried) == len(set(child.tried)) == 3 * 6
    failed = [trial for target in made.targets for trial in target.tried.values() if trial.status == "failed"]
    assert [(trial.layer, trial.config, trial.reason) for trial in failed] == [
        (LARGE.key, deadly, "died by signal SIGSEGV")
    ]


def test_of_several_that_were_being_compiled_the_deadly_one_is_found(tuner: Callable[..., Tuner]) -> None:
    deadly = (LARGE.key, order_candidates(LARGE, GPU)[1])

    class Compiling(FakeChild):
        def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
            fresh = [
                (number, (layer_from_json(visit["layer"]).key, config))
                for visit in job["visits"]
                for number, config in visit["challengers"]
                if number not in job["compiled"]
            ]
            for start in range(0, len(fresh), job["threads"] or 4):
                group = fresh[start : start + (job["threads"] or 4)]
                for number, _ in group:
                    hear(f"try {number} compiling")
                if any(named == deadly for _, named in group):
                    self.jobs.append(job)
                    return Answer("crash", "died by signal SIGABRT", {}, 1.0)
                for number, _ in group:
                    hear(f"passed {number}")
            return super().__call__(job, limit_s, hear)

    child = Compiling()
    made = tuner(child)
    made.tune()
    failed = [(t.layer.key, config) for t in made.targets for config, x in t.tried.items() if x.status == "failed"]
    assert failed == [deadly]
    assert sum(len(target.tried) for target in made.targets) == 3 * 6


def test_a_process_that_never_does_anything_is_an_error(tuner: Callable[..., Tuner]) -> None:
    def dead(*_: Any) -> Answer:
        return Answer("error", "ModuleNotFoundError: No module named 'triton'", {}, 1.0)

    with pytest.raises(TuningError, match="No module named 'triton'"):
        tuner(FakeChild(), ask=dead).tune()


def test_two_at_once_are_refused(tuner: Callable[..., Tuner]) -> None:
    made = tuner(FakeChild())
    with made.store.writing(), pytest.raises(StoreError, match="another tuner"):
        tuner(FakeChild()).tune()


def test_killed_while_it_writes_the_table_is_whole(
    tuner: Callable[..., Tuner], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tuner(FakeChild(lambda layer, config: better(layer, config)), cap=1)
    made.tune()
    before = made.store.path.read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tuner(FakeChild(lambda layer, config: better(layer, config)), cap=2).tune()
    assert made.store.path.read_bytes() == before
    child = FakeChild()
    tuner(child, cap=2).tune()
    assert len(child.tried) == 2  # the third was on disk, as a line, before the table was written


def test_a_full_disk_is_told_and_a_line_cut_short_costs_itself(
    tuner: Callable[..., Tuner], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(trials.os, "write", lambda file, data: write(file, data[:50]))
        with pytest.raises(StoreError, match="disk is full"):
            tuner(FakeChild()).tune()
    child = FakeChild()
    made = tuner(child)
    made.tune()
    assert len(child.tried) == 3 * 6
    assert len(made.store.lines.read_text().splitlines()) == 1 + 3 * 6
