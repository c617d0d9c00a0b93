"""HTTP by hand: requests that no client library would send."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

SECONDS = 20  # a deadline, never a wait


def connected(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=SECONDS)


def exchanged(address: str, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to these bytes; the connection is closed then."""
    with connected(address) as wire:
        wire.sendall(sent)
        return answered(wire)


def answered(wire: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer. Raises ConnectionError where the connection ends before it."""
    file = wire.makefile("rb")
    line = file.readline()
    if not line:
        raise ConnectionError("closed without an answer")
    status = int(line.split()[1])
    headers = {}
    while (line := file.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return status, headers, file.read(int(headers.get("content-length", 0)))


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def lines_of(text: str) -> list[dict[str, Any]]:
    """The lines of a log. Raises AssertionError where one is not JSON."""
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            raise AssertionError(f"a line of the log is not JSON: {line!r}") from None
    return found
