# SPDX-License-Identifier: Apache-2.0
"""A server that knows nothing of Thaw and does what servers do: loads slowly, streams, dies.

LOAD_S: it listens at once, and answers 503 until that many seconds have passed. DEAF=1: it does not
end when it is told to.
"""

import base64
import hashlib
import http.server
import json
import os
import signal
import threading
import time
import urllib.parse

loaded = threading.Event()
threading.Timer(float(os.environ.get("LOAD_S", "0")), loaded.set).start()
left = threading.Event()  # a reader of /endless has gone away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body_pieces(self):
        """As they come, whether their number is known or not."""
        if self.headers.get("transfer-encoding", "") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        rest = int(self.headers.get("content-length", "0"))
        while rest > 0:
            piece = self.rfile.read1(min(rest, 1 << 20))
            if not piece:
                return
            rest -= len(piece)
            yield piece

    def begin_pieces(self):
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def piece(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not loaded.is_set():
            list(self.body_pieces())
            return self.answer(b"loading", 503)
        act = getattr(self, "on_" + url.path.strip("/"), None)
        if act:
            return act(query)
        list(self.body_pieces())
        self.answer(f"{os.environ['GREETING']}, {self.command} {self.path}\n".encode())

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = handle_any

    def on_echo(self, query):
        """Sends back each piece of the body before it reads the next."""
        self.begin_pieces()
        for piece in self.body_pieces():
            self.piece(piece)
        self.piece(b"")

    def on_digest(self, query):
        digest, count = hashlib.sha256(), 0
        for piece in self.body_pieces():
            digest.update(piece)
            count += len(piece)
        self.answer(json.dumps({"sha256": digest.hexdigest(), "bytes": count}).encode())

    def on_environment(self, query):
        files = sorted(os.listdir("/srv"))
        body = json.dumps({"env": dict(os.environ), "files": files, "pid": os.getpid()})
        self.answer(body.encode(), content_type="application/json")

    def on_headers(self, query):
        self.answer(json.dumps(list(self.headers.items())).encode())

    def on_slow(self, query):
        body = b"".join(self.body_pieces())
        time.sleep(float(query.get("s", "1")))
        self.answer(b"slowly " + body, int(query.get("status", "200")))

    def on_endless(self, query):
        self.begin_pieces()
        try:
            while True:
                self.piece(b"tick\n")
                time.sleep(0.05)
        except OSError:
            left.set()
            self.close_connection = True

    def on_left(self, query):
        self.answer(b"yes" if left.is_set() else b"no")

    def on_die(self, query):
        print("dies now", flush=True)
        os._exit(3)

    def on_socket(self, query):
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", accept)
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return
            mask = self.rfile.read(4)  # frames of less than 126 bytes
            data = bytes(c ^ mask[i % 4] for i, c in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes([0x81, len(data)]) + data)

    def log_message(self, *_):
        pass


if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
