"""The streams of CRI's Exec, Attach and PortForward, as kubectl has them: WebSocket, protocol v4.channel.k8s.io.

Each message begins with the number of its channel. (kubectl itself speaks SPDY on older clusters; the plug-in answers
both.)
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from collections import defaultdict
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.harness.patience import PATIENCE
from tests.harness.process import HarnessError

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
# Of a forwarded port.
DATA, PORT_ERROR = range(2)
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_FINAL = _MASKED = 0x80


class Stream:
    """One connection to the plug-in's streaming server. Use as a context manager."""

    def __init__(self, url: str) -> None:
        self.received: defaultdict[int, bytes] = defaultdict(bytes)
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
        self._reader = self._socket.makefile("rb")
        request = (
            f"GET {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            f"Origin: http://{parts.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Protocol: v4.channel.k8s.io",
        )
        self._socket.sendall(("\r\n".join(request) + "\r\n\r\n").encode())
        status = self._reader.readline()
        if b" 101 " not in status:
            raise HarnessError(f"{url}: {status!r}")
        while self._reader.readline().strip():
            pass

    def send(self, data: bytes, *, channel: int = STDIN) -> None:
        self._send_frame(_BINARY, bytes([channel]) + data)

    def expect(self, text: bytes, *, channel: int = STDOUT) -> None:
        """Read until the channel has shown the text."""
        while text not in self.received[channel]:
            if not self._receive():
                raise AssertionError(f"the stream never showed {text!r}; it showed {dict(self.received)!r}")

    def status(self) -> dict[str, Any]:
        """Read to the end: the Status (of Kubernetes' API) on the error channel."""
        while self._receive():
            pass
        found: dict[str, Any] = json.loads(self.received[ERROR])
        return found

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _receive(self) -> bool:
        """One frame; False at the end."""
        head = self._reader.read(2)
        if len(head) < 2:
            return False
        kind, size = head[0] & 0x0F, head[1] & 0x7F
        if size >= 126:
            form = ">H" if size == 126 else ">Q"
            (size,) = struct.unpack(form, self._reader.read(struct.calcsize(form)))
        payload = self._reader.read(size)
        if kind == _PING:
            self._send_frame(_PONG, payload)
        elif kind == _BINARY and payload:
            self.received[payload[0]] += payload[1:]
        return kind != _CLOSE

    def _send_frame(self, kind: int, payload: bytes) -> None:
        """A client's frames are masked; a mask of zeros leaves them as they are. Ours are short."""
        assert len(payload) < 126
        self._socket.sendall(bytes([_FINAL | kind, _MASKED | len(payload)]) + bytes(4) + payload)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
