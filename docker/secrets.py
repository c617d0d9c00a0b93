"""Makes what compose.yaml keeps secret, in .compose/, once: passwords, and keys of the service.

    python docker/secrets.py

What is there already stays, so this may be run before every start. Only the folder's owner can look into it; the files
themselves can be read by the users that the containers run as. Your own key, which may write, is in .compose/own-key.
"""

import secrets
from pathlib import Path

from windcast.serving import keys

FOLDER = Path(__file__).resolve().parents[1] / ".compose"
PASSWORDS = ("postgres-password", "grafana-password")
STORE = """[windcast]
host=postgres
dbname=windcast
user=windcast
password={password}
"""
# Alertmanager's ways to reach people: empty until you put your own in, and it says so when it cannot deliver.
EMPTY = ("windcast-smtp-password", "windcast-oncall-token")


def main() -> None:
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    for name in PASSWORDS:
        once(name, secrets.token_urlsafe(24))
    once("windcast-store", STORE.format(password=(FOLDER / "postgres-password").read_text()))
    for name in EMPTY:
        once(name, "")
    listed = FOLDER / "keys.json"
    for name, file, scopes in (
        ("prometheus", "windcast-metrics-key", ("read",)),
        ("own", "own-key", ("read", "write")),
    ):
        if not (FOLDER / file).exists():
            once(file, keys.add(listed, name, farms=["*"], scopes=scopes))
    listed.chmod(0o644)
    print(f"Secrets are in {FOLDER}; your key for the service is in {FOLDER / 'own-key'}.")


def once(name: str, content: str) -> None:
    file = FOLDER / name
    if not file.exists():
        file.write_text(content)
        file.chmod(0o644)


if __name__ == "__main__":
    main()
