# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 client made of bytes, for what no library would send, and for readers that stall."""

import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10))
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_STREAMS, INITIAL_WINDOW = 3, 4
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 7, 8, 11


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def message(payload, compressed=0):
    return struct.pack(">BI", compressed, len(payload)) + payload


class Peer:
    def __init__(self, server, settings=(), greet=True, unix=False):
        if unix:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(20)
            self.sock.connect(server.socket)
        else:
            self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 20
        self.buffer = b""
        self.next_stream = 1
        if greet:
            packed = b"".join(struct.pack(">HI", *setting) for setting in settings)
            self.send(PREFACE + frame(SETTINGS, payload=packed))

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def head(self, path, *more, method="POST", grpc=True):
        fields = [(":method", method), (":scheme", "http"), (":path", path),
                  (":authority", "test")]
        if grpc:
            fields += [("content-type", "application/grpc"), ("te", "trailers")]
        return self.encoder.encode([*fields, *more])

    def begin(self, path, *more, end=False, **options):
        stream = self.next_stream
        self.next_stream += 2
        flags = END_HEADERS | (END_STREAM if end else 0)
        self.send(frame(HEADERS, flags, stream, self.head(path, *more, **options)))
        return stream

    def call(self, path, payload, *more):
        stream = self.begin(path, *more)
        self.send(frame(DATA, END_STREAM, stream, message(payload)))
        return stream

    def read(self):
        """The next frame: kind, flags, stream, payload; None when the server has closed."""
        while True:
            if len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) >= 9 + size:
                    kind, flags = self.buffer[3], self.buffer[4]
                    stream = int.from_bytes(self.buffer[5:9], "big")
                    payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                    return kind, flags, stream, payload
            try:
                piece = self.sock.recv(1 << 16)
            except ConnectionError:
                return None
            if not piece:
                return None
            self.buffer += piece

    def answer(self, stream):
        """Reads to the end of `stream`: its header fields and its data, or its reset's code."""
        fields, data = {}, b""
        while True:
            got = self.read()
            if got is None:
                raise EOFError("the server closed")
            kind, flags, of, payload = got
            if kind == HEADERS:
                decoded = dict(self.decoder.decode(payload))
                if of == stream:
                    fields |= decoded
            if of != stream:
                continue
            if kind == RST_STREAM:
                return fields, data, int.from_bytes(payload, "big")
            if kind == DATA:
                data += payload
            if flags & END_STREAM and kind in (DATA, HEADERS):
                return fields, data, None

    def goodbye(self):
        """Reads to the close; the code of the GOAWAY before it, or None."""
        code = None
        while (got := self.read()) is not None:
            if got[0] == GOAWAY:
                code = int.from_bytes(got[3][4:8], "big")
        return code

    def abort(self):
        """Ends the connection as a process that was killed does, with bytes unread: by a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def flood(self, data, times):
        """Sends until the server has had enough; True if it has."""
        self.sock.settimeout(5)
        try:
            for _ in range(times):
                self.sock.sendall(data)
        except (ConnectionError, TimeoutError):
            return True
        return False

    def wait_closed(self, seconds=10):
        end = time.monotonic() + seconds
        while self.read() is not None:
            if time.monotonic() > end:
                raise AssertionError("the server has not closed")
