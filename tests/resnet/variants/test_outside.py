"""Functions from outside as variants: what they get, what they may return, and what they get wrong."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from resnet.code import CodeError, Unserved, blame, find_code, load_code
from resnet.variants import canonical_variant, find_variant, missing, prepare
from resnet.variants.outside import installed_variants

CODE = """\
import torch.fx

def prepare(module, example):
    return torch.fx.symbolic_trace(module)

def asks(module, example, precision, launch, share=1.0, mode="a"):
    seen.append((precision, launch, share, mode, example.is_contiguous(), next(module.parameters()).dtype))
    return module

seen = []
asks.memory_format = torch.channels_last
asks.why = "shows what a function may ask for"

class Whole:
    details = {"memory_format": "contiguous", "weights_bytes": 7}

    def __init__(self, module, example):
        self.module = module

    def place(self, batch):
        return batch.clone()

    def __call__(self, x):
        return self.module(x)

class Unwritable(Whole):
    def __init__(self, module, example):
        super().__init__(module, example)
        self.details = {"of": object()}

def picky(module, example):
    raise AssertionError("never called")

picky.precisions = ("bf16",)
picky.launches = "stream"

def needy(module, example):
    raise AssertionError("never called")

needy.needs = {"no_such_package": "no-such-package<11"}

def nothing(module, example):
    pass

def one(module):
    return module

def fails(module, example):
    return module.no_such_layer

def fails_later(module, example):
    def forward(x):
        return module(x[:, :2])
    return forward

number = 3
nested = type("Nested", (), {"prepare": staticmethod(prepare)})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a module `mine` and what else a test writes; nothing of it stays imported."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "mine.py").write_text(CODE)
    importlib.invalidate_caches()
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.usefixtures("without_gradients")
@pytest.mark.parametrize("name", ["mine:prepare", "mine:nested.prepare", "mine:Whole"])
def test_two_lines_make_a_variant(name: str, folder: Path, build, batch, error, tolerance) -> None:
    run = prepare(name, build("resnet18"), batch, "fp32")
    assert error(build("resnet18"), batch, run(run.place(batch))) < tolerance["fp32"]
    assert run.details["code"] == hashlib.sha256(CODE.encode()).hexdigest()
    assert run.details["code_file"] == "mine.py"
    assert run.details["weights_bytes"] == (7 if name == "mine:Whole" else 44_765_128)
    assert str(folder) not in str(run.details)


def test_a_function_gets_the_words_that_it_asks_for(folder: Path, build, batch) -> None:
    run = prepare("mine:asks@share=0.5,mode=b", build("resnet18"), batch, "bf16")
    seen = sys.modules["mine"].seen
    assert seen == [("bf16", "stream", 0.5, "b", False, torch.bfloat16)]
    assert run.details["memory_format"] == "channels_last"
    assert run.details["why"] == "shows what a function may ask for"
    assert run.place(batch).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mine:picky", "serves the precisions bf16 alone, says mine.py:"),
        ("mine:needy", "pip install 'no-such-package<11'"),
    ],
)
def test_what_the_function_does_not_serve_is_skipped(name: str, sentence: str, folder: Path, build, batch) -> None:
    with pytest.raises(Unserved, match=sentence):
        prepare(name, build("resnet18"), batch, "fp32")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mine:gone", r"mine.py has no gone: mine:NAME, of prepare, asks, Whole"),
        ("mine:number", r"number in mine.py is of type int, which cannot be called"),
        ("mine:nothing", r"mine.py:\d+: mine:nothing returned None, and not a callable"),
        ("mine:one", r"mine.py:\d+: mine:one cannot be called as a variant is, with a module and an example"),
        ("mine:prepare@mode=x", r"cannot be called .* and mode: got an unexpected keyword argument 'mode'"),
        ("mine:Unwritable", r"the `details` of the Runner do not fit into a record: .*object is not JSON"),
        ("absent:prepare", r"there is no module absent in the folder .* or among the installed packages"),
    ],
)
def test_what_is_wrong_with_the_code_is_a_sentence(name: str, sentence: str, folder: Path, build, batch) -> None:
    with pytest.raises(CodeError, match=sentence):
        prepare(name, build("resnet18"), batch, "fp32")


def test_an_exception_is_blamed_on_the_authors_line(folder: Path, build, batch) -> None:
    lines = CODE.splitlines()
    with pytest.raises(AttributeError) as raised:
        prepare("mine:fails", build("resnet18"), batch, "fp32")
    assert blame(raised.value) == f"mine.py:{lines.index('    return module.no_such_layer') + 1}"
    run = prepare("mine:fails_later", build("resnet18"), batch, "fp32")
    with pytest.raises(RuntimeError) as later:
        run(run.place(batch))
    assert blame(later.value) == f"mine.py:{lines.index('        return module(x[:, :2])') + 1}"
    (folder / "broken.py").write_text("import torch\nimport no_such_module\n")
    (folder / "wrong.py").write_text("def prepare(:\n")
    for name, line in (("broken:prepare", "broken.py:2"), ("wrong:prepare", "wrong.py:1")):
        with pytest.raises((ImportError, SyntaxError)) as caught:
            prepare(name, build("resnet18"), batch, "fp32")
        assert blame(caught.value) == line
    assert blame(ValueError("ours")) is None


def test_the_parent_looks_code_up_and_runs_none_of_it(folder: Path) -> None:
    (folder / "package").mkdir()
    for name in ("__init__", "inner"):
        (folder / "package" / f"{name}.py").write_text("raise AssertionError('it is not to be imported')")
    row = find_variant("package.inner:prepare")
    assert missing(row, "cpu") is None
    assert "there is no module package.other" in str(missing(find_variant("package.other:prepare"), "cpu"))
    assert "write the module's, as `python -m` has it, package.inner:prepare" in str(
        find_code("package/inner.py:prepare")
    )
    assert "there is no module mine.inner" in str(find_code("mine.inner:prepare"))
    assert "package" not in sys.modules


def test_code_in_a_folder_of_a_folder_is_looked_up_without_a_package_in_either(folder: Path) -> None:
    (folder / "outer" / "inner").mkdir(parents=True)
    (folder / "outer" / "inner" / "code.py").write_text("raise AssertionError('it is not to be imported')")
    assert find_code("outer.inner.code:prepare") is None
    assert "there is no module outer.inner.other" in str(find_code("outer.inner.other:prepare"))


def test_an_import_of_ones_own_module_with_a_name_of_this_project_is_told(folder: Path) -> None:
    (folder / "resnet.py").write_text("class Net: ...\n")
    (folder / "user.py").write_text("from resnet import Net\n")
    with pytest.raises(
        CodeError, match=r"user.py imports resnet, and resnet is a package of this project: resnet.py needs"
    ):
        load_code("user:prepare")


def test_another_folder_may_be_told_to_be_searched_first(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, build, batch
) -> None:
    side = tmp_path_factory.mktemp("side")
    (side / "mine.py").write_text(CODE + "# of the side\n")
    monkeypatch.setenv("RESNET_BENCH_FOLDERS", f"{side}:{folder}")
    digest = prepare("mine:prepare", build("resnet18"), batch, "fp32").details["code"]
    assert digest == hashlib.sha256((side / "mine.py").read_bytes()).hexdigest()
    del sys.modules["mine"]


def test_an_installed_package_names_its_variant_without_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build, batch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "traced_resnet.py").write_text(f"raise AssertionError('it is not to be imported')\n{CODE}")
    info = tmp_path / "traced_resnet-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: traced-resnet\nVersion: 1.2\n")
    (info / "top_level.txt").write_text("traced_resnet\n")
    values = "traced = traced_resnet:prepare\nwhole = traced_resnet\neager = traced_resnet:prepare\n"
    (info / "entry_points.txt").write_text(f"[resnet_bench.variants]\n{values}")
    installed_variants.cache_clear()
    try:
        assert canonical_variant("traced") == "traced_resnet:prepare"
        assert canonical_variant("traced@mode=b") == "traced_resnet:prepare@mode=b"
        assert canonical_variant("whole") == "traced_resnet:prepare"
        assert canonical_variant("eager") == "eager"  # no package takes a name of ours
        assert "traced_resnet" not in sys.modules
        (tmp_path / "traced_resnet.py").write_text(CODE)
        importlib.invalidate_caches()
        run = prepare("traced", build("resnet18"), batch, "fp32")
        assert run.details["code_version"] == "1.2"
    finally:
        installed_variants.cache_clear()
        sys.modules.pop("traced_resnet", None)


def test_a_file_with_the_name_of_a_room_here_is_told_to_take_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "resnet.py").write_text("raise AssertionError")
    monkeypatch.chdir(tmp_path)
    assert "resnet.py needs another name" in str(find_code("resnet:build"))
    assert find_code("resnet.fold:fold") is not None  # of that file, which is no package
