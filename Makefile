# One virtual environment, made when first needed; every target below sets up what it uses.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo serve test test-pipeline check extras bench notebook images locks compose-secrets up clean

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
	$(BIN)/hadolint docker/*.Dockerfile

extras: $(VENV)/installed-extras  # PyTorch, MLflow and Optuna, and the tests that need them

test-pipeline: $(VENV)/installed-dvc
	$(BIN)/pytest tests/test_pipeline.py tests/test_pipeline_dvc.py tests/test_pipeline_remotes.py

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py $(NAME)

# The images, built and then run by their tests: docs/containers.md. STAND_IN=1 where no registry can be reached,
# TWICE=1 to see that they come out the same.
images: $(VENV)/installed-dev
	PYTHON=$(BIN)/python docker/images.sh

locks: $(VENV)/installed-dev  # what the images install; PyTorch's CPU wheels are found with TORCH_CPU
	UV=$(BIN)/uv docker/locks.sh

compose-secrets: $(VENV)/installed
	$(BIN)/python docker/secrets.py

up: compose-secrets demo images  # the whole system on this machine
	docker compose up --detach --wait

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

clean:
	rm -rf $(VENV) demo runs .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage
