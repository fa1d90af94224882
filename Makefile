# make demo   the story in a minute, offline          make test   everything the tests need, then the tests
# make check  the fast one, for every commit          make bench  figures as ratios, side by side
# Needs Python 3.11 to 3.13 (with venv), make and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo install test check lint bench bench-peers drill faults fuzz hammer mutants harm requirements clean help

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST) | head -3

$(VENV)/.base: requirements/base.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}; try: make PYTHON=python3.12")'
	test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { echo 'python3 can not make a virtual environment; on Debian: apt install python3-venv'; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.test: $(VENV)/.base requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	touch $@

install: $(VENV)/.base

demo: $(VENV)/.base
	$(BIN)/apostille demo

test: $(VENV)/.test
	$(PYTEST)

check: $(VENV)/.test lint
	$(PYTEST) -m "not slow and not interop" -q

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src
	$(BIN)/mypy
	$(BIN)/lint-imports

# kill -9 of real processes under load, N times for each kind; then everything that was handed out is held against the log.
drill: $(VENV)/.test
	$(BIN)/python -m tests.faults.drill --kills $(or $(N),200) $(DRILL)

# Slow: all the texts that tools/harm-setup.sh has fetched, shaped before and after cleaning; every difference is printed.
harm:
	sh tools/harm-setup.sh
	PYTHONPATH=src $(or $(APOSTILLE_BUILD),.build)/harm/venv/bin/python -m tests.harm.sweep $(or $(APOSTILLE_BUILD),.build)/harm $(CORPUS)

# Slow: every fault that tests/faults knows, at every write; make test tries a sample of each kind.
faults: $(VENV)/.test
	APOSTILLE_FAULTS=all $(PYTEST) tests/faults --timeout 7200

bench: $(VENV)/.test
	$(BIN)/python bench/bench.py --results bench/results.md $(BENCH)

# Other projects' logs and cleaners, in an environment of their own; make bench measures them beside ours once they are there.
PEERS := .venv-peers
bench-peers: $(PEERS)/.installed

$(PEERS)/.installed: bench/requirements-peers.txt
	test -x $(PEERS)/bin/pip || $(PYTHON) -m venv --clear $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bench/requirements-peers.txt
	touch $@

# Random and mutated input for every parser and command; MEGABYTES for each of them.
hammer: $(VENV)/.test
	$(BIN)/python -m tests.fuzz.hammer --megabytes $(or $(MEGABYTES),100)

.venv-fuzz/.made: requirements/fuzz.txt
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	touch $@

# Guided by coverage; SECONDS_EACH for each target, or for TARGET alone.
fuzz: .venv-fuzz/.made
	PYTHONPATH=src .venv-fuzz/bin/python -m tests.fuzz.atheris_driver $(if $(TARGET),"$(TARGET)") --seconds $(or $(SECONDS_EACH),60)

# Slow: breaks the trust kernel in many places, one at a time. MUTANTS="core/merkle --sample 20" for less.
mutants: $(VENV)/.test
	$(BIN)/python tools/mutants.py $(MUTANTS)

# Locks without index addresses; run after changing requirements/*.in.
requirements:
	for name in base build test fuzz harm; do \
	  uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
	    requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done
	uv pip compile --universal --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
	  requirements/encoders.in -o requirements/encoders.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
	  bench/requirements-peers.in -o bench/requirements-peers.txt

clean:
	rm -rf $(VENV) .venv-fuzz $(PEERS) .build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
