"""A git repository whose worker's clock is made up, and whose variants take a delay."""

from pathlib import Path

from tests.repositories import git

# The clock is made up: a call takes 10 ms of it, 0.3 % more or less from process to process, and each look at it 1 µs.
WORKER = """
import json, os, random, sys, time
from types import SimpleNamespace

now = 0

def perf_counter_ns():
    global now
    now += 1000
    return now

time.perf_counter_ns = perf_counter_ns

if __name__ == "__main__":
    import resnet
    job = json.load(sys.stdin)
    if job["job"] == "reference":
        answer = {"paths": {}}
    else:
        noise = random.Random(os.getpid()).gauss(1, 0.003)
        run = resnet.prepare("eager", noise, SimpleNamespace(device=SimpleNamespace(type="cpu")), "fp32", "stream")
        times = []
        for number in range(20):
            start = now
            run(number)
            times.append(now - start)
        answer = {
            "latency_ns": times,
            "throughput": {"images": 20, "ns": sum(times)},
            "memory": {"weights": 4096},
            "details": run.details,
        }
        if "resnet50" in job["case"]:
            answer = {"status": "wrong", "reason": "made up"}
    os.write(int(sys.argv[1]), (json.dumps({"status": "ok"} | answer) + "\\n").encode())
"""
VARIANTS = """
import sys

class Runner:
    details = {"graph": False}

    def __init__(self, noise):
        self.noise = noise

    def place(self, batch):
        return batch

    def __call__(self, x):
        sys.modules["__main__"].now += round(10_000_000 * self.noise)
        return x

def prepare(name, model, example, precision, launch="stream"):
    return Runner(model)
"""
PLAN = """
why = "A test."
[[group]]
why = "Two cases."
model = ["resnet18", "resnet34"]
variant = "eager"
precision = "fp32"
batch = 1
image = 32
"""


def committed(folder: Path) -> Path:
    git(folder, "init", "--quiet")
    git(folder, "add", "--force", ".")
    git(folder, "commit", "--quiet", "--message", "all of it")
    return folder


def repository_in(folder: Path) -> Path:
    """The folder with the repository in it, all of it committed."""
    texts = {
        "pyproject.toml": "",
        "constraints.txt": "",
        "bench/__init__.py": "",
        "bench/worker.py": WORKER,
        "resnet/__init__.py": "from resnet.variants import prepare\n",
        "resnet/variants/__init__.py": VARIANTS,
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return committed(folder)
