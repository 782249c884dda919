# Every target works on a fresh clone with Python 3.11+ and make; the second run is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Compiled modules are kept, outside the tree: hundreds of programs are started by the tests.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/pycache
# Whole programs in fast time, which another test beside them disturbs; `make guard` and `make evenings` play more.
ALONE := tests/e2e/test_demo.py tests/faults/test_kills.py
# Tests that wait share two processors well; those of one file stay together, with the parts that they share.
WAITING := -n 3 --dist loadfile --no-loadscope-reorder
LAWS := $(shell find tests/unit -name 'test_*_laws.py')

.PHONY: install demo test lint bench conformance adapters fuzz laws laws-quick judge faults guard evenings stress flood
.PHONY: bridges matrix docs house format clean

$(READY): requirements.lock pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing (once, about half a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

install: $(READY)

demo: $(READY)
	@$(BIN)/ven-adapters demo $(ARGS)

test: $(READY)
	@$(BIN)/python -m pytest tests/unit -q -n auto $(ARGS)
	@$(BIN)/python -m pytest tests/unit -q -n auto -m laws $(ARGS)
	@$(BIN)/python tests/again.py tests/contract tests/e2e tests/faults -q $(WAITING) $(addprefix --ignore ,$(ALONE)) $(ARGS)
	@$(BIN)/python tests/again.py tests/conformance tests/interop -q -n 3 --maxschedchunk 1 $(ARGS)
	@$(BIN)/python tests/again.py $(ALONE) -q $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy --config-file tests/mypy.ini
	@$(BIN)/lint-imports

conformance: $(READY)
	@$(BIN)/python tests/conformance/run.py $(ARGS)

adapters: $(READY)
	@for name in bmw enode ford honda nissan ocpp smartcar tesla; do \
	  $(BIN)/ven-adapters check $$name --html var/adapters/$$name.html --json var/adapters/$$name.json || exit 1; \
	done
	@$(BIN)/python -m pytest tests/conformance/test_adapters_broken.py -q $(ARGS)

fuzz: $(READY)
	@$(BIN)/python tests/interop/fuzz.py --requests 24000 $(ARGS)

laws-quick: $(READY)
	@$(BIN)/python -m pytest tests/unit -q -n auto -m laws $(ARGS)

laws: $(READY)
	@$(BIN)/python -m pytest $(LAWS) -q -n auto -m laws --hypothesis-profile laws $(ARGS)

judge: $(READY)
	@$(BIN)/python tests/night_judge.py $(ARGS)

faults: $(READY)
	@$(BIN)/python tests/faults/night.py $(ARGS)

stress: $(READY)
	@$(BIN)/python tests/stress/run.py $(ARGS)

guard: $(READY)
	@GUARD_KILLS=$${GUARD_KILLS:-6} $(BIN)/python -m pytest tests/faults/test_guard.py -q
	@$(BIN)/python tests/kills.py $(ARGS)

evenings: $(READY)
	@$(BIN)/python tests/evenings.py $(ARGS)

bridges: $(READY)
	@BRIDGE_KILLS=all $(BIN)/python -m pytest tests/interop/test_20b_killed.py -q -n 2 $(ARGS)
	@$(BIN)/python tests/interop/fuzz_20b.py $(ARGS)

matrix: $(READY)
	@$(BIN)/python tests/interop/protocols.py

bench: $(READY)
	@$(BIN)/python tests/bench/run.py $(ARGS)

flood: $(READY)
	@$(BIN)/python tests/bench/bad_bodies.py $(ARGS)

docs: $(READY)
	@$(BIN)/python docs/tables.py

house: $(READY)
	@$(BIN)/python tests/house.py

format: $(READY)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf var $(VENV)
