import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.worker.failure import Wrong
from bench.worker.gate import check, judge, unseen_ratio
from bench.worker.measure.clock import Clock
from bench.worker.truth import MAX_MULTIPLE, RMS_MULTIPLE, ROUNDOFF, FloatTruth

BATCH, CLASSES, BUFFERS = 4, 50, 3
EXACT = np.random.default_rng(0).normal(0, 3, (BUFFERS * BATCH, CLASSES))


def rounded(values: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    return torch.from_numpy(values).to(dtype).double().numpy()


TRUTHS = {
    "fp32": FloatTruth("fp32", BATCH, EXACT, rounded(EXACT, torch.float32)),
    "fp16": FloatTruth("fp16", BATCH, EXACT, rounded(EXACT, torch.float16)),
    "bf16": FloatTruth("bf16", BATCH, EXACT, rounded(EXACT, torch.bfloat16)),
}
DTYPE = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def outputs(values: np.ndarray, dtype: torch.dtype) -> list[tuple[int, Tensor]]:
    return [(k, torch.from_numpy(values[k * BATCH : (k + 1) * BATCH]).to(dtype)) for k in range(BUFFERS)]


@pytest.mark.parametrize("claimed", TRUTHS)
@pytest.mark.parametrize("computed", TRUTHS)
def test_less_precision_than_claimed_is_refused_and_more_is_not(claimed: str, computed: str) -> None:
    values = rounded(rounded(EXACT, DTYPE[computed]), DTYPE[claimed])
    if ROUNDOFF[computed] <= ROUNDOFF[claimed]:
        told = judge(outputs(values, DTYPE[claimed]), TRUTHS[claimed])
        assert told["rms_multiple"] <= 1.05
        assert told["top1"] >= 0.9
        assert told["pictures"] == BUFFERS * BATCH
    else:
        with pytest.raises(Wrong, match="times that of plain torch"):
            judge(outputs(values, DTYPE[claimed]), TRUTHS[claimed])


def test_one_wrong_logit_is_refused() -> None:
    values = EXACT.copy()
    values[5, 7] += 1e-3
    with pytest.raises(Wrong, match="error is"):
        judge(outputs(values, torch.float32), TRUTHS["fp32"])


def test_answers_of_another_buffer_are_refused() -> None:
    (zero, a), (one, b), (two, c) = outputs(EXACT, torch.float32)
    with pytest.raises(Wrong):
        judge([(zero, b), (one, a), (two, c)], TRUTHS["fp32"])


@given(st.integers(0, BUFFERS * BATCH - 1), st.integers(0, CLASSES - 1), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_value_that_is_no_number_is_refused_wherever_it_is(row: int, column: int, value: float) -> None:
    values = EXACT.copy()
    values[row, column] = value
    with pytest.raises(Wrong, match="NaN or infinite"):
        judge(outputs(values, torch.float32), TRUTHS["fp32"])


@given(st.floats(0.1, 10))
def test_the_limit_is_the_stated_multiple(multiple: float) -> None:
    truth = TRUTHS["fp16"]
    values = EXACT + multiple * (truth.torch_logits - EXACT)
    if multiple < 0.99 * min(RMS_MULTIPLE, MAX_MULTIPLE):
        assert judge(outputs(values, torch.float32), truth)["rms_multiple"] == pytest.approx(multiple, rel=0.15)
    elif multiple > 1.1 * RMS_MULTIPLE:
        with pytest.raises(Wrong):
            judge(outputs(values, torch.float32), truth)


def test_an_error_that_is_no_number_is_not_small_enough() -> None:
    unknown = EXACT.copy()
    unknown[3, 3] = np.nan
    with pytest.raises(Wrong, match="the rms error is nan times that of plain torch"):
        judge(outputs(EXACT, torch.float32), FloatTruth("fp32", BATCH, EXACT, unknown))


def test_plain_torch_being_lucky_asks_for_no_more_than_the_precision_gives() -> None:
    exactly = FloatTruth("fp16", BATCH, EXACT, EXACT.copy())
    told = judge(outputs(rounded(EXACT, torch.float16), torch.float16), exactly)
    assert told["rms_multiple"] < RMS_MULTIPLE


def test_an_honest_callable_passes_and_its_outputs_are_poisoned_after() -> None:
    inputs = [torch.full((BATCH, 1), float(k)) for k in range(BUFFERS)]
    given_out: list[Tensor] = []

    def run(x: Tensor) -> Tensor:
        k = int(x[0, 0])
        given_out.append(torch.from_numpy(EXACT[k * BATCH : (k + 1) * BATCH]).float())
        return given_out[-1]

    check(run, inputs, range(BUFFERS), TRUTHS["fp32"], Clock())
    assert all(output.isnan().all() for output in given_out)


def test_an_output_made_in_inference_mode_can_be_poisoned() -> None:
    inputs = [torch.zeros(BATCH, 1)]
    truth = FloatTruth("fp32", BATCH, EXACT[:BATCH], EXACT[:BATCH])

    def run(x: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.from_numpy(EXACT[:BATCH]).float()

    check(run, inputs, [0], truth, Clock())


@pytest.mark.gpu
def test_work_on_another_stream_is_refused() -> None:
    from bench.worker.measure.clock import on_device

    with on_device("cuda") as clock:
        side = torch.cuda.Stream()
        answers = torch.from_numpy(EXACT).float().cuda()
        inputs = [torch.full((BATCH, 1), float(k), device="cuda") for k in range(BUFFERS)]
        numbers = {x.data_ptr(): k for k, x in enumerate(inputs)}

        def run(x: Tensor) -> Tensor:
            out = torch.zeros(BATCH, CLASSES, device="cuda")
            with torch.cuda.stream(side):
                torch.cuda._sleep(100_000_000)
                out.copy_(answers.split(BATCH)[numbers[x.data_ptr()]])
            return out

        with pytest.raises(Wrong):
            check(run, inputs, range(BUFFERS), TRUTHS["fp32"], clock)


class Memo:
    """Answers that cost what `price` says for the n-th time that a content comes; a clock that sees just that."""

    def __init__(self, price: Callable[[int], int]) -> None:
        self.price, self.times, self.ns, self.calls = price, {}, 0, 0  # type: ignore[var-annotated]

    def __call__(self, x: Tensor) -> Tensor:
        key = x.sum().item()
        self.times[key] = self.times.get(key, 0) + 1
        self.ns += self.price(self.times[key])
        self.calls += 1
        return x

    def sample(self, call: Callable[[], Tensor]) -> tuple[int, None, Tensor]:
        before = self.ns
        result = call()
        return self.ns - before, None, result

    def wait(self) -> None:
        pass


def test_what_is_fast_only_when_it_comes_again_is_remembered() -> None:
    lately = Memo(lambda times: 1000 if times < 3 else 10)  # from the third time on
    for memo in (Memo(lambda times: 1000 if times == 1 else 10), lately):
        with pytest.raises(Wrong, match="its answer is remembered"):
            unseen_ratio(memo, torch.rand(2, 3), memo)  # type: ignore[arg-type]


def test_an_honest_callable_on_a_busy_machine_is_not_suspected() -> None:
    draw = random.Random(0)
    for _ in range(200):
        busy = Memo(lambda times: 1000 * draw.choice((1, 1, 10)))
        assert unseen_ratio(busy, torch.rand(2, 3), busy) <= 2  # type: ignore[arg-type]
        quiet = Memo(lambda times: 1000)
        assert unseen_ratio(quiet, torch.rand(2, 3), quiet) == 1  # type: ignore[arg-type]
        assert quiet.calls == 4
