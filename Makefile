# make demo | test | bench | lint | lock | clean: each first makes .venv where it is not there yet.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test lint bench overfit lock clean

help:
	@echo "make demo   a first sound: overfit a small model on a piano clip (3 minutes)"
	@echo "make test   lint, types and the whole test suite"
	@echo "make bench  training speed beside plain torch and the machine's own limit"
	@echo "make overfit  the thesis's models, at its sizes, on one second of piano (an hour)"
	@echo "make setup  the virtual environment that they share"

setup: $(VENV)/ready

$(VENV)/ready: requirements.lock pyproject.toml
	@echo "setting up $(VENV): torch and the rest of requirements.lock, then wavewright itself (a minute or a few)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v in ((3, 11), (3, 12)) else f"Python {v[0]}.{v[1]} is not supported: make PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
	@echo "$(VENV) is ready"

demo: setup
	$(BIN)/wavewright demo

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses 2

bench: setup
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/training_speed.py

overfit: setup
	THP_MEM_ALLOC_ENABLE=1 $(BIN)/python benchmarks/overfit.py

# On a machine where the newest versions that pyproject.toml admits have been installed and found good.
lock: setup
	@echo "# Exact versions of everything that \`make setup\` installs; made by \`make lock\`." > requirements.lock
	@$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' >> requirements.lock

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache
