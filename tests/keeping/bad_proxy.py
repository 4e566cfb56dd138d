"""An HTTP proxy in front of a real object store that spoils what a test asks it to."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

#: Given (method, path, number of the request), what to do: ``500``, ``cut``, ``hang``, ``flip`` (alter a byte
#: of the request's body), ``flip-answer``, ``short`` (the answer ends early); empty: nothing.
Fault = Callable[[str, str, int], str]


class BadProxy:
    """Listens on 127.0.0.1; started on entry. ``seen``: (method, path, fault) of each request."""

    def __init__(self, port: int, fault: Fault = lambda *_: "") -> None:
        self.fault = fault
        self.seen: list[tuple[str, str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def _pass(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                if self.headers.get("Expect", "").lower() == "100-continue":
                    self.send_response_only(100)
                    self.end_headers()
                body = self.rfile.read(size)
                fault = proxy.fault(self.command, self.path, len(proxy.seen))
                proxy.seen.append((self.command, self.path, fault))
                if fault == "500":
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if fault in {"cut", "hang"}:
                    if fault == "hang":
                        threading.Event().wait(0.8)
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if fault == "flip" and body:
                    body = bytes([body[0] ^ 1]) + body[1:]
                self._forward(port, body, fault)

            def _forward(self, port: int, body: bytes, fault: str) -> None:
                onward = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
                onward.request(self.command, self.path, body or None, headers)
                answer = onward.getresponse()
                data = answer.read()
                if fault == "flip-answer" and data:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                self.send_response(answer.status)
                length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(data))
                for name, value in answer.headers.items():
                    if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                if self.command == "HEAD":
                    return
                if fault == "short":
                    self.wfile.write(data[: len(data) // 2])
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - as the server wants them

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> BadProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown()
        self._server.server_close()
