# The two commands to know: `make demo` shows what Anchorwatch does, `make test` tests it.
# Both need Python 3.11+ with pip, and install the rest themselves, pinned, below .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
VENV_WHEEL ?= $(VENV)-wheel
WORKERS ?= 2
ONCE ?=
LOCK := --generate-hashes --universal --no-emit-index-url --no-header --no-annotate --quiet

# Stamps stand for "installed from the locks as they are now"; the one for development holds all of the other.
DEV := $(VENV)/.installed-dev
RUNTIME := $(if $(wildcard $(DEV)),$(DEV),$(VENV)/.installed-runtime)
PARTS := $(VENV)/.installed-real-parts

# The part in C that reads spans faster: installing builds it where there is a compiler, and this when its source changed.
SCANNER := $(VENV)/bin/python -I monitor/traffic/lookout/scanner_building.py

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-12s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: $(RUNTIME) ## the whole story on this machine, without keys; ONCE=1 runs it to its end and exits
	@$(SCANNER) --if-possible
	$(VENV)/bin/anchorwatch demo $(if $(ONCE),--once)

.PHONY: setup
setup: $(DEV) ## everything for development, below .venv
	@$(SCANNER) --if-possible

.PHONY: test
test: $(DEV) $(PARTS) ## the tests, but for those that take minutes
	@$(SCANNER) --if-possible
	$(VENV)/bin/pytest -n $(WORKERS) -m "not slow"

.PHONY: test-slow
test-slow: $(DEV) $(PARTS) smollm ## the tests that take minutes, the real model's among them
	$(VENV)/bin/pytest -m slow

.PHONY: test-real
test-real: $(DEV) $(PARTS) smollm ## the tests that need real parts: a small LLM, Prometheus, helm
	$(VENV)/bin/pytest -m real

.PHONY: test-wheel
test-wheel: $(DEV) $(PARTS) ## on the wheel that we ship: its files, and the tests of what starts, serves and reads
	rm -rf dist
	ANCHORWATCH_NO_SCANNER=1 $(VENV)/bin/python -m build --wheel --no-isolation --outdir dist . >/dev/null
	scripts/install.sh $(VENV_WHEEL) requirements-dev.lock dist/*.whl
# PYTHONSAFEPATH: `python -m` in a test must not find this checkout before the wheel. This wheel is built without the scanner, so
# that traffic is read in pure Python here; what computes only is the same file in both, and was tested by `make test`.
	PYTHONSAFEPATH=1 ANCHORWATCH_EXPECT_WHEEL=1 $(VENV_WHEEL)/bin/pytest -n $(WORKERS) -m "not slow" \
	  -p no:cacheprovider tests/test_installed_package.py tests/daemon tests/demo tests/dashboards tests/docs tests/traffic

.PHONY: check
check: $(DEV) ## format, lint, types, imports
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

.PHONY: format
format: $(DEV) ## put the code into its shape
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

BENCHMARKS := false_pages honesty detection_delay deployment bursts tails ledger_speed proof_noise watch_noise recovery \
  silence releases storm harvest
.PHONY: bench
bench: $(DEV) ## the figures of docs/benchmarks.md
	for benchmark in $(BENCHMARKS); do $(VENV)/bin/python -m "benchmarks.$$benchmark"; done

.PHONY: lock
lock: $(DEV) ## pin anew what pyproject.toml asks for; UPGRADE=1 takes the newest versions
	$(VENV)/bin/uv pip compile pyproject.toml --group dev $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements-dev.lock
	$(VENV)/bin/uv pip compile pyproject.toml -c requirements-dev.lock $(LOCK) $(if $(UPGRADE),--upgrade) -o requirements.lock

.PHONY: scanner
scanner: $(RUNTIME) ## build the part in C that reads spans faster; needs a C compiler, and nothing needs it
	$(SCANNER)

.PHONY: smollm
smollm:
	scripts/serve-smollm.sh install

.PHONY: clean
clean: ## remove what was built, installed and cached here
	rm -rf $(VENV) $(VENV_WHEEL) .tools dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEV): requirements-dev.lock pyproject.toml scripts/install.sh
	scripts/install.sh $(VENV) requirements-dev.lock
	@touch $@

$(VENV)/.installed-runtime: requirements.lock pyproject.toml scripts/install.sh
	scripts/install.sh $(VENV) requirements.lock
	@touch $@

# Real servers and tools for the tests that want them; a test whose part is not there says so and is skipped.
$(PARTS): $(wildcard scripts/install-real-parts.sh scripts/get-helm.sh) | $(DEV)
	if [ -x scripts/install-real-parts.sh ]; then scripts/install-real-parts.sh; fi
	@touch $@
