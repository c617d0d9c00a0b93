# One virtual environment, made when first needed; every target below sets up what it uses.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo serve test test-pipeline check extras infra bench notebook clean

demo: $(VENV)/installed
	$(BIN)/windcast demo

serve: $(VENV)/installed
	$(BIN)/windcast serve

test: $(VENV)/installed-dev
	$(BIN)/pytest -n auto --dist loadfile --cov $(if $(COVER),--cov-report= --cov-fail-under=$(COVER),--cov-report=term)

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

extras: $(VENV)/installed-extras  # PyTorch, MLflow and Optuna, and the tests that need them

test-pipeline: $(VENV)/installed-dvc
	$(BIN)/pytest tests/test_pipeline.py tests/test_pipeline_dvc.py tests/test_pipeline_remotes.py

infra: $(VENV)/installed-dev $(VENV)-infra/installed  # Terraform, as far as it can be checked without an account
	PYTHON=$(BIN)/python CHECKOV=$(VENV)-infra/bin/checkov infra/check.sh

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py $(NAME)

notebook: $(VENV)/installed-dev
	$(BIN)/jupyter execute --inplace notebooks/windcast.ipynb

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[serve]"
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,notebook,serve]"
	touch $(VENV)/installed $@

$(VENV)/installed-extras: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[deep,sweep,track]"
	touch $@

$(VENV)/installed-dvc: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dvc-test]"
	touch $@

$(VENV)-infra/installed: infra/checks/requirements.txt
	$(PYTHON) -m venv $(VENV)-infra
	$(VENV)-infra/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-infra demo runs .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage
