# Two commands set everything up: `make demo` runs the main job, `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARSERS := .venv-parsers
# The tests start hundreds of processes: each would compile our sources anew.
unexport PYTHONDONTWRITEBYTECODE
NODE_TOOLS := node_modules/.package-lock.json

.PHONY: demo test checks test-slow test-installs smoke coverage lint words types layers page page-types docs public pytest parsers clean

demo: $(VENV)/.installed
	$(BIN)/sampt demo

# What keeps one core busy runs two at a time: installing what pytest needs takes as long as all other checks together.
test:
	$(MAKE) --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) checks
	$(MAKE) --no-print-directory pytest

# The order is the one in which they are begun.
checks: $(VENV)/.installed-dev parsers types page docs layers lint

# Throw-away environments: the lowest versions that pyproject.toml admits, and the newest ones on each Python at hand.
test-installs:
	$(PYTHON) tools/try_installs.py

# The wheel and the source distribution, each in a bare environment, by the demo.
smoke:
	$(PYTHON) tools/smoke.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check src tests benchmarks tools training examples
	# Windows takes text that names no encoding for that of its country.
	$(BIN)/ruff check --preview --select PLW1514 src benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools training examples

words: $(VENV)/.installed-dev
	$(BIN)/python -m tools.words

types: $(VENV)/.installed-dev
	$(BIN)/mypy

layers: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# The page's JavaScript, which runs in the browser as it is written, against types made from the server's schemas.
page: $(VENV)/.installed-dev $(NODE_TOOLS)
	$(BIN)/python tools/page_types.py --check
	npm run --silent types
	npm run --silent lint

# Versions in step; workflows, forms, citation and containers by what checks each. `make pytest` runs it, too.
public: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q tests/tools/test_public.py tests/tools/test_version.py

# Writes those types anew after a change of src/sampt/web/schemas.
page-types: $(VENV)/.installed-dev
	$(BIN)/python tools/page_types.py

# The documentation site, without network: site/index.html.
docs: $(VENV)/.installed-dev
	$(BIN)/python -m tools.docs_site

pytest: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --durations 40 --ignore tests/batch/test_on_ray.py
	# It starts clusters and kills parts of them, and wants the machine for itself.
	$(BIN)/python -m pytest -m "not slow" tests/batch/test_on_ray.py

# Which lines and branches the tests run, in a table without a threshold. Apart from `make test`, as measuring costs half as much again.
coverage: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --ignore tests/batch/test_on_ray.py --cov

# What is slow and rarely fails: before a release, and before an issue is closed.
test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow --timeout 7200

# What CVAT and Label Studio read files with wants other versions than ours, so it has an environment of its own; its warnings
# are not ours to mend.
parsers: $(PARSERS)/.installed
	SAMPT_PARSERS=1 $(PARSERS)/bin/python -m pytest -W default -p no:cacheprovider tests/exporters -k foreign

clean:
	rm -rf $(VENV) $(PARSERS) node_modules .coverage sampt-demo sampt-output build dist site

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# An editable installation: it changes only with pyproject.toml.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ui]'
	touch $@

# Python compiles what is imported: a few modules in a hundred, where pip would spend a minute on all of them.
$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	# TrackEval, which scores are compared with, asks for another build of OpenCV beside ours: without what it asks for.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps trackeval==1.3.0
	touch $@ $(VENV)/.installed

$(NODE_TOOLS): package.json package-lock.json
	@node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
	  && command -v npm >/dev/null \
	  || { echo "The checks of the page need Node.js 20.19 or newer with npm, which is not here; install it from nodejs.org."; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(PARSERS)/.installed: pyproject.toml constraints-parsers.txt
	$(PYTHON) -m venv $(PARSERS)
	$(PARSERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints-parsers.txt -e . pytest pytest-timeout datumaro label-studio-sdk
	touch $@
