#!/usr/bin/env bash
# Writes the lock files from pyproject.toml: exact versions, with the hashes of every file, of what the images install.
# $UV: the program. $TORCH_CPU: where uv finds PyTorch's CPU wheels, as options.
set -euo pipefail
cd "$(dirname "$0")/.."
read -ra torch_cpu <<<"${TORCH_CPU:---torch-backend cpu}"

lock() {
  "${UV:-uv}" pip compile --quiet --no-config --upgrade --generate-hashes --no-annotate --no-header \
    --python-version 3.11 "$@"
}
training=(--python-platform x86_64-unknown-linux-gnu --extra deep --extra sweep --extra track --extra dvc-gs)

lock --universal docker/build.in -o docker/build.lock
lock --universal --extra serve pyproject.toml -o docker/serve.lock
lock "${training[@]}" pyproject.toml -o docker/train-gpu.lock
lock "${training[@]}" "${torch_cpu[@]}" --no-emit-package torch pyproject.toml -o docker/train.lock
