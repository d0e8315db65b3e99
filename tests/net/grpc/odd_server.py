# SPDX-License-Identifier: Apache-2.0
"""A gRPC server made of frames, for answers that no library would give; and a client to ask it.

Importing it puts tools/container under grpclib, for channels that say `is_ours`.
"""

import asyncio
import faulthandler
import struct
import sys
import tempfile
import unittest

from grpc_testing import SERVICE, Answer, Ask, root

import grpclib.client
import hpack
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.config import Configuration
from raw_http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE,
                       RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, message)

sys.path.insert(0, str(root / "tools/container"))

import thaw_rpc  # noqa: E402

is_ours = thaw_rpc.is_ours
thaw_rpc.is_ours = lambda channel: getattr(channel, "is_ours", False)
assert thaw_rpc.replace_in(grpclib.client)


class Peer:
    """The server's side of one connection, frame by frame."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.decoder, self.encoder = hpack.Decoder(), hpack.Encoder()
        self.heads, self.bodies = {}, {}
        self.resets, self.updates = {}, {}
        self.whole_ones = []  # requests that have come and nobody has asked for

    async def greet(self, *settings):
        self.send(frame(SETTINGS, payload=b"".join(struct.pack(">HL", *one) for one in settings)))
        assert await self.reader.readexactly(len(PREFACE)) == PREFACE

    def send(self, *frames):
        self.writer.write(b"".join(frames))

    async def read(self):
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK))
        elif kind == HEADERS:
            while not flags & END_HEADERS:
                more = await self.reader.readexactly(9)
                assert more[3] == CONTINUATION
                payload += await self.reader.readexactly(int.from_bytes(more[:3], "big"))
                flags |= more[4]
            self.heads[stream] = dict(self.decoder.decode(payload))
            self.bodies[stream] = b""
        elif kind == DATA:
            self.bodies[stream] += payload
            if flags & END_STREAM:
                self.whole_ones.append(stream)
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self.updates[stream] = self.updates.get(stream, 0) + int.from_bytes(payload, "big")
        return kind, flags, stream, payload

    async def request(self):
        """The number of the next one that has come whole."""
        while not self.whole_ones:
            await self.read()
        return self.whole_ones.pop(0)

    def head(self, stream, *fields, flags=END_HEADERS):
        return frame(HEADERS, flags, stream, self.encoder.encode(list(fields)))

    def begin(self, stream):
        return self.head(stream, (":status", "200"), ("content-type", "application/grpc"))

    def trailers(self, stream, status=0, *more):
        return self.head(stream, ("grpc-status", str(status)), *more,
                         flags=END_HEADERS | END_STREAM)

    def answer(self, stream, payload=b"fine", flags=0):
        body = message(Answer(payload=payload).SerializeToString())
        return self.begin(stream) + frame(DATA, flags, stream, body)

    def whole(self, stream, payload=b"fine"):
        return self.answer(stream, payload) + self.trailers(stream)


class OddServer(unittest.IsolatedAsyncioTestCase):
    ours = True

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)
        faulthandler.dump_traceback_later(60, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.path = folder + "/api.sock"
        self.failures, self.connections = [], 0

    async def serve(self, script, **options):
        """Each connection is talked to by script(peer), which ends it."""

        async def connected(reader, writer):
            self.connections += 1
            try:
                await script(Peer(reader, writer))
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            except Exception as error:  # noqa: BLE001 - told by the test
                self.failures.append(error)
            finally:
                writer.close()

        server = await asyncio.start_unix_server(connected, self.path)
        self.addCleanup(lambda: self.assertEqual(self.failures, []))
        self.addCleanup(server.close)
        channel = Channel(path=self.path, config=Configuration(), **options)
        channel.is_ours = self.ours
        self.addCleanup(channel.close)
        self.channel = channel
        self.say = UnaryUnaryMethod(channel, SERVICE + "Say", Ask, Answer)
        self.items = UnaryStreamMethod(channel, SERVICE + "Items", Ask, Answer)
        await channel.__connect__()  # so that the first call can go the short way

    async def serve_requests(self, *answers, settings=(), **options):
        """Request after request gets what the next of `answers` makes of it."""

        async def script(peer):
            await peer.greet(*settings)
            for answer in answers:
                stream = await peer.request()
                told = answer(peer, stream)
                peer.send(*([told] if isinstance(told, bytes) else told))
            while True:
                await peer.read()

        await self.serve(script, **options)

    async def fails(self, kind, call):
        with self.assertRaises(kind) as raised:
            async with asyncio.timeout(10):
                await call
        return raised.exception
