# SPDX-License-Identifier: Apache-2.0
"""What the tests of net/ share: the echo server as a process, raw sockets, a plain HTTP reader.

With NET_TLS=1 in the environment the same tests go over TLS.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from tls_peer import TlsSocket

OVER_TLS = os.environ.get("NET_TLS") == "1"


class EchoServer:
    """One http_echo_server; it ends when its stdin is closed."""

    def __init__(self, *arguments):
        self.folder = tempfile.TemporaryDirectory(prefix="thaw-net-")
        if OVER_TLS:
            arguments += ("--tls", self.folder.name)
        self.process = subprocess.Popen(
            [sys.argv[1], *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("port "):
            raise RuntimeError("the echo server has not started: " + repr(line))
        self.port = int(line.split()[1])

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        self.folder.cleanup()
        return code

    def drain(self):
        """Starts a drain; drained() tells when it is over."""
        self.process.stdin.write("drain\n")
        self.process.stdin.flush()

    def drained(self):
        return self.process.stdout.readline() == "drained\n"

    def connect(self, timeout=20):
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return TlsSocket(peer, self.folder.name + "/authority.pem") if OVER_TLS else peer

    def tell(self):
        with Peer(self.connect()) as peer:
            return json.loads(peer.ask("/tell").body)


    def memory_is_bounded(self):
        """A sanitizer holds back what is freed; without one, less than 100 MB."""
        told = self.tell()
        return told["rss_kib"] < (600_000 if told["sanitized"] else 100_000)


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body


class Peer:
    """A client that sends what it is told and reads answers byte-exactly."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def reset(self):
        """Goes away without a word, and without what is still on its way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        getattr(self.sock, "cut", self.sock.close)()

    def more(self):
        piece = self.sock.recv(65536)
        self.buffer += piece
        return bool(piece)

    def at_end(self):
        """True if the server has closed and nothing is left."""
        try:
            return not self.buffer and not self.more()
        except ConnectionResetError:
            return True

    def exactly(self, count):
        data = bytearray(self.buffer[:count])
        self.buffer = self.buffer[count:]
        while len(data) < count:
            piece = self.sock.recv(min(1 << 20, count - len(data)))
            if not piece:
                raise EOFError("the server closed")
            data += piece
        return bytes(data)

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.more():
                raise EOFError("the server closed; left: %r" % self.buffer[:200])
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def head(self):
        version, status, _ = self.line().split(" ", 2)
        assert version == "HTTP/1.1", version
        headers = {}
        while line := self.line():
            name, value = line.split(": ", 1)
            headers[name] = value
        return int(status), headers

    def chunk(self):
        size = int(self.line(), 16)
        data = self.exactly(size)
        assert self.line() == ""
        return data

    def answer(self, method="GET"):
        status, headers = self.head()
        if method == "HEAD" or status in (204, 304) or status < 200:
            body = b""
        elif "content-length" in headers:
            body = self.exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while piece := self.chunk():
                body += piece
        else:
            while self.more():
                pass
            body, self.buffer = self.buffer, b""
        return Answer(status, headers, body)

    def ask(self, target, method="GET", headers="", body=b""):
        if isinstance(body, str):
            body = body.encode()
        if body or method in ("POST", "PUT"):
            headers += "content-length: %d\r\n" % len(body)
        self.send(("%s %s HTTP/1.1\r\nhost: test\r\n%s\r\n" % (method, target, headers)).encode()
                  + body)
        return self.answer(method)


def eventually(condition, seconds=20):
    """Waits for what another process does; the deadline only ends a broken test."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it has not happened within %d s" % seconds)
        time.sleep(0.01)


def main():
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
