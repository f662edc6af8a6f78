"""The GPU campaign: slices of a few minutes, each a list of this project's own commands; unattended, resumable.

A slice's commands are child processes, so that one that hangs or dies costs its own results alone. Everything lands
under results/, where the next command and the next slice find it; a slice that was cut off goes on from there. With
$OUT set, as on a rented machine that gives back one folder, what changed is mirrored there as it comes, under the same
names, so that `cp -r $OUT/. results/` puts it in place elsewhere.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import plan as plans
from bench.case import Case
from bench.eligible import why_not
from bench.environment import ROOT, child_variables
from bench.plan import Plan
from bench.resume import differences
from bench.store import FILE, Store, StoreError
from resnet.variants import VARIANTS

RESULTS = ROOT / "results"
SLICE_S = 540.0  # of one slice: what a rented machine allows a command, less its start
GRACE_S = 20.0  # an interrupted command has this long to put away what it has
LOOK_S = 5.0  # between two looks at what changed
SHORT: dict[str, Any] = {"warmup_s": 0.0, "warmup_limit_s": 0.0, "latency_s": 0.0, "latency_limit_s": 0.0, "samples": 7}
SHORT |= {"throughput_s": 0.05, "energy_s": 0.0, "steal": 1.0}  # of a dry run: enough for every column of a table
LIMITS = 8, 16 << 20  # files, and bytes of one, that such a machine gives back


@dataclass(frozen=True)
class Step:
    """A command. `share` of the slice's seconds that are left when it starts are its own; the last step's is all.

    Words in braces in `argv` stand for what the campaign chooses (`Campaign.command`).
    """

    argv: tuple[str, ...]
    share: float = 1.0
    plan: str = ""  # whose records it leaves, in {folder}
    dry: tuple[str, ...] = ()  # what a dry run adds to it
    case: str = ""


@dataclass(frozen=True)
class Slice:
    name: str
    why: str
    steps: tuple[Step, ...]


def _sweep(plan: str, share: float = 1.0, verb: str = "run") -> Step:
    options = ("{plan}", "-o", "{folder}", "--resume", "--budget", "{seconds}")
    return Step(("-m", "bench", verb, *options), share, plan)


def _layers(case: str, against: str) -> Step:
    name = case.replace("/", "-")
    argv = ("-m", "bench", "layers", "{case}", "--against", against, "-o", f"{{root}}/layers/{name}.json")
    return Step(argv, 0.5, dry=("-n", "3"), case=case)


TESTS = ("kernels", "resnet/variants", "bench/test_gpu.py", "bench/test_gate.py", "bench/test_tune.py")
CORRECTNESS = (
    Step(("-m", "pytest", "-q", "-m", "gpu", "-rfE", "--tb=short", *(f"tests/{name}" for name in TESTS)), 0.4,
         dry=("--collect-only", "-qq")),
    _sweep("correctness", verb="verify"),
)  # fmt: skip
TUNE = Step(
    ("-m", "bench", "tune", "{model}", "--budget", "{seconds}", "-o", "{tuned}"),
    dry=("--dry", "--image", "32", "--batch", "1", "--candidates", "1"),
)

SLICES = {
    found.name: found
    for found in (
        Slice("correctness", "The tests that need a GPU, then the gate over every variant and precision.", CORRECTNESS),
        Slice("tune", "The fastest right configuration of every convolution of ResNet-50 in fp16.", (TUNE,)),
        Slice("headline", "Latency and throughput by variant and batch, ResNet-50 in fp16.", (_sweep("headline"),)),
        Slice("depths", "All five depths.", (_sweep("depths"),)),
        Slice("precisions", "Every precision each variant serves.", (_sweep("precisions"),)),
        Slice(
            "layers",
            "What this card can do at most, and where the microseconds of a forward pass go, layer by layer.",
            (
                Step(("-m", "bench", "ceilings", "-o", "{ceilings}"), 0.2, dry=("--quick",)),
                _layers("resnet50/fused/fp16/b1/i224/graph", "resnet50/library-fused/fp16/b1/i224/graph"),
                _layers("resnet50/fused/fp16/b128/i224/graph", "resnet50/library-fused/fp16/b128/i224/graph"),
            ),
        ),
        Slice("power", "Joules per image; then the same cases over and over: this card's noise.",
              (_sweep("energy", 0.6), _sweep("noise"))),
    )
}  # fmt: skip
# `make gpu` with no slice named: right, then tuned, then the numbers, in one command of ten minutes
USUAL = {"correctness": 0.3, "tune": 0.35, "headline": 1.0}


@dataclass
class Campaign:
    """Slices on the machine of `env`, its results under `results`; dry, the CPU stands in for its GPU."""

    env: dict[str, Any]
    results: Path = RESULTS
    out: Path | None = None
    dry: bool = False
    failed: list[str] = field(default_factory=list)  # commands that did not end well, one line each

    def __post_init__(self) -> None:
        name = self.env["gpu"]["name"] if not self.dry else "dry"
        self.slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        self.root = self.results / self.slug
        self._before = {path: _stamp(path) for path in self._files()}

    def run(self, name: str, seconds: float) -> Iterator[list[str]]:
        """The commands of a slice, each as it starts; none starts or runs on past `seconds`."""
        end = time.monotonic() + seconds
        for step in SLICES[name].steps:
            left = (end - time.monotonic() - GRACE_S) * step.share
            if left < 1:
                self.failed.append(f"{name}: out of time before {' '.join(step.argv[1:4])}")
                continue
            argv = self.command(step, left)
            yield argv
            code = self._ran(argv, left + GRACE_S / 2)
            if code:
                self.failed.append(f"{name}: {' '.join(argv[2:5])} ended with {code}")
        self.mirror()

    def command(self, step: Step, seconds: float) -> list[str]:
        """The step's argv, written out."""
        case = step.case
        if self.dry and case:
            case = standin_case(Case.parse(case)).name
        words = {
            "seconds": f"{seconds:.0f}",
            "root": str(self.root),
            "model": "resnet18" if self.dry else "resnet50",
            "tuned": str(self.results / "tuned" / f"{self.slug}.json"),
            "ceilings": str(self.results / "ceilings" / f"{self.slug}.json"),
            "case": case,
        }
        if step.plan:
            plan = self._plan(step.plan)
            words |= {"plan": str(plan), "folder": str(self.folder(step))}
        argv = [word.format(**words) for word in step.argv]
        if "-o" in argv:
            Path(argv[argv.index("-o") + 1]).parent.mkdir(parents=True, exist_ok=True)
        if self.dry and "--against" in argv:
            at = argv.index("--against") + 1
            argv[at] = standin_case(Case.parse(argv[at])).name
        return [sys.executable, *argv, *(step.dry if self.dry else ())]

    def _plan(self, name: str) -> str | Path:
        """The plan's name; dry, a file with what this machine can run in its place."""
        if not self.dry:
            return name
        path = self.root / "plans" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(standin(plans.load(name), self.env))
        return path

    def folder(self, step: Step) -> Path:
        """The first of results/GPU/plan, plan-2, ... that is free, or that this machine may go on in."""
        plan = plans.load(step.plan)
        settings = asdict((plans.gate_only(plan) if "verify" in step.argv else plan).settings)
        number = 1
        while True:
            folder = self.root / (step.plan if number == 1 else f"{step.plan}-{number}")
            if not (folder / FILE).exists() or self.dry:
                return folder
            with suppress(StoreError):
                if not differences(Store(folder).load(), self.env, settings, 0, "photos"):
                    return folder
            number += 1

    def _ran(self, argv: list[str], seconds: float) -> int:
        """The exit code; a command that outlives `seconds` is interrupted, as by Ctrl-C, and then killed."""
        process = subprocess.Popen(argv, cwd=ROOT, env=child_variables(), stdin=subprocess.DEVNULL)
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(min(LOOK_S, max(end - time.monotonic(), 0.01)))
                self.mirror()
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                return process.wait(GRACE_S / 2)
            process.kill()
            return process.wait()
        except BaseException:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
            raise
        finally:
            if process.poll() is None:
                process.kill()
            self.mirror()

    def _files(self) -> Iterator[Path]:
        """What a slice may leave; locks and what is being written are nobody's."""
        for folder in (self.root, self.results / "tuned", self.results / "ceilings"):
            yield from (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))

    def changed(self) -> list[Path]:
        """The files that are new or other than when this campaign began."""
        return sorted(path for path in self._files() if self._before.get(path) != _stamp(path))

    def mirror(self) -> None:
        """Put what changed under $OUT, by the same names."""
        if self.out is None:
            return
        for path in self.changed():
            copy = self.out / path.relative_to(self.results)
            with suppress(FileNotFoundError):  # replaced at this moment: the next look has it
                if not copy.exists() or not filecmp.cmp(path, copy, shallow=False):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, copy)

    def too_much(self) -> list[str]:
        """What of the changed files a machine that gives back a few would not; a sentence each."""
        files, size = LIMITS
        found = self.changed()
        told = [f"{path} has {path.stat().st_size >> 20} MiB" for path in found if path.stat().st_size > size]
        return told + ([f"{len(found)} files changed, more than {files}"] if len(found) > files else [])


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


def standin_case(case: Case) -> Case:
    """The smallest case that takes the same way on a CPU; for a variant that a CPU does not serve, eager."""
    variant = case.variant if "cpu" in VARIANTS[case.variant].serves else "eager"
    serves = VARIANTS[variant].serves["cpu"]
    precision = case.precision if case.precision in serves else serves[0]
    return replace(case, model="resnet18", variant=variant, precision=precision, batch=1, image=32, launch="stream")


def standin(plan: Plan, env: dict[str, Any]) -> str:
    """A plan as TOML, for a dry run: one small case for a moment, of another variant than eager if a CPU serves one."""
    cases = [case for case in map(standin_case, plan.cases) if not why_not(case, env)]
    quick = [case for case in cases if case.variant in ("library-fused", "channels-last-amp")]
    case = (quick or cases)[0]
    settings = replace(plan.settings, **SHORT)
    axes = [f'{axis} = "{getattr(case, axis)}"' for axis in ("model", "variant", "precision", "launch")]
    lines = [f'why = "A dry run of {plan.name}: the CPU stands in for the GPU."', f"rounds = {min(plan.rounds, 2)}"]
    lines += ["[measure]", *(f"{key} = {value}" for key, value in asdict(settings).items())]
    lines += ["[[group]]", 'why = "Walks the way."', *axes, f"batch = {case.batch}", f"image = {case.image}"]
    return "\n".join(lines) + "\n"


def gpu_folder() -> Path | None:
    """Where results are mirrored to."""
    return Path(os.environ["OUT"]) if os.environ.get("OUT") else None
