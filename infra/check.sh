#!/usr/bin/env bash
# Everything that can be said of these files without an account (make infra). What is not installed is named, left out.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${PYTHON:=python3}" "${CHECKOV:=checkov}"

if command -v terraform >/dev/null; then
  terraform fmt -check -diff -recursive infra
else
  echo "terraform is not installed: the form of the files is not checked" >&2
fi

"$PYTHON" -m infra.checks

if command -v npm >/dev/null; then
  "$PYTHON" -m infra.checks.provider --check
else
  echo "npm is not installed: checks/provider.json is not compared with the package it was made from" >&2
fi

# Its own parser of HCL has the same name as ours.
env -u PYTHONPATH "$CHECKOV" --directory infra --framework terraform --compact --quiet --skip-download

"$PYTHON" -m pytest -q tests/delivery/test_infra_*.py
