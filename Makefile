# Everything runs in .venv, which the first target asked for creates.
#
#   make PYTHON=python3.12 test      another Python (3.10 to 3.13)
#   make TORCH='torch==2.9.0' test   another torch: any arguments that `pip install` takes
#
# Both count when .venv is made: `make clean` first to change them.
#
#   make WORKERS=0 test              tests in this one process. Else they run in one a processor, at most 8

PYTHON ?= python3
TORCH ?= torch==2.13.0
WORKERS ?= logical

LAVA := lava-nc==0.10.0
UPSTREAM := lava-dl==0.6.0
PEERS_ARE := spikingjelly==2.0.0 sinabs==3.1.3 snntorch==1.0.0 norse==1.1.0 nir==1.0.8 nirtorch==2.6
# needs more than the oldest Python that is supported; installed with what it declares
JAX := jax==0.10.2; python_version >= "3.11"

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist worksteal
WITH_UPSTREAM := $(VENV)/.upstream
# the peers want versions of their own: they get an environment of their own
PEERS_VENV := .venv-peers
PEERS_PIP := $(PEERS_VENV)/bin/python -m pip --disable-pip-version-check --no-input
WITH_PEERS := $(PEERS_VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types validate exhaustive bench docs pages warm wheel lowest sizes clean

# Targets share .venv and use every core already: -j changes nothing.
.NOTPARALLEL:

help:
	@echo 'make demo        train on digits, export, run on Lava, compare every layer'
	@echo 'make test        the tests'
	@echo 'make check       ruff, mypy and the tests'
	@echo 'make validate    agreement of all paths, and with lava-dl where it installs'
	@echo 'make exhaustive  the arithmetic of the kernels over all states: minutes; writes docs/exhaustive.md'
	@echo 'make bench       speed next to lava-dl; PEERS=1: and other libraries; writes docs/benchmarks.md'
	@echo 'make docs        the site of documentation, in build/site; executes the tutorials that changed, in small'
	@echo 'make pages       the pages of docs/ that are made by what the tests run over; docs/compatibility.md needs lava-dl'
	@echo 'make warm        compile the kernels of common uses, so that nothing waits for them later'
	@echo 'make wheel       a wheel in dist that carries compiled kernels, for this Python'
	@echo 'make lowest      the core on the lowest versions that it declares, in an environment of its own'
	@echo 'make sizes       the sizes of what an installation of the core downloads'
	@echo 'make clean       remove .venv and everything generated'

demo: $(READY)
	@$(BIN)/lavadl-ref demo

test: $(READY)
	@$(PYTEST)

check: lint types test

lint: $(READY)
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .

types: $(READY)
	@$(BIN)/python -m mypy

# Writes docs/equivalence.md where it is out of date, and fails then. `make validate PEERS=1` also compares with other
# libraries that read and write graphs of NIR.
validate: $(WITH_UPSTREAM) $(if $(PEERS),$(WITH_PEERS))
	@$(PYTEST) validation

# goes on where it was interrupted
exhaustive: $(READY)
	@$(BIN)/python -m validation.exhaustive --page docs/exhaustive.md

# `make bench PEERS=1` also compares with other libraries, BEFORE=../before with another checkout. What was measured
# stays in .benchmarks; the page is written when all of it was measured in full.
bench: $(WITH_UPSTREAM) $(if $(PEERS),$(WITH_PEERS))
	@$(BIN)/python -m validation.benchmarks --json .benchmarks/results.json $(if $(BEFORE),--before $(BEFORE))
	@$(if $(PEERS),$(PEERS_VENV)/bin/python -m validation.benchmarks --only peers --only online_peers \
	    --json .benchmarks/peers.json)
	@$(BIN)/python -m validation.benchmarks --out docs/benchmarks.md \
	    .benchmarks/results.json $(if $(PEERS),.benchmarks/peers.json)

docs: $(READY)
	@$(BIN)/python -m sphinx -q -W --keep-going -j auto -b html docs build/site
	@echo 'build/site/index.html'

pages: $(READY)
	@$(BIN)/python -m tests.support.matrix docs/blocks.md
	@$(BIN)/python -m tests.support.suite_page docs/conformance.md
	@$(BIN)/python -m validation.equivalence.matrix docs/equivalence.md
	@$(BIN)/python -m validation.conformance.names docs/compatibility.md

warm: $(READY)
	@$(BIN)/lavadl-ref warm

# For the levels that this processor has. `pip wheel .` makes the one for every Python and processor, without kernels.
wheel: $(READY)
	@$(BIN)/lavadl-ref warm --into build/kernels
	@LAVADL_REF_KERNELS=build/kernels $(PIP) wheel --quiet --no-deps --wheel-dir dist .
	@ls -sh dist

# with the default Python: `make PYTHON=python3.10 lowest`, as the lowest versions have no wheels for the newest Pythons
lowest:
	@sh .ci/lowest "$(PYTHON)"

sizes: $(READY)
	@$(BIN)/python .ci/sizes.py

clean:
	rm -rf $(VENV) $(VENV)-* $(PEERS_VENV) build dist .benchmarks .exhaustive .hypothesis docs/api \
	    .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes first, so that what TORCH says is what is installed. lava-nc goes last and without its
# dependencies: it declares Python < 3.11 and numpy < 2, and the extra `lava` holds what it imports.
# Its numpy < 2 is the conflict that pip is told not to warn of when the package is installed again.
$(READY): pyproject.toml
	@sh .ci/make_venv "$(PYTHON)" $(VENV)
	@echo "Installing $(firstword $(TORCH)): this takes a while the first time"
	@$(PIP) install --quiet $(TORCH)
	@echo "Installing lavadl-ref and its dependencies"
	@$(PIP) install --quiet --no-warn-conflicts --editable '.[all,dev,docs]'
	@$(PIP) install --quiet --ignore-requires-python --no-deps $(LAVA)
	@touch $@

# lava-dl is what some validation compares with. Where it cannot be installed, those tests skip.
$(WITH_UPSTREAM): $(READY)
	@echo "Installing $(UPSTREAM)"
	@if said=$$($(PIP) install --quiet --ignore-requires-python --no-deps $(UPSTREAM) 2>&1); then \
	    touch $@; \
	else \
	    printf '%s\n' "$$said" "$(UPSTREAM) cannot be installed (see above): what compares with it is skipped."; \
	fi

# Ours, and other libraries of spiking networks without most of what they declare: they are timed and given graphs, and
# what they import for pictures, sounds and chips is replaced by validation/benchmarks/stubs.py.
$(WITH_PEERS): pyproject.toml
	@sh .ci/make_venv "$(PYTHON)" $(PEERS_VENV)
	@echo "Installing $(firstword $(TORCH)), $(PEERS_ARE) and $(firstword $(JAX)) in $(PEERS_VENV)"
	@$(PEERS_PIP) install --quiet $(TORCH)
	@$(PEERS_PIP) install --quiet --editable '.[demo,lava]' pytest tqdm '$(JAX)'
	@$(PEERS_PIP) install --quiet --no-deps $(PEERS_ARE)
	@touch $@
