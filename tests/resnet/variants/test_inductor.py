"""What Inductor keeps in its cache folder: graphs of frozen weights, each for its own, and checks of the compiler."""

import errno
from pkgutil import resolve_name
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from resnet.variants.compile_max import prepare
from resnet.variants.inductor import CHECKS, GRAPHS, _checked_once, kept

pytestmark = pytest.mark.filterwarnings("default")  # Inductor's imports are not free of deprecations


@pytest.fixture
def folder(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    return tmp_path


def net(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Conv2d(3, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16, 10)).eval().requires_grad_(False)


def compiled(seed: int) -> str:
    """Return whether the graph of a network was found in the cache, after checking its answers."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    before = counters["inductor"].copy()  # a process may compile more than once
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    runner = prepare(net(seed), x, "fp32", "stream")
    torch.testing.assert_close(runner(runner.place(x)), net(seed)(x))
    (outcome,) = (name for name in counters["inductor"] - before if name.startswith("fxgraph_cache_"))
    hit = outcome == "fxgraph_cache_hit"
    assert (GRAPHS in runner.details.get("found_kept", ())) == hit  # a record says so
    return "hit" if hit else "miss"


@pytest.mark.slow  # three compilations in an empty folder
def test_frozen_graphs_are_cached_and_no_two_weights_share_one(folder) -> None:
    assert [compiled(seed) for seed in (0, 0, 1, 1, 0)] == ["miss", "hit", "miss", "hit", "hit"]
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert compiled(0) == "miss"  # its code is for so many threads
    finally:
        torch.set_num_threads(threads)


def test_other_weights_have_other_keys() -> None:
    tags = []
    for module in (net(0), net(1), net(0), None):
        with kept(module):
            tags.append(torch.compiler.config.cache_key_tag)
    assert len(set(tags)) == 3
    assert tags[0] == tags[2]
    assert not torch.compiler.config.cache_key_tag


NAMES = (
    ("torch.compiler.config", "cache_key_tag"),
    ("torch._inductor.codecache.FxGraphCachePickler", "_reduce_tensor"),
    ("torch._inductor.codecache", "FxGraphCachePickler"),
    ("torch._inductor.cpu_vec_isa.VecISA", "check_build"),
    ("torch._inductor.freezing_utils", "is_frozen_param"),
)


@pytest.mark.parametrize(("place", "name"), NAMES)
def test_of_a_release_with_other_names_less_is_kept_and_nothing_fails(
    place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = resolve_name(place)
    if name == "cache_key_tag":  # which cannot be taken from a module of settings
        owner = monkeypatch.setattr("torch.compiler.config", SimpleNamespace())
    else:
        monkeypatch.delattr(owner, name)
    with kept(net(0)):
        ran = True
    assert ran


def test_packed_weights_enter_a_key_by_their_shape_only_beside_a_digest_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pickler = resolve_name("torch._inductor.codecache.FxGraphCachePickler")
    before = pickler._reduce_tensor
    with kept(net(0)):
        assert pickler._reduce_tensor is not before
    assert pickler._reduce_tensor is before
    with kept():
        assert pickler._reduce_tensor is before
    without_bytes = nn.Sequential(nn.Conv2d(3, 4, 3, device="meta"))
    with kept(without_bytes):
        assert pickler._reduce_tensor is before


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), AttributeError("cache_dir")])
def test_a_check_that_cannot_be_kept_still_has_its_answer(
    folder, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._inductor.cpu_vec_isa import VecAVX2

    def fails(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("resnet.variants.inductor.cached_file", fails)
    found: list[str] = []
    for answer in (True, False):
        check = _checked_once(lambda isa, code, answer=answer: answer, found)
        assert check(VecAVX2(), "") == answer
    assert not found


def test_a_check_is_kept_once_it_succeeded(folder) -> None:
    from torch._inductor.cpu_vec_isa import VecAVX2

    answers, asked = [False, True, True], []
    found: list[str] = []
    check = _checked_once(lambda isa, code: asked.append(code) or answers[len(asked) - 1], found)
    results = []
    for code in ("int a;", "int a;", "int b;"):
        results.append(check(VecAVX2(), code))
    assert not found
    results += [check(VecAVX2(), "int a;") for _ in range(2)]
    assert results == [False, True, True, True, True]
    assert found == [CHECKS]
    assert asked == ["int a;", "int a;", "int b;"]
