# Every command of the project. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
MANAGE := $(PYTHON) manage.py
# More for pytest, as in: make test PYTEST="-k retry -x"
PYTEST ?=
# More for the chaos suite, as in: make chaos CHAOS="--seed 7 --faults 50"
CHAOS ?=
# More for the benchmark, as in: make bench BENCH="--systems ours,celery --only drain"
BENCH ?=

.PHONY: help demo up test check format bench chaos lock stop clean distclean runtime development

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: runtime ## Fill a database with demo data, and show the service at work
	@$(MANAGE) demo

up: runtime ## Run site, workers, beat and Flower, with demo data, until Ctrl-C
	@$(MANAGE) demo --if-missing && exec $(MANAGE) stack

test: development check ## Everything the CI does: all checks, then all tests
	@$(PYTHON) -m scripts.run_tests $(PYTEST)

check: development ## Format, lint, types, import rules, Django's checks, missing migrations
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m mypy .
	@.venv/bin/lint-imports
	@$(MANAGE) check
	@$(MANAGE) makemigrations --check --dry-run

format: development ## Format the code and mend what can be mended by itself
	@$(PYTHON) -m ruff format .
	@$(PYTHON) -m ruff check --fix .

bench: runtime ## Measure the engine beside its peers, on servers of its own (25 min)
	@$(PYTHON) -m benchmarks $(BENCH)

chaos: development ## Kill, freeze, restart and flush everything under 2000 jobs, and count (10 min)
	@$(PYTHON) -m tests.chaos $(CHAOS)

lock: ## Pin the newest versions of all packages, with hashes (needs uv)
	@for set in requirements requirements-dev; do \
	  uv pip compile --quiet --upgrade --python-version 3.11 --universal --generate-hashes \
	    --no-emit-index-url $$set.in -o $$set.txt || exit 1; done

stop: ## Stop embedded servers that a killed command left running
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m embedded stop; fi

clean: ## Stop the embedded servers; delete their data, the files kept, and all caches
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m embedded clean; else rm -rf .data; fi
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Delete the virtual environment, too
	@rm -rf .venv

# What the service needs to run: pinned packages, and the libraries that make PDFs.
runtime:
	@scripts/environment.sh requirements.txt
	@scripts/system_packages.sh

# What its developers need on top: test and type-checking tools, and a browser.
development:
	@scripts/environment.sh requirements-dev.txt
	@scripts/system_packages.sh test
