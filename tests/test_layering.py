"""The rooms of docs/ARCHITECTURE.md, held against the source: nothing points back, and the parent never imports torch.

The page's tables are the rule: a module imports from its own room and from those that its room's row names.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "ARCHITECTURE.md"
PACKAGES = ("kernels", "resnet", "bench")
HEAVY = {"torch", "triton", "onnxruntime"}  # never in a parent, not even by way of another module
SLOW = {"numpy", "pandas", "scipy", "pyarrow"}  # half a second that `bench list` does not need
LAZY = {"onnx", "onnxruntime", "onnxscript", "sklearn", "skimage", "PIL", "matplotlib"} | {
    "keras", "h5py", "safetensors", "timm", "torchvision", "vl_convert", "jinja2", "playwright", "openvino", "torchao",
}  # fmt: skip
MODULES = 16  # in a folder, its __init__ aside
LINES = 300  # of a file
FUNCTION_LINES = 70


@dataclass(frozen=True)
class Room:
    """A row of the page: the folder, as a package's name, and the packages that its modules may import."""

    package: str
    may_import: frozenset[str]
    torch: bool


def rooms(page: str) -> dict[str, Room]:
    """The page's rows by package, in its order."""
    table: dict[str, Room] = {}
    for folder, cell in re.findall(r"^\| `([\w/]+)/` \|.*\| ([^|]*)\|$", page, re.M):
        words = frozenset(name.replace("/", ".") for name in re.findall(r"`([\w/]+)`", cell))
        table[folder.replace("/", ".")] = Room(folder.replace("/", "."), words, "torch" in re.split(r"[ ,]+", cell))
    return table


def sources() -> dict[str, str]:
    """Module name -> source; a package's is that of its `__init__`."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            modules[".".join(parts).removesuffix(".__init__")] = path.read_text()
    return modules


def room_of(module: str, packages: set[str]) -> str:
    return module if module in packages else module.rpartition(".")[0]


def imports(source: str, modules: set[str], everywhere: bool = False) -> set[str]:
    """What a module imports when it is imported; with `everywhere`, what its functions import, too."""
    names: set[str] = set()
    for node in statements(ast.parse(source), everywhere):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import, line {node.lineno}: say the whole name"
            assert node.module
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inner & modules
            if not inner <= modules:
                names.add(node.module)
    return names


def statements(node: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from (inner for part in child.orelse for inner in (part, *statements(part, everywhere)))
        elif everywhere or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from statements(child, everywhere)


def top(name: str) -> str:
    return name.partition(".")[0]


def reached(start: str, graph: dict[str, set[str]]) -> dict[str, str]:
    """Everything that importing `start` imports -> the module that does. A package is imported before its modules."""
    by: dict[str, str] = {}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        packages = {module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)}
        for name in sorted(graph.get(module, set()) | packages):
            if name not in by:
                by[name] = module
                waiting.append(name)
    return by


def entry(module: str) -> bool:
    """A package's face or a program: both may import from any room of their package's and below."""
    return module in PACKAGES or module.endswith(".__main__") or module == "bench.cli"


def violations(modules: dict[str, str], table: dict[str, Room]) -> list[str]:
    names, lines = set(modules), []
    packages = {module for module in names if any(name.startswith(f"{module}.") for name in names)} | set(table)
    graph = {module: imports(source, names) for module, source in modules.items()}
    for module, source in modules.items():
        home = room_of(module, packages)
        room = table.get(home)
        if room is None:
            lines.append(f"{module} is in a room without a row on the page")
            continue
        for name in sorted(imports(source, names, everywhere=True)):
            if top(name) in PACKAGES:
                lines += refused(module, room, name, room_of(name if name in packages | names else "", packages))
            elif top(name) in HEAVY and not room.torch and name in graph[module]:
                lines.append(f"{module} imports {name}, and its room may not")
        lines += [f"{module} imports {name} outside a function" for name in graph[module] if top(name) in LAZY]
        if not room.torch:
            for name, via in reached(module, graph).items():
                target = table.get(room_of(name, packages))
                if top(name) in HEAVY or (top(name) == "bench" and target and target.torch):
                    lines.append(f"{module} is of the parent and imports {name} (in {via})")
    try:
        TopologicalSorter({module: targets & names for module, targets in graph.items()}).prepare()
    except CycleError as cycle:
        lines.append("cycle: " + " -> ".join(cycle.args[1]))
    return lines


def refused(module: str, room: Room, name: str, target: str) -> list[str]:
    if entry(module) and PACKAGES.index(top(name)) <= PACKAGES.index(top(module)):
        return []
    if target in (room.package, *room.may_import):
        return []
    return [f"{module} imports {name}, and its room may not"]


def test_nothing_points_back() -> None:
    assert violations(sources(), rooms(PAGE.read_text())) == []


def test_a_row_names_rows_above_it() -> None:
    above: set[str] = set()
    for package, room in rooms(PAGE.read_text()).items():
        assert room.may_import <= above, f"{package} may import {sorted(room.may_import - above)}, not above it"
        above.add(package)


def test_no_row_allows_more_than_is_used() -> None:
    """Or the page would say less than it could."""
    modules, table = sources(), rooms(PAGE.read_text())
    packages, used = set(table), {package: set() for package in table}
    for module, source in modules.items():
        if not entry(module):
            names = imports(source, set(modules), everywhere=True)
            used[room_of(module, packages)] |= {room_of(name, packages) for name in names if top(name) in PACKAGES}
    assert {
        name: sorted(room.may_import - used[name]) for name, room in table.items() if room.may_import - used[name]
    } == {}


TABLE = """
| `kernels/` | | | torch |
| `resnet/` | | | `kernels`, torch |
| `bench/` | | | |
| `bench/plans/` | | | `bench`, `resnet` |
| `bench/worker/` | | | `bench/plans`, torch |
"""


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ({"kernels.add": "import resnet"}, "kernels.add imports resnet, and its room may not"),
        (
            {"kernels.add": "def f():\n    from bench import plans"},
            "kernels.add imports bench.plans, and its room may not",
        ),
        ({"resnet.model": "import bench.plans.plan"}, "resnet.model imports bench.plans.plan, and its room may not"),
        ({"bench.stats": "from bench.plans import plan"}, "bench.stats imports bench.plans.plan, and its room may not"),
        ({"bench.room.x": ""}, "bench.room.x is in a room without a row"),
        ({"bench.plans.inner.x": ""}, "bench.plans.inner.x is in a room without a row"),
        ({"resnet.model": "import h5py"}, "resnet.model imports h5py outside a function"),
        (
            {"resnet.model": "try:\n    from PIL import Image\nexcept ImportError: ..."},
            "imports PIL outside a function",
        ),
        ({"bench.plans.plan": "import torch"}, "bench.plans.plan imports torch, and its room may not"),
        (
            {"bench.plans.plan": "from resnet import model", "resnet.model": "import torch.nn"},
            "bench.plans.plan is of the parent and imports torch.nn (in resnet.model)",
        ),
        (
            {"bench.plans.plan": "import resnet.archs", "resnet.archs": "", "resnet": "import torch"},
            "bench.plans.plan is of the parent and imports torch (in resnet)",
        ),
        (
            {"bench.plans.plan": "from bench.worker import gate", "bench.worker.gate": ""},
            "of the parent and imports bench.worker.gate",
        ),
        ({"resnet.a": "import resnet.b", "resnet.b": "from resnet import a"}, "cycle: "),
    ],
)
def test_a_planted_violation_is_found(planted: dict[str, str], message: str) -> None:
    lines = violations({"bench.plans": "", "bench.plans.plan": "", "resnet": ""} | planted, rooms(TABLE))
    assert any(message in line for line in lines), lines


@pytest.mark.parametrize(
    "allowed",
    [
        {
            "bench.worker": "",
            "bench.worker.case": "import torch\nfrom bench.worker import gate",
            "bench.worker.gate": "",
        },
        {"bench.plans.plan": "def f():\n    import torch"},
        {"bench.plans.plan": "if TYPE_CHECKING:\n    import torch"},
        {"resnet.model": "import torch\nimport kernels.add", "kernels.add": "import triton"},
        {"bench": "from bench.plans import plan", "bench.plans.plan": ""},
        {"bench.worker.__main__": "from bench.plans import plan", "bench.plans.plan": "", "bench.worker": ""},
    ],
)
def test_what_is_allowed_is_not_found(allowed: dict[str, str]) -> None:
    assert violations(allowed, rooms(TABLE)) == []


def test_every_file_that_the_page_names_exists() -> None:
    names = re.findall(r"`((?:bench|kernels|resnet|tests)/[\w/]+\.py)`", PAGE.read_text())
    assert len(names) > 15
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_room_says_what_the_page_says_of_it() -> None:
    """In the first line of its `__init__`, which is what `help()` shows; a package's face says more of its own."""
    modules = sources()
    cells = re.findall(r"^\| `([\w/]+)/` \| ([^|]+) \|", PAGE.read_text(), re.M)
    faces = ("kernels", "resnet", "bench", "bench/cli")
    said = {folder: ast.get_docstring(ast.parse(modules[folder.replace("/", ".")])) for folder, _ in cells}
    assert {folder: (said[folder] or "").split("\n")[0] for folder, _ in cells if folder not in faces} == {
        folder: cell[0].upper() + cell[1:] + "." for folder, cell in cells if folder not in faces
    }


def test_the_setup_script_needs_nothing() -> None:
    names = imports((ROOT / "bench/bootstrap.py").read_text(), set(), everywhere=True)
    assert {top(name) for name in names} <= sys.stdlib_module_names


def test_the_command_line_leaves_torch_alone() -> None:
    """Nor does any of its commands, or a name of `bench`, import what half a second goes to before it is needed."""
    every = "[bench.cli.load(name) for name in bench.cli.PLACES], [getattr(bench, name) for name in bench.__all__]"
    code = f"import sys, bench, bench.cli; {every}; sys.exit(' '.join({HEAVY | SLOW} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tests_mirror_the_source() -> None:
    """A folder of tests is a room, or holds what several share."""
    shared = {"cheats", "noise", "speed", "toy", "kernels/interpreted", "bench/records/golden"}
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert sorted(folder for folder in folders - shared if folder != "." and not (ROOT / folder).is_dir()) == []


def test_sizes() -> None:
    """A folder, a file or a function that outgrows its budget hides a second one."""
    over, modules = [], sources()
    packages = set(rooms(PAGE.read_text()))
    for package in packages:
        number = sum(room_of(module, packages) == package and module != package for module in modules)
        over += [f"{package}: {number} modules"] if number > MODULES else []
    for module, source in modules.items():
        if (lines := source.count("\n")) > LINES and module != "bench.bootstrap":
            over.append(f"{module}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    over.append(f"{module}.{node.name}: {lines} lines")
    assert over == []
