# Thin faces of `python -m bench`. make answers 2 to any failure; the code of the command itself is in its last line.

PLAN ?= quick
ARGS ?=

# The stack to work on: the newest one, or with STACK=2.11 the oldest, in an environment beside it.
STACK ?=
CONSTRAINTS ?= constraints$(STACK:%=-%).txt

# torch.compile cannot link in a folder with a space in its path: such a checkout has its environment elsewhere.
ifeq ($(origin VENV),undefined)
VENV := $(if $(word 2,$(CURDIR)),$(HOME)/.cache/resnet-bench/$(shell pwd | cksum | cut -d ' ' -f 1),.venv)$(STACK:%=-%)
endif

# The first interpreter that runs (a pyenv shim may not) and serves. An explicit PYTHON is taken as it is.
SERVES = import sys, venv, ensurepip; sys.exit(sys.version_info[:2] not in ($(if $(STACK),,(3, 11),) (3, 12),))
PYENV = $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[12].*/bin/python)
PYTHON ?= $(shell for p in $(if $(VENV),"$(VENV)/bin/python") python3.12 python3.11 python3 $(PYENV); do \
	"$$p" -c '$(SERVES)' 2>/dev/null && echo "$$p" && exit; done; echo python3)
RUN = "$(if $(VENV),$(VENV)/bin/python,$(PYTHON))" -m

.PHONY: help setup bench test check counts costs mutants soak report models accuracy ab history kernels static gpu gpu-pack clean

help:
	@echo "make setup    make the environment in $(or $(VENV),none), once; the other targets do it themselves"
	@echo "make bench    run a plan and show its table: make bench PLAN=depths ARGS=\"--rounds 3\""
	@echo "make test     run the tests"
	@echo "make check    format, lint, types, layering, tables and pictures in prose; changes no file"
	@echo "make counts   lines, vague names and longest functions by room, against their limits; ARGS=\"--base main\" beside a commit"
	@echo "make costs    what this tool itself costs, before and after, into docs/PERFORMANCE.md; ten minutes; ARGS=\"--only help\" one"
	@echo "make mutants  plant the faults of tests/mutants in a copy, and name the test that each turns red"
	@echo "make soak     200 faults to running sweeps at random moments, and what they cost counted; half an hour"
	@echo "make report   put tables and pictures of the records, and the commands' help, into README and docs again"
	@echo "make models   architectures of timm and torchvision by variants, through the gate, into docs/MODELS.md; minutes"
	@echo "make accuracy right answers of every variant and precision on handwritten digits, into results/accuracy-digits; minutes"
	@echo "make ab       two commits in turns: make ab BASE=main HEAD=HEAD PLAN=smoke; HEAD=. is the working tree"
	@echo "make history  results over commits: make history DIR=results/nightly"
	@echo "make kernels  what the compiler emits for every kernel, against the accepted record; no GPU needed"
	@echo "make static   kernels launched, graph breaks and bytes, counted and held against the record; no GPU needed"
	@echo "make gpu      on a CUDA machine: what is missing for it; STAGE=alive a part, BUDGET=400 seconds, DRY=1 without a GPU"
	@echo "make gpu-pack leave this commit's name in .commit.json, for a machine that is sent the files without .git"
	@echo "make clean    remove that environment and the caches, never results/"
	@echo
	@echo "STACK=2.11            the oldest torch and Triton supported: constraints-2.11.txt on Python 3.12, in an environment beside"
	@echo "PYTHON=python3.12     the interpreter to use"
	@echo "PYTHON=python3 VENV=  run with that interpreter's own packages: no environment, no network"

setup:
	@"$(PYTHON)" bench/bootstrap.py --venv "$(VENV)" --extras "$(EXTRAS)" \
		--constraints "$(CONSTRAINTS)" || { code=$$?; case $$code in 126|127) \
		echo "setup: $(PYTHON) does not run; install Python 3.11 or 3.12, or name one: make setup PYTHON=python3.12" >&2; \
		esac; exit $$code; }

# An environment of ours holds everything; an interpreter of the user's own is asked only for what the target needs.
EXTRAS = $(if $(VENV),dev)
test check costs mutants soak: EXTRAS = $(if $(VENV),dev,test)

# A case that failed among others is told, and is no error of make: ARGS=--strict makes it one.
bench: setup
	@$(RUN) bench run $(PLAN) --lenient $(ARGS)

# One process more than cores, as tests wait for children and for time to pass.
test: setup
	@$(RUN) pytest -n $$(($$(nproc) + 1)) --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ARGS)

# Types on one core, kernels on the other; the rest takes seconds. All kernels and architectures: `make kernels`.
check: setup
	@$(MAKE) --no-print-directory -j2 --output-sync check-source check-kernels

.PHONY: check-source check-kernels
check-source:
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(RUN) pytest -q tests/test_layering.py
	@$(RUN) tests.counts
	@$(RUN) bench report --check

ACCEPTED = $(RUN) bench kernels --check results/kernels/accepted.json
check-kernels:
	@$(ACCEPTED) --arch sm_80,sm_90,sm_100 -f 'resnet50/fp16-n32-*' || test $$? = 3
	@$(ACCEPTED) --arch sm_90 -f 'resnet50v2/fp16-n32-*' || test $$? = 3
	@$(ACCEPTED) --arch sm_90 -f 'resnet18/*8-n32-14x14x256-3x3-s1-*' || test $$? = 3

counts: setup
	@$(RUN) tests.counts $(ARGS)

costs: setup
	@$(RUN) tests.costs --write $(ARGS)

mutants: setup
	@$(RUN) tests.mutants $(ARGS)

soak: setup
	@$(RUN) tests.soak $(ARGS)

report: setup
	@$(RUN) bench report --splice

# Packages that setup does not install: `bench verify models` says with which line. A model that fails has its sentence.
models: setup
	@rm -rf results/models
	@$(RUN) bench verify models -o results/models $(ARGS) || test $$? = 1
	@$(RUN) bench report --splice

# Networks of digits are trained first, once, for a minute or two. A case that fails among others has its sentence.
accuracy: setup
	@rm -rf results/accuracy-digits
	@$(RUN) bench accuracy digits -o results/accuracy-digits $(ARGS) || test $$? = 1
	@$(RUN) bench report --splice

# of what a commit is compared with; HEAD against itself is an A/A test, HEAD=. the working tree with all changes
BASE ?= HEAD~1
HEAD ?= HEAD

ab: setup
	@$(RUN) bench ab $(BASE) $(HEAD) $(PLAN) $(ARGS)

DIR ?= results/local

history: setup
	@$(RUN) bench history $(DIR) $(ARGS)

kernels: setup
	@$(ACCEPTED) $(ARGS)

static: setup
	@$(RUN) bench counts static --against results/static/counts.json $(ARGS)

gpu: setup
	@$(RUN) bench campaign $(STAGE) $(if $(BUDGET),--budget $(BUDGET)) $(if $(filter-out 0 no false,$(DRY)),--dry) $(ARGS)

gpu-pack:
	@"$(PYTHON)" -c "from bench.machine.provenance import main; raise SystemExit(main())"

clean:
	@rm -rf $(if $(filter file,$(origin VENV)),"$(VENV)") build dist *.egg-info .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find bench kernels resnet tests -name __pycache__ -prune -exec rm -rf {} +
