# Two commands set everything up: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types layers pytest clean

demo: $(VENV)/.installed
	$(BIN)/sampt demo

test: $(VENV)/.installed-dev lint types layers pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests scripts scripts/parity training
	$(BIN)/ruff format --check src tests scripts scripts/parity training

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) sampt-demo sampt-output build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# An editable installation: it changes only with pyproject.toml.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# TrackEval, which scores are compared with, asks for another build of OpenCV beside ours: without what it asks for.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps trackeval==1.3.0
	touch $@ $(VENV)/.installed
