# SPDX-License-Identifier: Apache-2.0
"""A job server of the push dialect: knows nothing of Thaw."""
import http.server
import json
import os
import signal
import socket
import time

PORT = int(os.environ["PORT"])


def has_door():
    """Whether somebody listens where programs of the poll dialect find their API."""
    try:
        socket.create_connection(("127.0.0.1", 9001), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def work(order, attempt):
    what = order["do"]
    if what == "square":
        return order["n"] ** 2
    if what == "who":
        return os.uname().nodename
    if what == "door":
        return has_door()
    if what == "sleep":
        time.sleep(order["s"])
        return attempt
    if what == "die" and attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "die":
        return attempt
    raise ValueError(what)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, {"state": "up", "path": self.path})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-type"] != "application/x-job+json":
            return self.answer(415, self.headers["content-type"])
        self.answer(200, work(json.loads(body), int(self.headers["thaw-attempt"])))

    def log_message(self, *arguments):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Handler).serve_forever()
