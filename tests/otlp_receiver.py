"""A collector in the test's own process: takes spans by OTLP over HTTP and keeps them."""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Got:
    """A span as it came in."""

    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    service: str
    instance: str
    failed: bool
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, object]


class Receiver:
    """Listens on a free port of this machine; ``spans`` are those that have come in, in order."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.spans: list[Got] = []
        self.calls = 0
        self._slow = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
                receiver.calls += 1
                receiver._slow.wait(delay_s)
                receiver.take(body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = {a.key: a.value.string_value for a in group.resource.attributes}
            for scope in group.scope_spans:
                for s in scope.spans:
                    values = {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in s.attributes}
                    self.spans.append(
                        Got(
                            name=s.name, trace=s.trace_id.hex(), id=s.span_id.hex(), parent=s.parent_span_id.hex(),
                            start_ns=s.start_time_unix_nano, end_ns=s.end_time_unix_nano,
                            service=about["service.name"], instance=about["service.instance.id"],
                            failed=s.status.code == 2,
                            links=tuple((x.trace_id.hex(), x.span_id.hex()) for x in s.links), attributes=values,
                        )
                    )  # fmt: skip

    def traces(self) -> dict[str, list[Got]]:
        found: dict[str, list[Got]] = defaultdict(list)
        for span in self.spans:
            found[span.trace].append(span)
        return found

    def close(self) -> None:
        self._slow.set()
        self._server.shutdown()
        self._server.server_close()
