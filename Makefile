# One command each. Needs Python 3.11 or newer and make; everything else goes into $(VENV).

VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
PYTEST_ARGS ?= -n auto --maxprocesses=8
TORTURE_SECONDS ?= 600
TORTURE_FIRST ?= 0
TORTURE_RUNS ?= 10000
TORTURE_KILLS ?= 2000
PYTHONS ?= python3.11 python3.13
NODE := tests/node/node_modules/.package-lock.json

# The newest Python that is tested and can make an environment. A pyenv shim may be there and yet not run, so each is asked.
FIT := import sys, venv, ensurepip; raise SystemExit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	"$$python" -c '$(FIT)' >/dev/null 2>&1 && { echo "$$python"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help install demo serve test check check-all format bench torture clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(BIN)/.server ## the whole flow, live; keeps serving in a terminal, ends by itself elsewhere
	@if [ -t 1 ] && [ -z "$$CI" ]; then exec $(RUN) riverflow demo; else exec $(RUN) riverflow demo --once; fi

install: $(BIN)/.dev ## the environment for working on riverflow

test: $(BIN)/.dev $(NODE) ## all tests
	@$(RUN) pytest $(PYTEST_ARGS)

check: $(BIN)/.dev $(NODE) ## formatting, lint, types, layers, then all tests
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(BIN)/lint-imports
	@$(RUN) pytest $(PYTEST_ARGS)

check-all: ## `check` on each of PYTHONS, in environments of their own
	@for python in $(PYTHONS); do $(MAKE) check VENV=.venv-$$python PYTHON=$$python || exit; done

format: $(BIN)/.dev ## write the formatting, fix what ruff can fix
	@$(RUN) ruff format .
	@$(RUN) ruff check --fix .

bench: $(BIN)/.bench ## what a durable run costs on this machine; takes minutes (BENCH_ARGS="I W" for parts)
	@$(RUN) riverflow bench $(BENCH_ARGS)

torture: $(BIN)/.dev ## simulated faults by seed, then kill -9 at saturation (TORTURE_SECONDS=600, TORTURE_RUNS=10000, TORTURE_KILLS=2000)
	@$(RUN) riverflow.testing.simulation --seconds $(TORTURE_SECONDS) --first $(TORTURE_FIRST)
	@cd tests && $(abspath $(BIN))/python -m crash.torture --runs $(TORTURE_RUNS) --kills 20
	@cd tests && $(abspath $(BIN))/python -m crash.torture --runs $$(( 12 * $(TORTURE_KILLS) )) --kills $(TORTURE_KILLS)

clean: ## forget environments and caches
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis tests/node/node_modules

# The stamps lie in the environment, and are older than pyproject.toml when it must be brought up to date.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "riverflow needs Python 3.11 or newer with its venv module; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON) ..." >&2
	@"$(PYTHON)" -m venv $(VENV)
	@$(RUN) pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'  # the first that knows dependency groups

$(BIN)/.server: pyproject.toml | $(BIN)/python
	@echo "installing riverflow[server] ..." >&2
	@$(RUN) pip install --quiet --disable-pip-version-check -e '.[server]'
	@touch $@

$(BIN)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing riverflow[server] and the group dev ..." >&2
	@$(RUN) pip install --quiet --disable-pip-version-check -e '.[server]' --group dev
	@touch $@ $(BIN)/.server

$(BIN)/.bench: pyproject.toml | $(BIN)/python
	@$(RUN) pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@ $(BIN)/.server

$(NODE): tests/node/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "installing the Node packages of the tests ..." >&2; cd tests/node && npm ci --silent --no-audit --no-fund && touch ../../$@; \
	else echo "npm is not installed: tests that need Node will be skipped" >&2; fi
