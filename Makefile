# Every target that needs .venv makes it first (scripts/bootstrap.py).
#   PYTHON=python3.12   Python to make .venv with
#   ARGS="..."          arguments passed on, as in: make test ARGS="tests/ops -k iou"

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# an explicit PYTHON must match the version of an existing .venv
MATCH := $(if $(filter file,$(origin PYTHON)),,--match-python)

.DEFAULT_GOAL := help
.PHONY: fuzz help setup setup-baselines demo test test-baselines test-browser check-wheel pytest lint typecheck format architecture bench bench-gpu bench-table models models-table doctor constraints clean clean-venv

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv and install everything, unless it is up to date
	@$(PYTHON) scripts/bootstrap.py $(MATCH)

setup-baselines: ## Compile mmcv and DOTA_devkit into .venv, with which some tests and benchmarks compare
	@$(PYTHON) scripts/bootstrap.py $(MATCH) --baselines

demo: setup ## Run the whole pipeline on synthetic scenes: split, train, test, merge, evaluate, draw
	@$(BIN)/python -m rotated_atss demo $(ARGS)

test: lint typecheck pytest ## Check style and types and run the tests

pytest: setup ## Run the tests in two processes
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-baselines: setup-baselines ## Run the tests that compare with mmcv's compiled ops and DOTA_devkit
	@$(BIN)/python -m pytest -m baseline $(ARGS)

test-browser: setup ## Run the tests of pages in headless Chromium, which root gets from apt-get where it is missing
	@$(BIN)/python -m benchmarks.browser || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver >/dev/null; } || \
		{ echo "Install Chromium and chromedriver (on Debian: apt-get install chromium chromium-driver) and try again."; exit 1; }
	@$(BIN)/python -m pytest -m browser $(ARGS)

check-wheel: setup ## Build the wheel, install it without a compiler into a fresh environment, and run the commands there
	@$(BIN)/python scripts/check_wheel.py $(ARGS)

lint: setup ## Check style, formatting and import contracts
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/draw_architecture.py --check

architecture: setup ## Draw docs/images/architecture.svg from the imports
	@$(BIN)/python scripts/draw_architecture.py

typecheck: setup ## Check types with mypy
	@$(BIN)/python -m mypy

format: setup ## Fix style and formatting with ruff
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

fuzz: setup ## Feed damaged files to the readers, chosen by the code they reach (atheris): minutes per reader
	@$(BIN)/python -m uv pip install --quiet --target build/fuzz atheris
	@PYTHONPATH=$(CURDIR)/build/fuzz $(BIN)/python benchmarks/reliability/fuzz.py $(ARGS)

bench: setup ## Run the benchmarks on the CPU and save records in benchmarks/results
	@$(BIN)/python benchmarks/run.py $(ARGS)

bench-gpu: setup ## Run the GPU tests and benchmarks
	@$(BIN)/python benchmarks/on_gpu.py $(ARGS)

bench-table: ## Generate docs/benchmarks.md from benchmarks/results
	@$(PYTHON) benchmarks/make_table.py $(ARGS)

models: setup ## Count parameters and GFLOPs of every config and generate docs/models.md
	@$(BIN)/python benchmarks/harness.py models --no-timing $(ARGS)
	@$(BIN)/python benchmarks/make_table.py models

models-table: setup ## Generate docs/models.md from the configs and benchmarks/results
	@$(BIN)/python benchmarks/make_table.py models $(ARGS)

doctor: setup ## Check the installation and suggest fixes
	@$(BIN)/python -m rotated_atss doctor

constraints: setup ## Resolve requirements/constraints.txt for Python 3.10 to 3.13 on every platform
	@$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-emit-index-url \
		--custom-compile-command "make constraints" --extra train --extra fast --extra dev pyproject.toml \
		requirements/constraints.in --overrides requirements/overrides.txt -o requirements/constraints.txt

clean: ## Remove caches, builds and the demo's output; keep .venv, data and work_dirs
	rm -rf .pytest_cache .mypy_cache .ruff_cache build dist demo_out benchmarks/out
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

clean-venv: ## Remove .venv
	rm -rf .venv
