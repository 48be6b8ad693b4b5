# make run    set up .venv once, run the example day, print its summary
# make test   everything that CI runs
# PYTHON=/path/to/python3.12 make run    with an interpreter of your choice

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# The first interpreter that starts and is new enough (a name alone may be an empty shim).
find_python = $(shell for p in $(1); do \
  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < $(2))' >/dev/null 2>&1; \
  then command -v "$$p"; exit; fi; done; \
  if command -v pyenv >/dev/null 2>&1; then for p in $(3); do \
  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < $(2))' >/dev/null 2>&1; \
  then echo "$$p"; exit; fi; done; fi)
PYENV_PYTHONS = $(wildcard $(HOME)/.pyenv/versions/3.1[23]*/bin/python)

PYTHON ?= $(call find_python,python3.11 python3.12 python3.13 python3,(3$(comma)11),$(PYENV_PYTHONS))
NEWER = $(call find_python,python3.12 python3.13,(3$(comma)12),$(PYENV_PYTHONS))
comma := ,

BIN := .venv/bin
NEWER_BIN := .venv-newer/bin
INSTALL := -m pip install -q --disable-pip-version-check
PYTEST := -m pytest -n 2 --dist loadscope
DECLARED := setup.cfg pyproject.toml

.PHONY: run test lint types pytest test-newer bench clean

run: .venv/.installed
	$(BIN)/peergrid run scenarios/ieee33_day.toml

.venv/.installed: $(DECLARED)
	@test -n "$(PYTHON)" || { echo "no Python >= 3.11 with venv found; set PYTHON=..." >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python $(INSTALL) -e .
	@touch $@

.venv/.installed-test: $(DECLARED) .venv/.installed
	$(BIN)/python $(INSTALL) -e '.[test]'
	@touch $@

test: lint types pytest
	@if [ -n "$(NEWER)" ]; then $(MAKE) --no-print-directory test-newer; \
	else echo "no Python >= 3.12 found: tested on one interpreter only"; fi

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-test
	$(BIN)/mypy

pytest: .venv/.installed-test
	$(BIN)/python $(PYTEST)

.venv-newer/.installed-test: $(DECLARED)
	@test -n "$(NEWER)" || { echo "no Python >= 3.12 found" >&2; exit 1; }
	"$(NEWER)" -m venv .venv-newer
	$(NEWER_BIN)/python $(INSTALL) -e '.[test]'
	@touch $@

# The same suite on a newer Python, where mosaik and pandapower are newer too.
test-newer: .venv-newer/.installed-test
	$(NEWER_BIN)/python $(PYTEST)

bench: .venv/.installed
	$(BIN)/python -m benchmarks.cosim --hours 168

clean:
	rm -rf .venv .venv-newer build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
