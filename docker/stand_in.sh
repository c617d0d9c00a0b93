#!/usr/bin/env bash
# For a machine without a container engine and without a registry in reach: Debian's podman, and a base image made of
# Debian packages. The base is a STAND-IN for python:3.11-slim-bookworm: the same Debian, but Debian's Python 3.11, so
# what is built on it shows that the images work, and is not to be published.
# Root on Debian or Ubuntu. Prints, last, the name of the base image; docker/containers.conf has the settings.
set -euo pipefail
cd "$(dirname "$0")"
BASE=localhost/windcast-base:bookworm

missing=()
for program in podman buildah debootstrap runc; do
  command -v "$program" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >&2
  apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
fi

if ! podman image exists "$BASE"; then
  root="$(mktemp -d)"
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root/base" >&2
  rm -rf "$root"/base/var/cache/apt/archives/*.deb "$root"/base/var/lib/apt/lists/*
  tar -C "$root/base" -c . | podman import --quiet - "$BASE" >&2
fi
echo "$BASE"
