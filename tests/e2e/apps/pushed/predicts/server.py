# SPDX-License-Identifier: Apache-2.0
"""Answers as the server in an image of cog does: setup takes a while, and 200 says nothing."""

import http.server
import json
import threading

ready = threading.Event()
threading.Timer(1, ready.set).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({"status": "READY" if ready.is_set() else "STARTING"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        if self.path != "/predictions" or not ready.is_set():
            return self.answer({"detail": "not here, or not yet"}, 503)
        self.answer({"status": "succeeded", "output": asked["input"]["text"].upper()})

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", 5000), Handler).serve_forever()
