"""A gcloud for tests: a program on PATH that notes how it was called and answers as a small cloud of files would.

The cloud is a folder: `traffic.json` is the service's traffic, `requests.json` its request log by revision, `bucket/`
the buckets, `executions.json` the job's executions, `fail.txt` a word: a call that has it fails.
"""

import json
import shutil
import sys
from pathlib import Path

CLOUD = Path(__file__).parent


def load(name: str, otherwise: object) -> object:
    file = CLOUD / name
    return json.loads(file.read_text()) if file.exists() else otherwise


def store(name: str, value: object) -> None:
    (CLOUD / name).write_text(json.dumps(value))


def option(words: list[str], name: str) -> str:
    return next((word.partition("=")[2] for word in words if word.startswith(f"--{name}=")), "")


def in_bucket(address: str) -> Path:
    return CLOUD / "bucket" / address.removeprefix("gs://")


def run(words: list[str]) -> int:
    traffic = load("traffic.json", [])
    match words:
        case ["run", "services", "describe", _, *_]:
            print(json.dumps({"status": {"traffic": traffic}}))
        case ["run", "deploy", service, *rest]:
            revision = f"{service}-{option(rest, 'revision-suffix')}"
            tagged = {
                "revisionName": revision,
                "percent": 0,
                "tag": option(rest, "tag"),
                "url": load("address.json", ""),
            }
            store("traffic.json", [*traffic, tagged])
        case ["run", "services", "update-traffic", _, change, *_] if change.startswith("--to-revisions="):
            shares = dict(pair.split("=") for pair in change.partition("=")[2].split(","))
            known = [one for one in traffic if one["revisionName"] in shares or one.get("tag")]
            store("traffic.json", [one | {"percent": int(shares.get(one["revisionName"], 0))} for one in known])
        case ["run", "services", "update-traffic", *_]:
            plain = [{key: value for key, value in one.items() if key not in ("tag", "url")} for one in traffic]
            store("traffic.json", [one for one in plain if one["percent"]])
        case ["logging", "read", query, *_]:
            logged = load("requests.json", {})
            found = next((logged[name] for name in logged if f'revision_name="{name}"' in query), [])
            print(json.dumps([{"httpRequest": one} for one in found]))
        case ["storage", "cat", address, *_]:
            if not in_bucket(address).is_file():
                print(f"ERROR: {address} matched no objects", file=sys.stderr)
                return 1
            print(in_bucket(address).read_text(), end="")
        case ["storage", "ls", address, *_]:
            place = CLOUD / "bucket"
            found = sorted(place.glob(address.removeprefix("gs://")))
            if not found:
                print("ERROR: One or more URLs matched no objects.", file=sys.stderr)
                return 1
            print("\n".join(f"gs://{file.relative_to(place).as_posix()}" for file in found))
        case ["storage", "cp", "--recursive", source, target, *_]:
            shutil.copytree(in_bucket(source), in_bucket(target) / Path(source).name)
        case ["storage", "cp", source, target, *_]:
            in_bucket(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(in_bucket(source), in_bucket(target))
        case ["artifacts", *_]:
            print("sha256:" + "ab" * 32)
        case ["secrets", *_]:
            print("wc_secret")
        case ["run", "jobs", "execute", job, *rest]:
            values = dict(pair.split("=", 1) for pair in option(rest, "update-env-vars").split(","))
            container = {"env": [{"name": name, "value": value} for name, value in values.items()]}
            made = {"metadata": {"name": f"{job}-x1"}, "spec": {"template": {"spec": {"containers": [container]}}}}
            store("executions.json", [*load("executions.json", []), made])
            print(json.dumps(made))
        case ["run", "jobs", "executions", "describe", name, *_]:
            (found,) = (one for one in load("executions.json", []) if one["metadata"]["name"] == name)
            print(json.dumps(found | {"status": load("status.json", {})}))
        case ["run", "jobs", "executions", "list", *_]:
            print(json.dumps(load("executions.json", [])))
        case ["run", "jobs", "executions", "cancel", name, *_]:
            left = [one for one in load("executions.json", []) if one["metadata"]["name"] != name]
            store("executions.json", left)
        case _:
            print(f"ERROR: the fake does not know: {words}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    asked = sys.argv[1:]
    with (CLOUD / "calls.jsonl").open("a") as log:
        log.write(json.dumps(asked) + "\n")
    broken = (CLOUD / "fail.txt").read_text() if (CLOUD / "fail.txt").exists() else ""
    if broken and broken in " ".join(asked):
        print("ERROR: it is broken", file=sys.stderr)
        raise SystemExit(1)
    raise SystemExit(run(asked))
