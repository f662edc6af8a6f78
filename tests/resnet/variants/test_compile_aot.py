"""Packages of AOTInductor: one is made for real, and loaded as a process that finds it does."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resnet
from resnet.cache import COMPILED
from resnet.runner import Runner
from resnet.variants import compile_aot, prepare
from resnet.weights.synthetic import digest

MODEL, BATCH = "resnet18", torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nn.Module, Runner, Path]]:
    """ResNet-18 in bf16, the runner of the process that made its package, and the folder that has it."""
    folder, patch = tmp_path_factory.mktemp("compiled"), pytest.MonkeyPatch()
    patch.setenv(COMPILED, str(folder))
    model = resnet.build(MODEL)
    before = digest(model)
    with torch.no_grad():
        yield model, prepare("compile-aot", model, BATCH, "bf16"), folder
    assert digest(model) == before
    patch.undo()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations
def test_a_package_is_made_once_and_answers_as_the_model(
    packaged: tuple[nn.Module, Runner, Path], error: Callable[..., float], tolerance: dict[str, float]
) -> None:
    model, made, folder = packaged
    (package,) = folder.glob("*.pt2")
    loaded = prepare("compile-aot", model, BATCH, "bf16")
    assert (made.details["package_cached"], loaded.details["package_cached"]) == (False, True)
    assert loaded.details["compile_options"] == {"freezing": True}
    artefact = loaded.details["artefact"]
    assert (artefact["kind"], artefact["bytes"]) == ("package", package.stat().st_size)
    assert artefact["bytes"] > loaded.details["weights_bytes"]
    json.dumps(loaded.details)
    for runner in (made, loaded):
        first, second = runner.place(BATCH), runner.place(BATCH.flip(0))
        logits = runner(first).clone()
        assert error(model, BATCH, logits) < tolerance["bf16"]
        assert error(model, BATCH, runner(second).flip(0)) < tolerance["bf16"]
        assert torch.equal(runner(first), logits)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_batch_of_another_shape_is_no_read_beyond_its_end(packaged: tuple[nn.Module, Runner, Path]) -> None:
    with pytest.raises(ValueError, match=r"takes batches \[2, 3, 32, 32\], and this one is \[1, 3, 32, 32\]"):
        packaged[1].place(BATCH[:1])


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_what_the_loader_unpacks_is_gone_when_it_returns(packaged: tuple[nn.Module, Runner, Path]) -> None:
    """A worker ends without the loader's destructor: each case would leave a copy of the weights behind."""
    usual = os.environ.get("TMPDIR")
    before = set(Path(gettempdir()).glob("*"))
    (package,) = packaged[2].glob("*.pt2")
    forward = compile_aot._load(package, BATCH)
    left = {path.name for path in set(Path(gettempdir()).glob("*")) - before}
    assert not [name for name in left if "aotinductor" in name or "-package-" in name]
    assert os.environ.get("TMPDIR") == usual
    assert forward(BATCH.bfloat16().to(memory_format=torch.channels_last)).shape == (2, 1000)


def test_a_package_is_another_for_whatever_its_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal keys the first would be loaded for both: with threads of another number, say, or of another model."""
    keys: list[str] = []

    def stop(key: str, *_: Any) -> None:
        keys.append(key)
        raise InterruptedError

    def ask(model: nn.Module, batch: Tensor = BATCH, precision: str = "fp32") -> None:
        with pytest.raises(InterruptedError):
            compile_aot.prepare(model, batch, precision, "stream")

    class Net(nn.Linear):
        pass

    monkeypatch.setattr(compile_aot, "cached_file", stop)
    nets = [nn.Linear(4, 4), nn.Linear(4, 4), Net(4, 4)]
    nets[2].load_state_dict(nets[0].state_dict())
    for net in nets:
        ask(net)
    ask(nets[0], BATCH[:1])
    ask(nets[0], precision="bf16")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    ask(nets[0])
    torch.set_num_threads(threads)
    monkeypatch.setenv("TORCHINDUCTOR_MAX_AUTOTUNE", "1")
    ask(nets[0])
    assert len(set(keys)) == len(keys) == 7
    monkeypatch.delenv("TORCHINDUCTOR_MAX_AUTOTUNE")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/anywhere")
    ask(nets[0])
    assert keys[-1] == keys[0]


def test_8_bits_are_another_variant_s() -> None:
    with pytest.raises(ValueError, match=r"no codes between its steps.*compile-max"):
        prepare("compile-aot", nn.Linear(4, 4), BATCH, "int8")
