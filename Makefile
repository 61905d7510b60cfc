# `make install` makes .venv from nothing but python3; `make check` before each commit.
# Variables: PYTHON (3.11 or later), VENV, ARGS (more arguments for pytest and the benchmarks), REPO (for the demo),
# WORKERS (of the tests), MINUTES and SEED (of the soak; without a seed it makes one up and prints it), SEEDS and FIRST (of the simulation).
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
REPO ?= .
MINUTES ?= 1
SEED ?=
SEEDS ?= 20000
FIRST ?= 0
# Where `make test-agents` keeps the clients that it installs.
AGENTS ?= .agents

STAMP := $(VENV)/.installed
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
# More workers than processors: most tests wait for other processes and for threads half of the time.
# loadfile: the tests of one file share what they open, so they run on one worker. Files in the order of tests/conftest.py.
WORKERS ?= 3
PYTEST = $(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
LOCK_TOOL = uv==0.13.9
LOCK = .venvs/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header --no-emit-index-url

# Some images set it to stay small. Here each start of `wg` without a daemon, and each worker of the tests, would then
# compile every module anew: half a second a start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-agents test-agents-short install-agents install-agents-short check format lint types contracts quick fix bench soak simulate check-long lock clean
.DELETE_ON_ERROR:

install: $(STAMP)
	@interpreter=$$(sed -n '1s/^#!//p' $(VENV)/bin/wg); \
	case "$$interpreter" in *" "*) broken="has a space in it" ;; *) broken= ;; esac; \
	[ $${#interpreter} -le 250 ] || broken="is too long"; \
	if [ -n "$$broken" ]; then \
		echo "make: $(VENV)/bin/wg can't be run: the path of $(VENV) $$broken, and the system can't start scripts from there." >&2; \
		echo "      Move this folder, or keep the environment elsewhere: make install VENV=/a/plain/path" >&2; exit 1; \
	fi; \
	if [ ! -x "$$interpreter" ] || [ ! -x $(VENV)/bin/wg ]; then \
		echo "make: $(VENV)/bin/wg can't be run: $$interpreter is gone (was this folder moved?)." >&2; \
		echo "      Make it anew: rm -r $(VENV) && make install" >&2; exit 1; \
	fi; \
	if [ -e workgraph/wg.py ] && ! said=$$($(VENV)/bin/wg --version 2>&1); then \
		printf '%s\n' "$$said" >&2; \
		echo "make: $(VENV)/bin/wg --version fails as shown. If the environment is broken: rm -r $(VENV) && make install" >&2; exit 1; \
	fi
	@[ ! -e workgraph/wg.py ] || $(VENV)/bin/python -m compileall -q workgraph

$(STAMP): pyproject.toml requirements/build.lock requirements/dev.lock bin/wg bin/wgd workgraph/__init__.py | $(VENV)/bin/python
	$(PIP) install --quiet --no-deps --require-hashes -r requirements/build.lock
	$(PIP) install --quiet --no-deps --require-hashes --no-build-isolation --use-pep517 -r requirements/dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@# setuptools has done its part, and its .pth file costs each start of `wg` a millisecond
	$(PIP) uninstall --quiet --yes setuptools
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is not Python 3.11 or later. Name one that is: make install PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

demo: install
	@PATH="$$(cd $(VENV)/bin && pwd):$$PATH" sh examples/repo-report/demo.sh "$(REPO)"

test: $(STAMP)
	$(PYTEST) -m "not agents and not long" $(ARGS)

check: format lint types contracts quick

format: $(STAMP)
	$(VENV)/bin/ruff format --check .

lint: $(STAMP)
	$(VENV)/bin/ruff check .

types: $(STAMP)
	$(VENV)/bin/mypy

contracts: $(STAMP)
	$(VENV)/bin/lint-imports

quick: $(STAMP)
	$(PYTEST) -m "not slow and not system and not agents and not long" $(ARGS)

fix: $(STAMP)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

# Real claude, codex, gemini and opencode against a stand-in for their APIs. The short form, which CI runs, has claude and codex.
install-agents: $(STAMP)
	@sh tests/agents_npm/install.sh $(AGENTS) "$(CURDIR)/$(VENV)/bin/python"

install-agents-short: $(STAMP)
	@sh tests/agents_npm/install.sh $(AGENTS) "$(CURDIR)/$(VENV)/bin/python" short

test-agents: install-agents
	WG_TEST_AGENTS=$(abspath $(AGENTS)) $(PYTEST) -m agents $(ARGS)

test-agents-short: install-agents-short
	WG_TEST_AGENTS=$(abspath $(AGENTS)) $(PYTEST) -m "agents and not long" $(ARGS)

bench: $(STAMP)
	$(VENV)/bin/python -m tests.bench $(ARGS)

soak: $(STAMP)
	$(VENV)/bin/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# A hundred seeds at a time, as many at once as there are processors; the first that fails is printed, and ends it.
simulate: $(STAMP)
	seq $(FIRST) 100 $$(($(FIRST) + $(SEEDS) - 1)) | xargs -P "$$(nproc)" -I@ sh -c \
		'$(VENV)/bin/python -m tests.engine.simulation 100 @ || exit 255'
	@echo "$(SEEDS) seeds from $(FIRST) on: every invariant held"

# Hours on a busy machine; docs/testing.md says how long each part takes.
check-long: check install-agents
	$(PYTEST) -m "not system and not agents and not long" --hypothesis-profile search $(ARGS)
	WG_TEST_AGENTS=$(abspath $(AGENTS)) $(PYTEST) -m "slow or system or agents or long" --rounds 5 $(ARGS)
	$(MAKE) simulate
	$(MAKE) soak MINUTES=5
	for python in python3.11 python3.12 python3.13; do \
		if $$python -c 'import ensurepip, venv' 2>/dev/null; then $(MAKE) quick PYTHON=$$python VENV=.venvs/$$python || exit 1; \
		else echo "$$python is not to be had here: its tests are left out"; fi; \
	done

# Newest versions that pyproject.toml allows, for every platform and Python from 3.11 on.
lock:
	$(PYTHON) -m venv .venvs/lock
	.venvs/lock/bin/python -m pip install --quiet --disable-pip-version-check $(LOCK_TOOL)
	$(LOCK) --upgrade --group dev --extra native pyproject.toml --output-file requirements/dev.lock
	$(LOCK) --upgrade --group build --constraints requirements/dev.lock --output-file requirements/build.lock

clean:
	rm -rf .venv .venvs .agents build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find workgraph tests examples -name __pycache__ -type d -prune -exec rm -rf {} +
