#!/usr/bin/env bash
# What the training job runs: the branch as it is now, and in it scripts/delivery/train_job.py, which trains a
# challenger and leaves it in the bucket. A workflow names its run in WINDCAST_RUN, and judges it itself; what the
# schedule started is judged here.
# Wants git, dvc (with gs) and windcast, and WINDCAST_SOURCE, WINDCAST_BRANCH, WINDCAST_DATA.
set -euo pipefail

export WINDCAST_MODELS="${WINDCAST_MODELS:-/models}"
models="$WINDCAST_MODELS/registry"
scheduled=""
if [ -z "${WINDCAST_RUN:-}" ]; then
  scheduled=yes
  WINDCAST_RUN="$(date +%s)-0"
  export WINDCAST_RUN
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

git clone --quiet --depth 1 --branch "$WINDCAST_BRANCH" "$WINDCAST_SOURCE" "$work/farm"
cd "$work/farm"
python scripts/delivery/train_job.py
if [ -z "$scheduled" ]; then
  exit 0
fi

# The registry is judged on a disk of its own: MLflow's database and its lock do not work on a mounted bucket.
registry="$work/registry"
mkdir -p "$models" "$registry"
cp -R "$models/." "$registry/"
pointers() { (cd "$1" && find . -name champion.json -exec sha256sum {} + | sort); }
before="$(pointers "$models")"

verdict=0
windcast promote results/challenger --registry "$registry" || verdict=$?
if [ "$verdict" -gt 1 ]; then # 1: judged, and not better
  exit "$verdict"
fi

if [ "$(pointers "$models")" != "$before" ]; then
  echo "the champion was moved by someone else during this run; nothing was written. Run the job again." >&2
  exit 3
fi

# The pointer last: whoever reads it finds the bundle that it names.
write() {
  if ! cmp -s "$registry/$1" "$models/$1"; then
    mkdir -p "$(dirname "$models/$1")"
    cp "$registry/$1" "$models/$1"
  fi
}
cd "$registry"
find . -type f ! -name champion.json ! -name 'lock*' -print0 | while IFS= read -r -d '' file; do write "$file"; done
find . -type f -name champion.json -print0 | while IFS= read -r -d '' file; do write "$file"; done
