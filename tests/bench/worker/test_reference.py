from pathlib import Path

import numpy as np
import pytest
import torch

import resnet
from bench.runs.job import ReferenceJob
from bench.worker.reference import EXACT, write_references
from bench.worker.truth import FLOAT32, LAYERS


def references(count: int, precisions: list[str], seed: int = 0) -> dict[str, str]:
    job = ReferenceJob("resnet18", 64, count, precisions, "cpu", seed, "noise")
    return write_references(job, print)["paths"]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))
    return references(5, ["fp32", "bf16", "int8"])


def test_they_are_the_models_own_answers(paths: dict[str, str]) -> None:
    exact = np.load(paths[EXACT])
    assert exact.dtype == np.float64
    assert exact.shape == (8, 1000)  # 5 pictures, rounded up
    model = resnet.build("resnet18", source="noise")
    batch = resnet.pictures(5, 64, source="noise")
    np.testing.assert_allclose(model.double()(batch.double()).numpy(), exact[:5], rtol=1e-9, atol=1e-9)


def test_plain_errors_are_in_the_order_of_the_precisions(paths: dict[str, str]) -> None:
    exact = np.load(paths[EXACT])
    assert set(paths) == {EXACT, "fp32", "bf16", FLOAT32["bf16"], LAYERS}  # plain torch has no int8
    errors = {precision: np.abs(np.load(paths[precision]) - exact).max() for precision in ("fp32", "bf16")}
    assert 0 < errors["fp32"] < 1e-3
    assert 100 * errors["fp32"] < errors["bf16"] < 1


def test_a_second_call_computes_nothing(paths: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.worker.reference.logits", lambda *a: pytest.fail("computed again"))
    assert references(7, ["fp32", "bf16"]) == paths


def test_other_pictures_have_other_references(paths: dict[str, str]) -> None:
    other = references(5, ["fp32"], seed=1)
    assert other[EXACT] != paths[EXACT]
    assert not torch.allclose(torch.from_numpy(np.load(other[EXACT])), torch.from_numpy(np.load(paths[EXACT])))


def test_fp16_emulated_on_a_cpu_errs_as_torchs_own_does() -> None:
    from bench.worker.reference import logits

    model = resnet.build("resnet18", source="noise")
    batch = resnet.pictures(4, 64, source="noise")
    exact = logits(model, batch, EXACT, "cpu")
    own = model.half()(batch.half()).float().numpy()
    emulated = logits(resnet.build("resnet18", source="noise"), batch, "fp16", "cpu")
    errors = [np.sqrt(np.mean((y - exact) ** 2)) for y in (own, emulated)]
    assert 0.7 < errors[1] / errors[0] < 1.4
