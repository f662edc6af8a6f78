from pathlib import Path

import numpy as np
import pytest
import torch

import resnet
from bench.worker.reference import EXACT, reference_files


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))
    return reference_files("resnet18", 64, 5, ["fp32", "bf16", "int8"], "cpu", 0, "noise")


def test_they_are_the_models_own_answers(made: dict[str, str]) -> None:
    exact = np.load(made[EXACT])
    assert exact.dtype == np.float64
    assert exact.shape == (8, 1000)  # 5 pictures, rounded up
    model = resnet.build("resnet18", source="noise")
    batch = resnet.pictures(5, 64, source="noise")
    np.testing.assert_allclose(model.double()(batch.double()).numpy(), exact[:5], rtol=1e-9, atol=1e-9)


def test_plain_errors_are_in_the_order_of_the_precisions(made: dict[str, str]) -> None:
    exact = np.load(made[EXACT])
    assert set(made) == {EXACT, "fp32", "bf16"}  # plain torch has no int8
    errors = {precision: np.abs(np.load(made[precision]) - exact).max() for precision in ("fp32", "bf16")}
    assert 0 < errors["fp32"] < 1e-3
    assert 100 * errors["fp32"] < errors["bf16"] < 1


def test_a_second_call_computes_nothing(made: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.worker.reference.logits", lambda *a: pytest.fail("computed again"))
    assert reference_files("resnet18", 64, 7, ["fp32", "bf16"], "cpu", 0, "noise") == made


def test_other_pictures_have_other_references(made: dict[str, str]) -> None:
    other = reference_files("resnet18", 64, 5, ["fp32"], "cpu", 1, "noise")
    assert other[EXACT] != made[EXACT]
    assert not torch.allclose(torch.from_numpy(np.load(other[EXACT])), torch.from_numpy(np.load(made[EXACT])))


def test_fp16_emulated_on_a_cpu_errs_as_torchs_own_does() -> None:
    from bench.worker.reference import logits

    model = resnet.build("resnet18", source="noise")
    batch = resnet.pictures(4, 64, source="noise")
    exact = logits(model, batch, EXACT, "cpu")
    own = model.half()(batch.half()).float().numpy()
    emulated = logits(resnet.build("resnet18", source="noise"), batch, "fp16", "cpu")
    errors = [np.sqrt(np.mean((y - exact) ** 2)) for y in (own, emulated)]
    assert 0.7 < errors[1] / errors[0] < 1.4
