#!/usr/bin/env bash
# What the tests and LightGBM want of a fresh runner: a browser and PostgreSQL's programs on Linux, OpenMP on macOS.
set -euo pipefail

case "$(uname -s)" in
  Linux)
    missing=()
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    if ((${#missing[@]})); then
      sudo apt-get update -q
      sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
    fi
    ;;
  Darwin) brew install --quiet libomp ;;
  *) echo "Nothing to install here: tests of the page and of PostgreSQL skip." ;;
esac
