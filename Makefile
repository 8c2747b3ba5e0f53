# Everything from nothing: python3, pip and make are enough. `make help` lists what there is.
PYTHON ?= python3
TOOLS := .tools
VENV := .venv
BIN := $(VENV)/bin
UV := $(TOOLS)/bin/uv
STAMP := $(VENV)/.installed
PYTEST_ARGS ?=
# The tests start hundreds of processes: compile the libraries once, not once a process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: demo test test-cluster lint types docs lock clean help

demo: $(STAMP) ## paint three slides, count their blasts, show where the pictures are
	@$(BIN)/wsi-patches demo -o demo-out --overwrite

test: $(STAMP) ## run every test that needs no cluster and no GPU
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "not gpu and not cluster and not network" $(PYTEST_ARGS)

test-cluster: $(STAMP) ## run the tests that need a scheduler; installs SLURM by apt where that is possible
	@command -v slurmd > /dev/null || (apt-get update -q && apt-get install -qy slurm-wlm munge) \
		|| echo "SLURM is not installed and apt-get cannot: its tests are skipped"
	@$(BIN)/python -m pytest -m "cluster or slurm" tests/cluster $(PYTEST_ARGS)

lint: $(STAMP) types ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(STAMP) ## mypy --strict on the package
	@$(BIN)/mypy

docs: $(STAMP) ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lock: $(UV) ## write constraints.txt anew from pyproject.toml
	@$(UV) lock
	@$(UV) export -q --all-groups --all-extras --no-hashes --no-header --no-annotate --no-emit-project -o constraints.txt
	@rm -f uv.lock

clean: ## remove the environments and everything that was made
	rm -rf $(TOOLS) $(VENV) demo-out site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(UV):
	@echo "Setting up uv in $(TOOLS)"
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/pip install -q --disable-pip-version-check uv==0.13.8

$(STAMP): pyproject.toml constraints.txt | $(UV)
	@echo "Setting up the project in $(VENV) (about half a minute)"
	@$(UV) venv -q --clear -p $(PYTHON) $(VENV)
	@$(UV) pip install -q -p $(BIN)/python -e '.[train,cluster,s3]' --group dev -c constraints.txt
	@touch $@
