# make demo and make test need nothing prepared: they make .venv and install everything first (scripts/bootstrap.py).
#   PYTHON=python3.12   the Python to make .venv with
#   ARGS="..."          passed on, as in: make test ARGS="tests/ops -k iou"
#   MMCV_CUDA=1         compile mmcv's CUDA ops too; not needed, also not on a GPU

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# a Python that was asked for must be the one .venv has
ASKED := $(if $(filter file,$(origin PYTHON)),,--asked)

.DEFAULT_GOAL := help
.PHONY: help setup demo test pytest lint typecheck format bench bench-gpu bench-table models models-table doctor constraints clean clean-venv

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv and install everything; does nothing when nothing changed
	@$(PYTHON) scripts/bootstrap.py $(ASKED)

demo: setup ## the whole way on generated scenes: split, train, test, merge, evaluate, submission, pictures
	@$(BIN)/python -m rotated_atss demo $(ARGS)

test: lint typecheck pytest ## style, types and tests

pytest: setup ## the tests alone
	@$(BIN)/python -m pytest $(ARGS)

lint: setup ## ruff rules and format, import contracts
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/lint-imports --no-logo

typecheck: setup ## mypy on the plain part
	@$(BIN)/python -m mypy

format: setup ## let ruff mend what it can
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .

bench: setup ## measure beside the peers on the CPU, into benchmarks/results
	@set -e; for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

bench-gpu: setup ## on a machine with a GPU: the GPU tests, then IoU, NMS, assignment, a training step, inference
	@$(BIN)/python benchmarks/on_gpu.py $(ARGS)

bench-table: ## docs/benchmarks.md from benchmarks/results
	@$(PYTHON) benchmarks/make_table.py $(ARGS)

models: setup ## parameters and GFLOPs of every config anew, then docs/models.md
	@$(BIN)/python benchmarks/bench_models.py --no-timing $(ARGS)
	@$(BIN)/python benchmarks/make_models.py

models-table: setup ## docs/models.md from the configs and benchmarks/results
	@$(BIN)/python benchmarks/make_models.py $(ARGS)

doctor: setup ## what is installed, what is active, how to mend it
	@$(BIN)/python -m rotated_atss doctor

constraints: setup ## resolve requirements/constraints.txt anew, for Python 3.10 to 3.13 on every platform
	@$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.10 --upgrade --no-emit-index-url \
		--custom-compile-command "make constraints" --extra train --extra fast --extra dev pyproject.toml \
		requirements/constraints.in --overrides requirements/overrides.txt -o requirements/constraints.txt

clean: ## remove what checks and the demo left; .venv, data and work_dirs stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache build dist demo_out benchmarks/out
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

clean-venv: ## remove .venv
	rm -rf .venv
