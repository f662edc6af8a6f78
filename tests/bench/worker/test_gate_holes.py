"""What the gate cannot judge, cannot see, or would take for more than it is: planted, each through a child's own path.

The jobs run in this process, as `bench.worker` runs them in another.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resnet
from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings
from bench.runs.job import MODELS_OWN, CaseAnswer, CaseJob, reference_job
from bench.worker.case import measure_case
from bench.worker.failure import CannotJudge, describe_failure
from bench.worker.reference import EXACT, logits, write_references
from bench.worker.truth import RMS_MULTIPLE, make_truth
from resnet.names import Build
from resnet.runner import DTYPES

CASE = Case.parse("resnet18/eager/fp32/b2/i32/stream")
SETTINGS = Settings(**(ONCE | {"samples": 6, "throughput_s": 0.01, "steal": 1.0}))  # type: ignore[arg-type]
Forward = Callable[[nn.Module, Tensor], Tensor]


class Liar:
    """A variant that answers with what `lie` makes of the float32 model and a batch; `dtype` is that of its batches."""

    def __init__(self, model: nn.Module, lie: Forward, dtype: torch.dtype) -> None:
        self.model, self.lie, self.dtype = copy.deepcopy(model), lie, dtype
        self.details: dict[str, Any] = {"weights_bytes": 1}

    def place(self, batch: Tensor) -> Tensor:
        return batch.to(self.dtype, copy=True)

    def __call__(self, x: Tensor) -> Tensor:
        return self.lie(self.model, x).clone()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CaseAnswer]:
    """Returns what a child answers for a case that is run by a liar, or by `eager` where there is none."""

    def ask(precision: str, lie: Forward | None = None, weights: Path | None = None, dtype: Any = None) -> CaseAnswer:
        case, build = replace(CASE, precision=precision), Build(weights=str(weights)) if weights else MODELS_OWN
        try:
            reference = write_references(reference_job([case], SETTINGS, "cpu", 0, "noise", build), lambda stage: None)
            job = CaseJob(case, SETTINGS, "cpu", 0, "noise", reference["paths"], build=build)
            with monkeypatch.context() as patch:
                if lie:
                    patch.setattr(
                        resnet, "prepare", lambda name, model, *_: Liar(model, lie, dtype or DTYPES[precision])
                    )
                return measure_case(job)
        except CannotJudge as error:  # as `bench.worker` does
            return CaseAnswer(**describe_failure(error))

    return ask


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[Callable[[resnet.model.ResNet], object]], Path]:
    """Writes the synthetic weights, changed, into a file."""

    def write(change: Callable[[resnet.model.ResNet], object]) -> Path:
        model = resnet.build("resnet18", source="noise")
        with torch.no_grad():
            change(model)
        torch.save(model.state_dict(), tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return write


def zeros(model: nn.Module, x: Tensor) -> Tensor:
    return torch.zeros(len(x), 1000)


def test_zeros_do_not_pass_where_plain_torch_overflows(ask: Any, weights: Any) -> None:
    def grow(model: Any) -> None:
        for norm in (model.bn1, model.layer1[0].bn1, model.layer1[0].bn2):
            norm.weight *= 1e20

    answer = ask("fp32", zeros, weights(grow))
    assert answer["status"] == "error"
    assert answer["reason"] == (
        "cannot be judged in fp32: plain torch itself answers with NaN or infinity for 8 of 8 pictures"
    )
    assert "latency_ns" not in answer


def test_what_is_no_answer_to_the_picture_does_not_pass_where_plain_torch_is_as_far_off(ask: Any, weights: Any) -> None:
    path = weights(lambda model: model.fc.bias.add_(3000))
    constant = logits(resnet.build("resnet18", source="noise", weights=path), resnet.pictures(8, 32), EXACT, "cpu")
    mean = torch.from_numpy(constant.mean(0))

    def lie(model: nn.Module, x: Tensor) -> Tensor:
        return mean.float().expand(len(x), -1)

    answer = ask("bf16", lie, path)
    assert answer["status"] == "error"
    assert "cannot be judged in bf16: plain torch itself is off by 0." in answer["reason"]
    assert ask("fp32", None, path)["status"] == "ok"


def test_a_model_without_an_answer_of_its_own_is_refused() -> None:
    exact = np.ones((8, 10))
    with pytest.raises(CannotJudge, match="all answers are the same"):
        make_truth("fp32", 1, slice(3), exact, exact)
    exact[5, 5] = np.nan
    with pytest.raises(CannotJudge, match="in fp64: the model itself answers with NaN or infinity for 1 of 8"):
        make_truth("fp32", 1, slice(3), exact, exact)


class Noisy(nn.Module):
    """A model whose features `layer` changes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.last = layer, nn.Linear(3 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(x).flatten(1))


def test_a_model_that_draws_or_mixes_its_pictures_is_refused() -> None:
    batch = torch.rand(8, 3, 8, 8)
    assert logits(Noisy(nn.BatchNorm2d(3)).eval(), batch, EXACT, "cpu").shape == (8, 5)
    with pytest.raises(CannotJudge, match="is dropout left on"):
        logits(Noisy(nn.Dropout(0.01)).train(), batch, EXACT, "cpu")
    with pytest.raises(CannotJudge, match="by the others in its batch"):
        logits(Noisy(nn.BatchNorm2d(3, track_running_stats=False)).eval(), batch, EXACT, "cpu")


def test_a_variant_that_mixes_its_pictures_is_refused(ask: Any) -> None:
    answer = ask("fp32", lambda model, x: copy.deepcopy(model).train()(x))
    assert answer["status"] == "wrong"
    assert "times that of plain torch" in answer["reason"]


def test_a_variant_that_wavers_inside_what_is_allowed_is_refused(ask: Any) -> None:
    draw = torch.Generator().manual_seed(0)

    def lie(model: nn.Module, x: Tensor) -> Tensor:
        exact = copy.deepcopy(model).double()(x.double())
        error = model(x) - exact
        size = 0.83 * RMS_MULTIPLE * error.square().mean().sqrt()
        return (exact + size * torch.randn(exact.shape, generator=draw, dtype=torch.float64).sign()).float()

    answer = ask("fp32", lie)
    assert answer["status"] == "wrong"
    assert answer["reason"].startswith("while timing: two answers to the same pictures differ by")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("placed", ["float32", "rounded"])
@pytest.mark.parametrize("answered", ["float32", "rounded"])
def test_float32_under_another_name_is_refused(ask: Any, precision: str, placed: str, answered: str) -> None:
    dtype = DTYPES[precision]
    result = dtype if answered == "rounded" else torch.float32
    answer = ask(
        precision, lambda model, x: model(x.float()).to(result), dtype=dtype if placed == "rounded" else torch.float32
    )
    assert answer["status"] == "wrong"
    assert answer["reason"].startswith(f"before timing: more precise than {precision} can be")


def test_float16_under_the_name_of_bfloat16_is_refused(ask: Any) -> None:
    answer = ask("bf16", lambda model, x: copy.deepcopy(model).half()(x.half()).float(), dtype=torch.float16)
    assert answer["status"] == "wrong"
    assert "more precise than bf16 can be" in answer["reason"]


def test_float32_between_layers_of_rounded_weights_passes_and_is_on_record(ask: Any) -> None:
    answer = ask("bf16", lambda model, x: copy.deepcopy(model).bfloat16().float()(x.float()))
    assert answer["status"] == "ok", answer["reason"]
    assert answer["gate"]["before"]["float32_multiple"] < 0.01
    honest = ask("bf16")
    assert honest["status"] == "ok", honest["reason"]
    assert honest["gate"]["before"]["float32_multiple"] > 0.3


def test_weights_that_are_16_bit_numbers_already_are_no_reason_to_refuse(ask: Any, weights: Any) -> None:
    path = weights(lambda model: model.load_state_dict(copy.deepcopy(model).bfloat16().float().state_dict()))
    assert ask("bf16", None, path)["status"] == "ok"


def test_few_values_may_be_near_float32_by_chance() -> None:
    from bench.worker.failure import Wrong
    from bench.worker.gate import judge

    draw = np.random.default_rng(0)
    exact, error = draw.normal(0, 3, (8, 30)), draw.normal(0, 0.01, (2, 8, 30))
    truth = make_truth("bf16", 1, slice(3), exact, exact + error[0], np.stack([exact, exact + error[1]]))
    one = (0, torch.from_numpy(exact[:1]).float())
    with pytest.raises(Wrong, match="more precise"):
        judge([one], truth)
    few = make_truth("bf16", 1, slice(3), exact[:, :9], exact[:, :9] + error[0, :, :9], truth.float32[:, :, :9])
    assert "float32_multiple" not in judge([(0, one[1][:, :9])], few)


def test_layers_whose_errors_would_not_be_seen_are_named(ask: Any, weights: Any) -> None:
    """A wrong layer before a gamma of zero passes, and the record says so."""

    def blind(model: Any) -> None:
        for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
            for block in stage:
                block.bn2.weight.zero_()

    def lie(model: Any, x: Tensor) -> Tensor:
        model = copy.deepcopy(model)
        model.layer2[0].conv1.weight.neg_()
        return model(x)

    answer = ask("fp32", lie, weights(blind))
    assert answer["status"] == "ok", answer["reason"]
    inside = [f"layer{stage}.{block}.conv{conv}" for stage in range(1, 5) for block in range(2) for conv in (1, 2)]
    assert answer["gate"]["before"]["blind"] == inside
    assert ask("fp32", lie)["status"] == "wrong"


def test_nothing_of_the_synthetic_weights_is_unseen(ask: Any) -> None:
    assert ask("fp32")["gate"]["before"]["blind"] == []
