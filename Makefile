# Everything a newcomer needs: `make demo` and `make test` set themselves up in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core-installed
DEV := $(VENV)/.dev-installed
SPARK := $(VENV)/.spark-installed
DEEP := $(VENV)/.deep-installed
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 2
FOLDER ?= demo
BENCHMARKS := $(filter-out benchmarks/experiments_truth.py,$(wildcard benchmarks/*.py))

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-spark test-deep check bench simulate lock clean

help:
	@echo "make demo        install the core and run the shipped example; prints the path of the report"
	@echo "make test        every test ($(WORKERS) workers)"
	@echo "make test-quick  the tests that take less than ten seconds each"
	@echo "make test-spark  DuckDB and Spark step by step, on a cluster of its own on this machine (needs Java 17)"
	@echo "make test-deep   the neural networks (installs PyTorch; a CPU will do)"
	@echo "make check       ruff, basedpyright, import-linter, deptry, doctests"
	@echo "make bench       every driver in benchmarks/ (slow; builds an environment for each peer)"
	@echo "make simulate    error, coverage and power of every estimator and stop rule where the truth is known"
	@echo "make lock        pin every dependency anew in requirements/*.txt"
	@echo "make clean       remove the environment and all that was made"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; ok = sys.version_info >= (3, 11); sys.exit(not ok)' || \
	  { echo "Headwater needs Python 3.11 or later; '$(PYTHON)' is older or missing. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(CORE): pyproject.toml requirements/core.txt | $(BIN)/python
	$(PIP) install --no-deps -r requirements/core.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(CORE) requirements/dev.txt
	$(PIP) install --no-deps -r requirements/dev.txt
	@touch $@

$(SPARK): $(DEV) requirements/spark.txt
	$(PIP) install --no-deps -r requirements/spark.txt
	@touch $@

$(DEEP): $(DEV) Makefile
	$(PIP) install --constraint requirements/dev.txt '$(TORCH)'
	@touch $@

demo: $(CORE)
	$(BIN)/headwater demo --folder $(FOLDER)

test: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-quick: $(DEV)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not spark and not deep"

test-spark: $(SPARK)
	$(BIN)/python -m pytest -p no:xdist -m "spark and not deep" tests/parity

test-deep: $(DEEP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "deep and not spark"

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry src
	$(BIN)/python -m pytest --doctest-modules src

bench: $(DEV)
	@set -e; for driver in $(BENCHMARKS); do echo "== $$driver"; $(BIN)/python $$driver; done

simulate: $(DEV)
	$(BIN)/python benchmarks/experiments_truth.py

lock: | $(BIN)/python
	$(PIP) install uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --upgrade \
	  pyproject.toml requirements/build.in --output-file requirements/core.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --upgrade \
	  pyproject.toml requirements/build.in --group dev --constraints requirements/core.txt --output-file requirements/dev.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-header --upgrade \
	  pyproject.toml requirements/build.in --extra spark --constraints requirements/core.txt --output-file requirements/spark.txt

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
