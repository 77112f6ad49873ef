# Sightline from a bare clone: `make demo` and `make test` need nothing but python3 (3.10 or newer).
# The first call makes .venv and fills it from the package index; every later call starts at once and needs no network.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := .venv-extras
PIP    := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-extras lint types package figures clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/installed ## the main job on a sample inside the package; look at results/demo
	$(BIN)/sightline demo -o results/demo

test: $(VENV)/installed-dev ## every test that takes seconds
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/installed-dev ## the tests that train and fit
	$(PYTEST) -m slow

test-extras: $(EXTRAS)/installed ## the tests once more beside MediaPipe, RTMPose and OpenCV (numpy 1.26), in an environment of their own
	OMP_NUM_THREADS=1 $(EXTRAS)/bin/python -m pytest -n 2 -m "not slow or extras"

lint: $(VENV)/installed-dev ## formal faults (ruff)
	$(BIN)/ruff check .

types: $(VENV)/installed-dev ## types (pyright)
	$(BIN)/pyright --pythonpath $(BIN)/python

package: $(VENV)/installed-dev ## build the wheel, install it in a clean environment, run the demo from it, away from the source
	rm -rf build/package
	$(BIN)/python -m build --outdir build/package .
	$(PYTHON) -m venv build/package/venv
	build/package/venv/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt build/package/*.whl
	root=$$PWD; out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; cd "$$out" \
	  && https_proxy=http://127.0.0.1:9 http_proxy=http://127.0.0.1:9 "$$root"/build/package/venv/bin/sightline demo -o demo \
	  && test -s demo/poses.json && test -s demo/picture.png
	rm -rf build/package/venv
	@echo "package: the wheel in build/package works on its own"

figures: $(VENV)/installed ## draw the figures of docs/ anew
	for script in docs/figures/draw_*.py; do $(BIN)/python "$$script" || exit 1; done

clean: ## remove what make made (results and runs stay)
	rm -rf $(VENV) $(EXTRAS) build dist .pytest_cache .ruff_cache .hypothesis
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Sightline needs Python 3.10 or newer; name one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "Python has no venv module here; on Debian and Ubuntu it comes with: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	$(PIP) install -q --upgrade pip

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing Sightline and what it needs into $(VENV), a few minutes the first time"
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install -q -c constraints.txt -e '.[dev,compare]'
	@touch $@

$(EXTRAS)/installed: pyproject.toml constraints-extras.txt
	@$(PYTHON) -m venv $(EXTRAS)
	@echo "installing Sightline with every extra into $(EXTRAS), a few minutes the first time"
	$(EXTRAS)/bin/python -m pip --disable-pip-version-check install -q -c constraints-extras.txt -e '.[dev,mediapipe,rtmpose,calibrate,compare]'
	@touch $@
