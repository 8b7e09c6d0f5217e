# Two commands set everything up: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARSERS := .venv-parsers

.PHONY: demo test test-slow test-installs lint types layers pytest parsers clean

demo: $(VENV)/.installed
	$(BIN)/sampt demo

test: $(VENV)/.installed-dev lint types layers pytest parsers

# Throw-away environments: the lowest versions that pyproject.toml admits, and the newest ones on each Python at hand.
test-installs:
	$(PYTHON) tools/try_installs.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests benchmarks tools training
	$(BIN)/ruff format --check src tests benchmarks tools training

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

pytest: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --ignore tests/batch/test_on_ray.py
	# It starts clusters and kills parts of them, and wants the machine for itself.
	$(BIN)/python -m pytest -m "not slow" tests/batch/test_on_ray.py

# What is slow and rarely fails: before a release, and before an issue is closed.
test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

# What CVAT and Label Studio read files with wants other versions than ours, so it has an environment of its own; its warnings
# are not ours to mend.
parsers: $(PARSERS)/.installed
	SAMPT_PARSERS=1 $(PARSERS)/bin/python -m pytest -W default -p no:cacheprovider tests/exporters -k foreign

clean:
	rm -rf $(VENV) $(PARSERS) sampt-demo sampt-output build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# An editable installation: it changes only with pyproject.toml.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ui]'
	touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# TrackEval, which scores are compared with, asks for another build of OpenCV beside ours: without what it asks for.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps trackeval==1.3.0
	touch $@ $(VENV)/.installed

$(PARSERS)/.installed: pyproject.toml constraints-parsers.txt
	$(PYTHON) -m venv $(PARSERS)
	$(PARSERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-parsers.txt -e . pytest datumaro label-studio-sdk
	touch $@
