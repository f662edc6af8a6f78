"""Makes the environment that `make` works in: `python bench/bootstrap.py --venv .venv --extras dev`.

Standard library only, and it parses under Python 2.7, so that it can say that an interpreter is too old. It ends with 0
when the environment is ready, else with 3 and one sentence: what is wrong, and the cure. It writes two files into the
folder: `setup.log`, pip's output and the lock, and at the end `setup.json`, without which the next run starts again.

It runs pip, not uv: uv reads neither pip.conf nor the PIP_* variables, which name a network's mirror, and its errors
differ from those whose cures are below.
"""

from __future__ import print_function

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
if __name__ == "__main__":  # else a bench/json.py would stand before the standard library's
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != HERE]

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import time

ROOT = os.path.dirname(HERE)
PYTHONS = ((3, 11), (3, 12))
GIGABYTES = {"CPU": 4, "CUDA": 9}  # by the build of torch that pip picks, its downloads included
IMPORT_NAMES = {
    "nvidia-ml-py": "pynvml",
    "pillow": "PIL",
    "pytest-xdist": "xdist",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}

# Errors of pip or venv, and their cures. The first match counts: after a lost connection pip also claims that the
# package does not exist.
CURES = (
    (
        r"No space left on device|Disk quota exceeded",
        "the disk is full: free some space, or name a folder on a larger one, make setup VENV=/path",
    ),
    (r"DO NOT MATCH THE HASHES", "a download arrived damaged: run `pip cache purge`, then `make setup` again"),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerificationError",
        "the package index's certificate is not trusted: name your network's with PIP_CERT=/path/to/ca.pem",
    ),
    (
        r"ProxyError|Cannot connect to proxy|Tunnel connection failed",
        "the proxy did not let pip through: correct HTTPS_PROXY, or name a mirror with PIP_INDEX_URL",
    ),
    (
        r"NewConnectionError|ConnectTimeoutError|NameResolutionError|ReadTimeoutError|Read timed out|Connection refused"
        r"|Connection reset|ConnectionResetError|RemoteDisconnected|Network is unreachable|name resolution",
        "pip cannot reach the package index: check the network, set HTTPS_PROXY, or name a mirror with PIP_INDEX_URL",
    ),
    (
        r"No matching distribution found for (\S+)",
        "the package index has no {0} for this Python and machine: try the other of Python 3.11 and 3.12, or name "
        "another index with PIP_INDEX_URL",
    ),
    (
        r"ResolutionImpossible",
        "no versions fit together: restore {constraints}, or name a complete index with PIP_INDEX_URL",
    ),
    (r"Read-only file system|Permission denied", "a folder is not writable: name one that is, make setup VENV=/path"),
    (
        r"ensurepip.*returned non-zero|No module named ensurepip",
        "Python cannot make environments: install its venv package",
    ),
)


class CannotSetUp(Exception):
    """The environment cannot be set up; the message is a sentence with the cure."""


def main(argv=None):
    """Return the exit status: 0, or 3 after one sentence on stderr; 130 when interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", default="", help="the environment's folder; none: check this interpreter's packages")
    parser.add_argument("--extras", default="", help="extras of pyproject.toml, with commas between")
    parser.add_argument("--constraints", default="constraints.txt", help="the file of the checkout that pins versions")
    args = parser.parse_args(argv)
    try:
        check_python()
        if args.venv:
            set_up(os.path.abspath(args.venv), args.extras, args.constraints)
        else:
            check_packages(args.extras, args.constraints)
    except CannotSetUp as problem:
        say("setup: {0}".format(problem))
        return 3
    except KeyboardInterrupt:
        say("setup: interrupted; `make setup` starts again")
        return 130
    return 0


def set_up(venv, extras, constraints):
    """Install the environment unless it is up to date; one set-up of a folder runs at a time."""
    wanted = description(extras, constraints)
    if installed_description(venv) == wanted:
        return
    check_path(venv)
    check_compiler()
    check_venv_module()
    start = time.time()
    try:
        with locked_log(venv) as log:
            if installed_description(venv) != wanted:  # else another set-up finished while this one waited
                install(venv, extras, constraints, log, wanted)
                say("setup: {0} is ready after {1:.0f} s".format(shown(venv), time.time() - start))
    except OSError as problem:
        raise CannotSetUp(explanation(str(problem)) or str(problem))


def install(venv, extras, constraints, log, wanted):
    """Install into the old environment if only the pins changed, else into a new one; write setup.json at the end."""
    old = installed_description(venv)
    python = os.path.join(venv, "bin", "python")
    stamp = os.path.join(venv, "setup.json")
    # for pip's downloads, on the environment's disk and removed with it
    os.environ["TMPDIR"] = temporary = os.path.join(venv, "tmp")
    if old:
        os.remove(stamp)
    new = not old or old["home"] != wanted["home"]
    if new:
        empty(venv, keep=log.name)
        check_disk(venv, "CPU")
    say("setup: installing into {0}, for some minutes; pip's output is in {1}".format(shown(venv), shown(log.name)))
    os.mkdir(temporary)
    if new:
        run_logged([getattr(sys, "_base_executable", sys.executable), "-m", "venv", venv], log)
        check_disk(venv, torch_build(python, venv, constraints, log))
    requirements = ["-c", constraints, "-e", ".[{0}]".format(extras) if extras else "."]
    run_logged([python, "-m", "pip", "install", "--no-input", "--progress-bar=off"] + requirements, log)
    shutil.rmtree(temporary)
    with open(stamp + ".new", "w") as file:
        json.dump(wanted, file)
    os.rename(stamp + ".new", stamp)


def description(extras, constraints):
    """Describe the inputs of an environment. Another home (checkout, interpreter) needs a new environment."""
    digest = hashlib.sha256(extras.encode())
    for name in ("pyproject.toml", constraints):
        try:
            with open(os.path.join(ROOT, name), "rb") as file:
                digest.update(file.read())
        except OSError:
            raise CannotSetUp("{0} has no {1}: name a file that it has".format(ROOT, name))
    home = [ROOT, sys.base_prefix, list(sys.version_info[:2])]
    return {"home": home, "constraints": constraints, "inputs": digest.hexdigest()}


def installed_description(venv):
    """Return the description in setup.json; None where no set-up finished or the interpreter is gone."""
    try:
        with open(os.path.join(venv, "setup.json")) as file:
            return json.load(file) if os.path.exists(os.path.join(venv, "bin", "python")) else None
    except (OSError, ValueError):
        return None


def locked_log(venv):
    """Open and lock the log: for as long as this process, or a pip that outlives it, has it open."""
    import fcntl

    path = os.path.join(venv, "setup.log")
    if os.path.isdir(venv) and os.listdir(venv) and not os.path.exists(path):
        raise CannotSetUp(
            "{0} was not made by `make setup`: remove it, or use it as it is, make PYTHON={1} VENV=".format(
                shown(venv), os.path.join(shown(venv), "bin", "python")
            )
        )
    os.makedirs(venv, exist_ok=True)
    log = open(path, "a")  # noqa: SIM115  # the caller closes it, and so unlocks it
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("setup: another set-up of {0} is running; waiting for it".format(shown(venv)))
        fcntl.flock(log, fcntl.LOCK_EX)
    log.truncate(0)
    return log


def run_logged(command, log):
    """Run a command with its output in the log and, on a terminal, its last line on display."""
    start = time.time()
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    live = sys.stderr.isatty()
    try:
        while process.poll() is None:
            try:
                process.wait(0.5)
            except subprocess.TimeoutExpired:
                if live:
                    last = (tail(log.name).splitlines() or [""])[-1].strip()
                    line = "  {0:.0f} s  {1}".format(time.time() - start, last)
                    sys.stderr.write("\r\033[K" + line[: shutil.get_terminal_size().columns - 1])
                    sys.stderr.flush()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    finally:
        if live:
            sys.stderr.write("\r\033[K")
    if process.returncode:
        output = tail(log.name, 100000)
        last = ([line for line in output.splitlines() if "ERROR" in line.upper()] or [str(process.returncode)])[-1]
        reason = explanation(output, constraints_of(command)) or "{0} failed ({1})".format(
            " ".join(command[1:4]), last.strip()
        )
        raise CannotSetUp("{0}; details are in {1}".format(reason, shown(log.name)))


def constraints_of(command):
    return command[command.index("-c") + 1] if "-c" in command else "constraints.txt"


def explanation(output, constraints="constraints.txt"):
    """Return the cure of the first error in pip's output, or None."""
    for pattern, cure in CURES:
        match = re.search(pattern, output)
        if match:
            return cure.format(*match.groups(), constraints=constraints)
    return None


def torch_build(python, venv, constraints, log):
    """Return CPU or CUDA: the build of torch that pip would install from its indexes."""
    report = os.path.join(venv, "torch.json")
    # with less than -vv pip does not report a lost connection
    options = ["-vv", "--dry-run", "--ignore-installed", "--no-deps", "--no-input", "--report", report]
    run_logged([python, "-m", "pip", "install"] + options + ["-c", constraints, "torch"], log)
    with open(report) as file:
        needs = json.load(file)["install"][0]["metadata"].get("requires_dist", [])
    os.remove(report)
    cuda = sys.platform == "linux" and any(need.startswith(("nvidia-", "cuda-")) for need in needs)
    return "CUDA" if cuda else "CPU"


def check_python():
    if sys.version_info[:2] not in PYTHONS:
        raise CannotSetUp(
            "this is Python {0}.{1} ({2}), and 3.11 or 3.12 is needed: install one and name it, "
            "make setup PYTHON=python3.12".format(sys.version_info[0], sys.version_info[1], sys.executable)
        )


def check_venv_module():
    from importlib.util import find_spec

    if not find_spec("venv") or not find_spec("ensurepip"):
        raise CannotSetUp(
            "{0} cannot make environments: apt-get install python{1}.{2}-venv, or name another interpreter, "
            "make setup PYTHON=python3.12".format(sys.executable, sys.version_info[0], sys.version_info[1])
        )


def check_path(venv):
    if " " in venv:  # torch 2.13 quotes -I but not -L (torch/_inductor/cpp_builder.py)
        raise CannotSetUp(
            "{0} has a space in its path, and torch.compile cannot link there: name another folder, "
            "make setup VENV=/path".format(venv)
        )


def check_compiler():
    """Raise CannotSetUp without the compiler that torch.compile runs, or without Python.h."""
    import shlex
    import sysconfig

    default = "clang++" if sys.platform == "darwin" else "g++"
    compiler = (shlex.split(os.environ.get("CXX", "")) or [default])[0]
    if not shutil.which(compiler):
        raise CannotSetUp(
            "there is no C++ compiler {0}, and torch.compile needs one: apt-get install g++, or name yours, "
            "export CXX=clang++".format(compiler)
        )
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        raise CannotSetUp(
            "Python.h is missing, and torch.compile needs it: apt-get install python{0}.{1}-dev".format(
                *sys.version_info[:2]
            )
        )


def check_disk(venv, build):
    free = shutil.disk_usage(venv).free / 1e9
    if free < GIGABYTES[build]:
        raise CannotSetUp(
            "{0} has {1:.1f} GB free and needs {2} ({3} with a CPU build of torch, {4} with a CUDA one): free some, or "
            "name a folder on a larger disk, make setup VENV=/path".format(
                shown(venv), free, GIGABYTES[build], GIGABYTES["CPU"], GIGABYTES["CUDA"]
            )
        )


def check_packages(extras, constraints):
    """Raise CannotSetUp if this interpreter lacks packages."""
    import tomllib
    from importlib.util import find_spec

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)["project"]
    needs = list(project["dependencies"])
    for extra in filter(None, extras.split(",")):
        needs += project["optional-dependencies"][extra]
    names = [re.split(r"[^\w-]", need)[0] for need in needs]
    missing = [name for name in names if not find_spec(IMPORT_NAMES.get(name, name.replace("-", "_")))]
    if missing:
        raise CannotSetUp(
            "{0} lacks packages: {0} -m pip install -c {1} {2}".format(sys.executable, constraints, " ".join(missing))
        )


def empty(folder, keep):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif path != keep:
            os.remove(path)


def tail(path, size=4096):
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - size))
        return file.read().decode("utf-8", "replace")


def shown(path):
    near = os.path.relpath(path)
    return path if near.startswith("..") else near


def say(line):
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
