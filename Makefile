# One virtual environment, made when first needed; every target below sets up what it uses.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo serve test test-pipeline check extras bench notebook monitoring clean

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

monitoring: $(VENV)/installed-monitoring  # rules, routes and dashboards, and all of it live: faults put in, alerts seen
	scripts/prometheus_programs
	promtool check rules monitoring/rules/*.yml
	promtool test rules monitoring/tests/*.yml
	promtool check config --syntax-only monitoring/prometheus.yml
	amtool check-config monitoring/alertmanager.yml
	$(BIN)/pytest tests/delivery/test_monitoring_rules.py tests/delivery/test_dashboards.py \
	  tests/delivery/test_monitoring_live.py tests/serving/test_metrics.py

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

$(VENV)/installed-monitoring: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,serve,monitoring]"
	touch $@

$(VENV)/installed-dvc: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dvc-test]"
	touch $@

clean:
	rm -rf $(VENV) demo runs .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage
