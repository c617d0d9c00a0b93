#!/usr/bin/env bash
# What the tests want of the system beside Python, where a package manager has it: a browser, PostgreSQL's programs,
# Prometheus and Alertmanager on Debian and Ubuntu, OpenMP on macOS. Tests of what is missing skip.
set -euo pipefail

case "$(uname -s)" in
  Linux)
    missing=()
    command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
    command -v prometheus-alertmanager >/dev/null && command -v amtool >/dev/null || missing+=(prometheus-alertmanager)
    if ((${#missing[@]})) && command -v apt-get >/dev/null; then
      sudo=""
      [ "$(id -u)" = 0 ] || sudo=sudo
      $sudo apt-get update -q
      # RUNLEVEL=1: Debian's packages would otherwise start their programs as services of the machine
      $sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
    elif ((${#missing[@]})); then
      echo "not installed, and no apt-get to do it: ${missing[*]}"
    fi
    ;;
  Darwin) brew install --quiet libomp ;;
  *) echo "Nothing to install here: tests of the page, of PostgreSQL and of Prometheus skip." ;;
esac
