# Two commands matter on a fresh machine: `make run` and `make test`.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST ?= $(BIN)/python -m pytest
INSTALLED_BY := pyproject.toml setup.py $(wildcard src/callwright/*/_*.pyx src/callwright/*/_*.pxi) \
	src/callwright/generator/names.py

.PHONY: run demo test test-fast chaos soak mutants check bench fuzz fuzz-pbx install peers docs surface clean help

help:            ## what can be made
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort | expand -t 12

run: install     ## the platform: API, pages, an agent and a PBX on this machine
	$(BIN)/callwright serve --host 127.0.0.1 --port 8000 --data ./data

demo: install    ## two phones register at the built-in PBX and talk; ends with the report
	$(BIN)/callwright run basic_call --report callwright-report

install: $(VENV)/.installed   ## leaves .venv/bin/callwright

$(VENV)/.installed: $(INSTALLED_BY)
	@tools/require-python $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# One install with everything, rather than a second one on top: each builds the native rooms.
$(VENV)/.installed-test: $(INSTALLED_BY)
	@tools/require-python $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $(VENV)/.installed $@

peers:           ## the real peers that the tests call: SIPp, baresip, Kamailio, tshark, nginx, Chromium
	@tools/install-peers

# Two at a time: first the many, then those in a browser, then those that wait for what they killed; at last,
# alone, those that measure time or fill both cores.
PARALLEL ?= -n 2 --dist loadfile

test: $(VENV)/.installed-test peers   ## every test, real peers included
	$(PYTEST) $(PARALLEL) -m "not alone and not paired and not waiting"
	$(PYTEST) $(PARALLEL) -m paired
	$(PYTEST) -n 2 --dist worksteal -m waiting
	$(PYTEST) -m alone

test-fast: $(VENV)/.installed-test   ## the tests that start no platform and need nothing but Python
	$(PYTEST) $(PARALLEL) -m "fast and not alone and not paired and not waiting"

KILLS ?= 1000
LANES ?= 4
FLEET_KILLS ?= 200
CALLS ?= 200
CLUSTER_ROUNDS ?= 5

chaos: $(VENV)/.installed-test   ## kill every part KILLS times under a stream of runs, LANES platforms at once; the PBX under CALLS calls
	CALLWRIGHT_CHAOS_KILLS=$(KILLS) CALLWRIGHT_CHAOS_LANES=$(LANES) $(PYTEST) -s tests/chaos/test_kills.py tests/chaos/test_guardian.py
	CALLWRIGHT_CHAOS_FLEET_KILLS=$(FLEET_KILLS) $(PYTEST) -s tests/chaos/test_fleet_kills.py
	CALLWRIGHT_CHAOS_CALLS=$(CALLS) $(PYTEST) -s tests/chaos/test_pbx_kills.py
	CALLWRIGHT_CHAOS_ROUNDS=$(CLUSTER_ROUNDS) $(PYTEST) -s tests/chaos/test_several_platforms.py

check: $(VENV)/.installed-test   ## exactly what CI runs before the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-test   ## figures, with the machine's noise
	$(BIN)/python -m benchmarks

FUZZ_SECONDS ?= 60
EXAMPLES ?= 20

fuzz: $(VENV)/.installed-test   ## native rooms against pure ones; property tests with EXAMPLES times the examples
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3'
	$(BIN)/python tools/fuzz_scan.py -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python tools/fuzz_rtp.py -max_total_time=$(FUZZ_SECONDS)
	$(BIN)/python tools/fuzz_load.py -max_total_time=$(FUZZ_SECONDS)
	CALLWRIGHT_EXAMPLES=$(EXAMPLES) $(PYTEST) --timeout 3600 $(shell grep -rlE '^@given' tests --include='test_*.py')

FUZZ_PBX_SECONDS ?= $(or $(SECONDS),3600)

fuzz-pbx: $(VENV)/.installed-test   ## SECONDS (an hour) of random and mutated SIP at a PBX in virtual time
	CALLWRIGHT_FUZZ_PBX_SECONDS=$(FUZZ_PBX_SECONDS) $(PYTEST) -s --timeout 0 tests/simulation/test_pbx_fuzz.py

ROOMS ?= quality policy digest rtp runs

mutants: $(VENV)/.installed-test   ## plant faults in ROOMS, one at a time, and count those that no test notices
	$(BIN)/python tools/mutants.py $(ROOMS)

SOAK_SECONDS ?= $(or $(SECONDS),3600)

soak: $(VENV)/.installed-test   ## SECONDS (an hour) of posts, event streams and slow clients, with the memory looked at
	CALLWRIGHT_SOAK_SECONDS=$(SOAK_SECONDS) $(PYTEST) -s tests/chaos/test_soak.py

bench-sipp: $(VENV)/.installed-test peers   ## the load engine against SIPp: CPU per call, alternating runs
	$(BIN)/python -m benchmarks.sipp

docs: $(VENV)/.installed-test   ## write the references that are made from the code
	$(BIN)/python tools/make_docs.py

surface: $(VENV)/.installed-test   ## write down what others build on (flags, keys, routes); read its diff
	$(BIN)/python -m tests.surface.facts

clean:           ## remove what make made
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis callwright-report
