# riskbed: what a newcomer types. `make` alone lists it. Each build mode has a venv and a build tree of its own; see setup.py.

PYTHON ?= $(or $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
    command -v $(name) >/dev/null && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name)))),python3)
JOBS ?= 2
INCIDENT := 2025-10-10-binance-usde

MODES := release checked sanitize
venv_release := .venv
venv_checked := .venv-checked
venv_sanitize := .venv-sanitize

# A run of the tests on one mode: conftest refuses the engine of another one.
release := RISKBED_EXPECT=release $(venv_release)/bin/python
checked := RISKBED_EXPECT=checked $(venv_checked)/bin/python
# Python itself is not instrumented, so the runtimes come first; libstdc++ with them, or exceptions of C++ libraries are lost.
sanitize = LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so)" PYTHONMALLOC=malloc \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 RISKBED_EXPECT=sanitize $(venv_sanitize)/bin/python
pytest := -m pytest -q -n $(JOBS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help long venv build $(MODES:%=build-%) demo regress test lockstep-demo check-all sanitize wheel-check browser-check hints lint bench clean fuzz fuzz-check

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

# What the machine lacks is one line and exit 2, said by setup.py, which Python 3.6 can read. Judged when a recipe needs it.
cc := $(if $(filter default,$(origin CC)),,CC='$(CC)')
need = $(shell command -v $(PYTHON) >/dev/null && $(cc) $(PYTHON) setup.py need 2>&1 \
    || echo 'riskbed needs Python 3.11 or later, $(PYTHON) does not run; name one by make PYTHON=...')
check-need = $(if $(need),$(error $(need)))

# A mode: its venv with dependencies, our metadata and command (again when these files change), then what changed of the engine.
# The .pth joins the checkout and the build tree of the mode: setup.py says why.
define mode
$$(venv_$(1))/stamp: pyproject.toml setup.py
	$$(check-need)
	@echo "making $$(venv_$(1))" >&2
	@test -x $$(venv_$(1))/bin/python || $$(PYTHON) -m venv $$(venv_$(1))
	@$$(venv_$(1))/bin/python -m pip install -q --disable-pip-version-check 'setuptools>=77' 'cython>=3.1' wheel
	@RISKBED_BUILD=$(1) $$(venv_$(1))/bin/python -m pip install -q --disable-pip-version-check --no-build-isolation -e '.[dev]'
	@printf '%s\n' '$$(CURDIR)' '$$(CURDIR)/build/$(1)/lib' > \
	    "$$$$($$(venv_$(1))/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/riskbed-$(1).pth"
	@touch $$@

build-$(1): $$(venv_$(1))/stamp
	$$(check-need)
	@RISKBED_BUILD=$(1) $$(venv_$(1))/bin/python setup.py -q build_ext --build-lib build/$(1)/lib >&2
endef
$(foreach name,$(MODES),$(eval $(call mode,$(name))))

venv: $(venv_release)/stamp  ## make .venv with everything that running and testing need

build: build-release  ## compile what changed of the engine, release build

demo: build  ## replay the main incident offline, say what it showed and where the report lies
	@$(venv_release)/bin/riskbed replay $(INCIDENT)

regress: build  ## run the packaged suite against its accepted baseline; accept by `riskbed regress --accept "reason"`
	@$(venv_release)/bin/riskbed regress

# Tests that need planted bugs are marked `checked`: the release build deselects them, the checked build runs them alone.
test: build build-checked  ## run the tests; needs Python, pip and a C compiler
	@$(release) $(pytest) -m "not long" --durations=15
	@$(checked) $(pytest) -m checked

long: build  ## the tests that take many seconds each
	@$(release) $(pytest) -m long --dist loadfile --durations=15

lockstep-demo: build  ## both twins on the main incident with every account, minutes printed
	@$(venv_release)/bin/riskbed replay $(INCIDENT) --lockstep 1

check-all: lint hints long regress fuzz-check sanitize wheel-check browser-check  ## what make test leaves out: long tests, the suite, a campaign, sanitizers, an installed wheel, a browser

MINUTES ?= 2
fuzz: build  ## a campaign of MINUTES=2 on both twins under the laws; findings/ keeps what fails
	@$(venv_release)/bin/riskbed fuzz --minutes $(MINUTES)

fuzz-check: build
	@$(venv_release)/bin/riskbed fuzz --minutes 0.4

sanitize: build-sanitize  ## canaries that must die, then the lockstep tests under the address and undefined sanitizers
	@$(sanitize) $(pytest) -n 0 -m sanitize tests/test_house.py
	@$(sanitize) $(pytest) -m lockstep

wheel-check: build  ## build a wheel, install it into an empty venv elsewhere, replay from there without a network
	@$(venv_release)/bin/python tests/wheel_check.py $(INCIDENT)

browser-check: build  ## open the reports of a replay and of the pair in headless Chromium
	@$(venv_release)/bin/python tests/browser_check.py

hints: $(venv_release)/stamp  ## a release build has no Cython performance hint
	@$(venv_release)/bin/python tests/hint_check.py

lint: $(venv_release)/stamp  ## Python by ruff, Cython by cython-lint
	@$(venv_release)/bin/ruff check -q
	@$(venv_release)/bin/cython-lint --no-pycodestyle engine tests/canary.pyx

bench: build  ## matching, message by message and in batch; BENCH='--stream FILE.npy'
	@$(venv_release)/bin/python -m bench.matching $(BENCH)

clean:  ## remove venvs, build trees and caches; runs/ stays
	rm -rf build .venv .venv-checked .venv-sanitize riskbed.egg-info .pytest_cache .hypothesis .ruff_cache .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +
