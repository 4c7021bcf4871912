# `make` lists the targets. They need Python 3.11 or newer and nothing else: the first one makes .venv and installs there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all lint bench reproduce docs wheel clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; choose one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV); the first time takes some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(STAMP)  ## Explain the embedded photographs: the ten regions of each that matter most, in about a minute
	$(BIN)/python run.py order=second regions=slic regularization=auto regions.keep=10

# One worker a core, each on one thread. More than eight would want more memory than they save time.
WORKERS ?= logical
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

test: $(STAMP)  ## Run the tests
	$(PYTEST)

test-slow: $(STAMP)  ## Run the tests that take long
	$(PYTEST) -m slow

test-all: $(STAMP)  ## Run both
	$(PYTEST) -m "slow or not slow"

lint: $(STAMP)  ## Check style, docstrings and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## Measure costs in gradients (scripts/benchmark.py)
	$(BIN)/python scripts/benchmark.py

SIZE ?= default
reproduce: $(STAMP)  ## Run all experiments of the paper and write one report; SIZE=smoke|default|paper
	scripts/reproduce.sh size=$(SIZE)

wheel: $(STAMP)  ## Build the wheel and the source distribution into dist/
	$(BIN)/python -m hatchling build

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

docs: $(VENV)/.docs  ## Build the documentation as a site, docs/_build/index.html, and run its gallery
	$(BIN)/python -m sphinx -b html -W --keep-going -q docs docs/_build
	$(BIN)/python scripts/check_site.py docs/_build

clean:  ## Remove results, caches and .venv
	rm -rf $(VENV) outputs multirun dist build docs/_build docs/auto_gallery *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
