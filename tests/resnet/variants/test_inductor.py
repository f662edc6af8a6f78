"""What Inductor keeps in its cache folder: graphs of frozen weights, each for its own, and checks of the compiler."""

import pytest
import torch
from torch import nn

from resnet.variants.compile_max import prepare
from resnet.variants.inductor import _checked_once, kept

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
    counters.clear()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    runner = prepare(net(seed), x, "fp32", "stream")
    torch.testing.assert_close(runner(runner.place(x)), net(seed)(x))
    (outcome,) = (name for name in counters["inductor"] if name.startswith("fxgraph_cache_"))
    return outcome.removeprefix("fxgraph_cache_")


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


def test_a_check_is_kept_once_it_succeeded(folder) -> None:
    from torch._inductor.cpu_vec_isa import VecAVX2

    answers, asked = [False, True, True], []
    check = _checked_once(lambda isa, code: asked.append(code) or answers[len(asked) - 1])
    results = [check(VecAVX2(), code) for code in ("int a;", "int a;", "int a;", "int b;")]
    assert results == [False, True, True, True]
    assert asked == ["int a;", "int a;", "int b;"]
