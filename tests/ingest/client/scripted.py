"""A server that answers as it is told, and keeps what it was sent: for the answers that a good one gives rarely."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TAKE = object()
CUT = object()
"""The connection ends in the middle of a good answer."""
WAIT_S_MAX = 60


class Scripted:
    """`answers` are given one by one, then all is taken; an answer is (status, headers, body), TAKE or CUT."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []
        self.times = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                script.bodies.append(body)
                script.times.append(time.monotonic())
                answer = script.answers.pop(0) if script.answers else TAKE
                taken = json.dumps({"events_created_count": len(json.loads(body)), "events_failed": []}).encode()
                status, headers, content = (201, {}, taken) if answer in (TAKE, CUT) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[:5] if answer is CUT else content)
                self.close_connection = answer is CUT

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(WAIT_S_MAX)

    def ids(self):
        """The ids of the events of each request."""
        return [[event["record"]["id"] for event in json.loads(body)] for body in self.bodies]


def refusal(status, *, message="no", headers=None):
    """An answer in the server's own error shape."""
    return status, headers or {}, json.dumps({"message": message, "errors": []}).encode()
