"""A small load generator: some connections, each sending its next request when the last is answered."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

import numpy as np


@dataclass(frozen=True)
class Load:
    """seconds: of each answered request. wall: of all. wrong: answers other than 2xx."""

    seconds: np.ndarray
    wall: float
    wrong: int

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.seconds, percent) * 1000)


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"

    def raw(self, host: str) -> bytes:
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\nAccept: */*\r\n\r\n"
        )
        return head.encode() + self.body


def fire(address: str, calls: Sequence[Call], *, count: int, connections: int = 8) -> Load:
    """Sends `count` requests, the calls in turn."""
    return asyncio.run(_fire(address, calls, count, connections))


async def _fire(address: str, calls: Sequence[Call], count: int, connections: int) -> Load:
    where = urlsplit(address)
    requests = cycle([call.raw(where.netloc) for call in calls])
    left = iter(range(count))
    seconds: list[float] = []
    wrong = [0]
    began = time.perf_counter()
    await asyncio.gather(*(_one(where, requests, left, seconds, wrong) for _ in range(connections)))
    return Load(np.array(seconds), time.perf_counter() - began, wrong[0])


async def _one(where, requests: Iterator[bytes], left: Iterator[int], seconds: list[float], wrong: list[int]) -> None:
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    for _ in left:
        began = time.perf_counter()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        seconds.append(time.perf_counter() - began)
        wrong[0] += head[9:10] != b"2"
    writer.close()
