"""One trial: a sweep of the real command line, a fault at a random moment, and resumes until it is complete."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.soak.faults import FAULTS, Befallen, Fault
from tests.soak.processes import MARK, Roles, end_all

ROOT = Path(__file__).resolve().parents[2]
PLAN = """
why = "Faults are put to these cases."
[measure]
warmup_s = 0.0
warmup_limit_s = 0.1
latency_s = 0.2
latency_limit_s = 0.3
throughput_s = 0.5
flush_batch = 0
threads = 1
limit_s = 60
{turns}[[group]]
name = "soak"
why = "Two quick cases."
model = "resnet18"
variant = "eager"
precision = {precisions}
batch = 1
image = 32
"""
TURNS = """turns = 8
turn_s = 0.06
group_s = 6
"""
PRECISIONS, ROUNDS = ("fp32", "bf16"), 2
FAULTS_OF_A_TRIAL = 5
HANG_S = 150  # a run that takes longer hangs: the product's own limit is 60 s a case
RESUMES = 10  # runs after which a folder that is not complete counts as records lost
LOOK_S = 0.015


@dataclass
class Run:
    """One command of a trial, as it ended."""

    words: list[str]
    code: int | None = None
    said: str = ""
    seconds: float = 0.0
    hung: bool = False


@dataclass
class Trial:
    """A folder of a trial, and what happened in it."""

    folder: Path
    cache: Path
    runs: list[Run] = field(default_factory=list)
    faults: list[Befallen] = field(default_factory=list)
    disk: bytes = b""  # of records.jsonl as last seen
    lost: list[str] = field(default_factory=list)  # sentences on what was on disk and is no more
    before: set[Path] = field(default_factory=set)  # files that others left
    roles: Roles | None = None

    @property
    def mark(self) -> str:
        return str(self.folder)

    @property
    def records(self) -> Path:
        return self.folder / "out" / "records.jsonl"

    def prepare(self, turns: bool) -> None:
        for name in ("tmp", "home", "here"):
            (self.folder / name).mkdir(parents=True)
        text = PLAN.format(turns=TURNS if turns else "", precisions=list(PRECISIONS))
        (self.folder / "soak.toml").write_text(text)
        self.before = set(files_of(self))

    def environment(self) -> dict[str, str]:
        folder = self.folder
        ours = {"TMPDIR": folder / "tmp", "HOME": folder / "home", "RESNET_CACHE": self.cache, "PYTHONPATH": ROOT}
        fixed = {MARK: self.mark, "CUDA_VISIBLE_DEVICES": "", "NO_COLOR": "1", "COLUMNS": "80"}
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("RESNET_", "XDG_"))}
        return kept | {name: str(path) for name, path in ours.items()} | fixed

    def first(self, cold: bool) -> list[str]:
        command = [sys.executable, "-m", "bench", "run", str(self.folder / "soak.toml"), "--input", "noise"]
        command += ["--rounds", str(ROUNDS)]
        return [*command, "-o", str(self.records.parent), *(["--cold"] if cold else [])]

    def run(self, words: list[str], meanwhile: Callable[[Roles, float], None] = lambda roles, into: None) -> Run:
        """Run a command to its end, with `meanwhile` at each look; records are watched as they grow."""
        done = Run(words)
        self.runs.append(done)
        start = time.monotonic()
        log = self.folder / f"run{len(self.runs)}.log"
        with log.open("wb") as file:
            child = subprocess.Popen(
                words,
                cwd=self.folder / "here",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.roles = Roles(child.pid)
            try:
                while child.poll() is None:
                    self.roles.look()
                    meanwhile(self.roles, time.monotonic() - start)
                    self.look()
                    if time.monotonic() - start > HANG_S:
                        done.hung = True
                        end_all(self.mark)
                    time.sleep(LOOK_S)
            except BaseException:  # of a soak that is interrupted nothing is left
                end_all(self.mark)
                raise
        self.look()
        done.code, done.seconds, done.said = child.returncode, time.monotonic() - start, log.read_text(errors="replace")
        return done

    def look(self) -> None:
        """Keep what is on disk; whole lines that were there must still be there, where they were."""
        try:
            now = self.records.read_bytes()
        except FileNotFoundError:
            now = b""
        whole = self.disk[: self.disk.rfind(b"\n") + 1]
        if not now.startswith(whole):
            self.lost.append(f"{len(whole)} bytes of whole lines were on disk, and are not in its {len(now)}")
        self.disk = now


def files_of(trial: Trial) -> list[Path]:
    """The files in a trial's folders and in the cache that trials share; of a temporary folder the folders too."""
    folders = [trial.folder / name for name in ("home", "here", "out")] + [trial.cache]
    files = [path for folder in folders for path in folder.rglob("*") if not path.is_dir()]
    return files + list((trial.folder / "tmp").rglob("*"))


@dataclass
class Moment:
    """A fault waits for its moment: so many seconds into its victim's life, or for the parent after the last fault."""

    fault: Fault
    delay: float

    def victim(self, roles: Roles, since_last: float) -> int | None:
        """The process that the fault is due to befall now."""
        process = roles.pick(self.fault.victim)
        if process is None or self.fault.victim == "parent":
            return process if since_last >= self.delay else None
        return process if time.monotonic() - roles.since[self.fault.victim][process] >= self.delay else None


@dataclass
class Fate:
    """The faults of a trial, one after the other, each at its moment; those that are left go on into the next run."""

    trial: Trial
    random: Random
    moments: list[Moment]
    last: float = 0.0  # seconds into the run

    def __call__(self, roles: Roles, into: float) -> None:
        if into < self.last:  # another run
            self.last = 0.0
        for moment in self.moments:
            victim = moment.victim(roles, into - self.last)
            if victim is not None:
                self.moments.remove(moment)
                befallen = Befallen(moment.fault, victim, time.monotonic(), into)
                self.trial.faults.append(befallen)
                befallen.spans = befallen.fault.act(victim, self.random)
                befallen.until = time.monotonic()
                self.last = into + befallen.until - befallen.at
                return


def choose_moment(random: Random, lives: dict[str, float]) -> Moment:
    (fault,) = random.choices(FAULTS, [fault.weight for fault in FAULTS])
    life = lives[fault.victim]
    if fault.victim == "parent":
        return Moment(fault, random.uniform(0.0, life / 2))
    # most are to meet the timing, which is the later part of a child's life
    least = 0.3 * life if fault.victim in ("child", "watcher") and random.random() < 0.8 else 0.0
    return Moment(fault, random.uniform(least, 0.9 * life))


def empty_references(cache: Path) -> None:
    """Remove what the reference's child makes, but not the weights, which take longer."""
    for path in cache.iterdir():
        if ".pt" not in path.suffixes and not path.is_dir():
            path.unlink()


def resumed(trial: Trial, last: Run) -> list[str]:
    """The command that goes on: the one that was printed, else the first one with --resume."""
    if printed := re.search(r"^To go on: (.+)$", last.said, re.M):
        return shlex.split(printed[1])
    return [*last.words, *([] if {"--resume", "--retry"} & {*last.words} else ["--resume"])]


def go_through(trial: Trial, random: Random, lives: dict[str, float], lack: Callable[[Trial], str]) -> None:
    """Run, hurt and resume until `lack` says "" (else "missing", or "failed", which takes --retry)."""
    first = trial.first(cold=random.random() < 0.1)
    fate = Fate(trial, random, [choose_moment(random, lives) for _ in range(FAULTS_OF_A_TRIAL)])
    if random.random() < 0.1 or any(moment.fault.victim == "reference" for moment in fate.moments):
        empty_references(trial.cache)
    last = trial.run(first, fate)
    for _ in range(RESUMES):
        missing = lack(trial)
        if not missing or last.hung:
            break
        last = trial.run(resumed(trial, last) if missing == "missing" else [*first, "--retry"], fate)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
