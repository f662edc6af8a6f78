"""The arrows of docs/ARCHITECTURE.md, read off the source: nothing points back, and the parent never imports torch."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("kernels", "resnet", "bench")  # each may import those before it
HEAVY = {"torch", "triton", "onnxruntime"}  # never in a parent, not even by way of another module
SLOW = {"numpy", "pandas", "scipy", "pyarrow"}  # half a second that `bench list` does not need
LAZY = {"onnx", "onnxruntime", "onnxscript", "sklearn", "skimage", "PIL", "matplotlib", "altair", "ruptures"} | {
    "keras", "h5py", "safetensors", "vl_convert", "jinja2", "playwright",
}  # fmt: skip
LINES = 400  # of a file
FUNCTION_LINES = 70


def sources() -> dict[str, str]:
    """Module name -> source."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path.read_text()
    return found


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


def child(module: str) -> bool:
    return module == "bench.worker" or module.startswith("bench.worker.")


def reached(start: str, graph: dict[str, set[str]]) -> dict[str, str]:
    """Everything that importing `start` imports -> the module that does. A package is imported before its modules."""
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        packages = {module.rsplit(".", n)[0] for n in range(1, module.count(".") + 1)}
        for name in sorted(graph.get(module, set()) | packages):
            if name not in found:
                found[name] = module
                waiting.append(name)
    return found


def violations(modules: dict[str, str]) -> list[str]:
    graph = {module: imports(source, set(modules)) for module, source in modules.items()}
    found = []
    for module, source in modules.items():
        allowed = PACKAGES[: PACKAGES.index(top(module)) + 1]
        for name in imports(source, set(modules), everywhere=True):
            if top(name) in PACKAGES and top(name) not in allowed:
                found.append(f"{module} imports {name}, which points back")
        found += [f"{module} imports {name} outside a function" for name in graph[module] if top(name) in LAZY]
        if top(module) == "bench" and not child(module):
            for name, via in reached(module, graph).items():
                if top(name) in HEAVY or child(name):
                    found.append(f"{module} is of the parent and imports {name} (in {via})")
    try:
        TopologicalSorter({module: names & set(modules) for module, names in graph.items()}).prepare()
    except CycleError as cycle:
        found.append("cycle: " + " -> ".join(cycle.args[1]))
    return found


def test_nothing_points_back() -> None:
    assert violations(sources()) == []


@pytest.mark.parametrize(
    ("planted", "message"),
    [
        ({"kernels.add": "import resnet"}, "kernels.add imports resnet, which points back"),
        ({"kernels.add": "def f():\n    from bench import stats"}, "kernels.add imports bench, which points back"),
        ({"resnet.model": "import bench.plans.plan"}, "resnet.model imports bench.plans.plan, which points back"),
        ({"resnet.model": "import h5py"}, "resnet.model imports h5py outside a function"),
        (
            {"resnet.model": "try:\n    from PIL import Image\nexcept ImportError: ..."},
            "imports PIL outside a function",
        ),
        (
            {"bench.plans.plan": "import torch"},
            "bench.plans.plan is of the parent and imports torch (in bench.plans.plan)",
        ),
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
    found = violations(planted)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    "allowed",
    [
        {"bench.worker": "import torch\nfrom bench.worker import gate", "bench.worker.gate": "import torch"},
        {"bench.plans.plan": "def f():\n    import torch"},
        {"bench.plans.plan": "if TYPE_CHECKING:\n    import torch"},
        {"resnet.model": "import torch\nimport kernels.add", "kernels.add": "import triton"},
    ],
)
def test_what_is_allowed_is_not_found(allowed: dict[str, str]) -> None:
    assert violations(allowed) == []


def test_import_columns_of_the_architecture() -> None:
    """The page's third column names all that a file of resnet/ imports at module level."""
    rows = re.findall(r"^\| `([\w/<>]+)\.py` \|.*\| ([^|]+) \|$", (ROOT / "docs/ARCHITECTURE.md").read_text(), re.M)
    allowed = {row: set(re.findall(r"[\w.*]+", cell)) for row, cell in rows}
    assert "archs" in allowed
    modules = sources()
    for module in modules:
        file = module.removeprefix("resnet.").replace(".", "/")
        file = "variants/__init__" if file == "variants" else file
        cell = allowed.get(file) or (allowed.get("variants/<name>") if file.startswith("variants/") else None)
        if top(module) != "resnet" or cell is None:
            continue
        for name in imports(modules[module], set(modules)):
            names = {name, top(name), f"{top(name)}.*"} - ({"resnet"} if "." in name else set())
            assert top(name) in sys.stdlib_module_names or names & cell, (
                f"{module} imports {name}; the page says {cell}"
            )


def test_every_file_is_on_the_page() -> None:
    page = (ROOT / "docs/ARCHITECTURE.md").read_text()
    unmarked = ("__init__.py", "__main__.py")
    paths = [
        path.relative_to(ROOT / package) for package in ("bench", "resnet") for path in (ROOT / package).rglob("*.py")
    ]
    named = [
        path
        for path in paths
        if path.name in unmarked or any(f"`{name}`" in page for name in (path, f"{path.parent}/"))
    ]
    assert [path for path in sorted(set(paths) - set(named)) if path.parts[0] != "variants"] == []


def test_the_setup_script_needs_nothing() -> None:
    names = imports((ROOT / "bench/bootstrap.py").read_text(), set(), everywhere=True)
    assert {top(name) for name in names} <= sys.stdlib_module_names


def test_the_command_line_leaves_torch_alone() -> None:
    code = f"import sys, bench, bench.cli; sys.exit(' '.join({HEAVY | SLOW} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sizes() -> None:
    """A file or a function that outgrows its budget hides a second one."""
    over = []
    for module, source in sources().items():
        if (lines := source.count("\n")) > LINES:
            over.append(f"{module}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    over.append(f"{module}.{node.name}: {lines} lines")
    assert over == []
