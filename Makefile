# A fresh machine needs no more than `make demo` and `make test`; both make .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
DEMO := demo

.PHONY: help demo test check format lint types examples fast bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q $(TORCH)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/installed ## train rings for a minute and write a report
	@mkdir -p $(DEMO)
	cd $(DEMO) && $(BIN)/ebmdiag train rings --force --steps 2000 --set trace.samples_every=500
	cd $(DEMO) && $(BIN)/ebmdiag sample runs/sec4_1.parquet --steps 20000 --force
	cd $(DEMO) && $(BIN)/ebmdiag diagnose runs/sec4_1.parquet
	cd $(DEMO) && $(BIN)/ebmdiag report runs/sec4_1.parquet -o report.html --force
	@echo "Open $(CURDIR)/$(DEMO)/report.html"

test: $(VENV)/installed ## run all tests
	$(BIN)/python -m pytest

fast: $(VENV)/installed ## run the tests that take moments
	$(BIN)/python -m pytest -m 'not slow'

check: format lint types test ## everything that CI asks for

format: $(VENV)/installed ## fail if a file is not formatted
	$(BIN)/ruff format --check .

lint: $(VENV)/installed ## style, and the rule of imports
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/installed ## mypy, strict
	$(BIN)/mypy

bench: $(VENV)/installed ## time engines, statistics, image nets, samplers and analyses, fifteen minutes
	cd benchmarks && $(BIN)/python engines.py
	cd benchmarks && $(BIN)/python overhead.py
	cd benchmarks && $(BIN)/python images.py
	cd benchmarks && $(BIN)/python samplers.py
	cd benchmarks && $(BIN)/python analyses.py
	cd benchmarks && $(BIN)/python memory.py 1000000

clean: ## remove what was built here
	rm -rf $(VENV) $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
