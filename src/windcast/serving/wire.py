"""What is guarded before a request is one: how long its head may be, in bytes and in time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 64 * 1024  # bytes of a request's line and headers, and what of its body came with their end
HEAD_SECONDS = 30.0


class Wire(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it; without these bounds one connection could fill the memory with a header."""

    head = 0
    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.late is None or self.transport.is_closing():
            return
        self.head += len(data)
        if self.head > MOST_HEAD:
            self.send_400_response(f"The head of the request is longer than {MOST_HEAD // 1024} kB.")

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_came()
        self.head = 0
        self.late = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _head_came(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None

    def _too_late(self) -> None:
        if not self.transport.is_closing():
            self.send_400_response(f"The head of the request did not come within {HEAD_SECONDS:g} s.")
