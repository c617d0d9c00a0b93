#!/usr/bin/env bash
# Builds the serving and the training image and runs their tests. $STAND_IN: first makes what a machine without an
# engine and a registry lacks. $TWICE: builds the serving image a second time, for the test that compares both.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -n "${STAND_IN:-}" ]; then
  export STAND_IN CONTAINERS_CONF="$PWD/docker/containers.conf" STORAGE_DRIVER=vfs ENGINE=podman TORCH_INDEX=
  BASE="$(docker/stand_in.sh)"
  export BASE
fi
"$PYTHON" docker/build.py serve train
if [ -n "${TWICE:-}" ]; then
  SUFFIX=-again "$PYTHON" docker/build.py serve
fi
WINDCAST_IMAGES=1 "$PYTHON" -m pytest tests/delivery/test_images.py
