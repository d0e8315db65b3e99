# SPDX-License-Identifier: Apache-2.0
"""Knows nothing of Thaw. It listens before it has loaded, and answers 503 until then."""

import http.server
import os
import signal
import sys
import threading

loaded = threading.Event()
threading.Timer(0.5, loaded.set).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if loaded.is_set() else 503, b"GET " + self.path.encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/die":
            os._exit(3)
        attempt = self.headers.get("thaw-attempt", "none").encode()
        text = body + b" at attempt " + attempt + b" by %d" % os.getuid()
        self.answer(200 if loaded.is_set() else 503, text)

    def log_message(self, *_):
        pass


def leave(*_):
    print("told to end", flush=True)
    os._exit(0)


signal.signal(signal.SIGTERM, leave)
port = int(os.environ["PORT"])
print("listens on", port, "with", sys.argv[1:], flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
