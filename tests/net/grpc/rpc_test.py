# SPDX-License-Identifier: Apache-2.0
"""What carries a container's RPCs (tools/container): all tests of grpclib again, and odd servers
where grpclib would wait for ever or nothing is there to compare with."""

import asyncio
import os
import struct
import subprocess
import sys
import types
import unittest
import unittest.mock

import grpc_testing
import grpclib_test
from grpc_testing import MIB, Answer, Ask, root
from odd_server import OddServer, is_ours, thaw_rpc

import grpclib.client
from grpclib.client import UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from raw_http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
                       INITIAL_WINDOW, NO_ERROR, PING, PROTOCOL_ERROR, RST_STREAM, SETTINGS,
                       WINDOW_UPDATE, frame, message)

PADDED, PUSH, TABLE_SIZE, MAX_FRAME = 8, 5, 1, 5


class AgainTest(grpclib_test.GrpclibTest):
    """All of it, carried by ours."""

    def echo(self, **options):
        echo = super().echo(**options)
        echo.channel.is_ours = True
        return echo

    async def test_most_calls_go_the_short_way(self):
        echo = self.echo(unix=True)
        await echo.say(Ask())
        with unittest.mock.patch.object(UnaryUnaryMethod, "open", side_effect=AssertionError):
            answers = await asyncio.gather(
                *[echo.say(Ask(payload=b"x" * size)) for size in range(0, 6_000, 100)])
        self.assertEqual([len(answer.payload) for answer in answers], [*range(0, 6_000, 100)])

    async def test_a_large_answer_beside_small_ones(self):
        echo = self.echo(unix=True)
        large = asyncio.create_task(echo.big(Ask(reply_bytes=50 * MIB)))
        for number in range(200):
            self.assertEqual((await echo.say(Ask(payload=b"%d" % number))).payload, b"%d" % number)
        self.assertEqual(len((await large).payload), 50 * MIB)

    async def test_a_stream_that_nobody_reads_holds_up_its_sender_and_nobody_else(self):
        echo = self.echo(unix=True)
        before = await echo.number("rss")
        async with echo.items.open() as stream:
            await stream.send_message(Ask(count=3_000, reply_bytes=100_000), end=True)
            self.assertEqual((await stream.recv_message()).count, 0)
            await asyncio.sleep(0.3)
            held = sum(map(len, stream._stream._pieces))
            self.assertLessEqual(held, 2 * MIB)
            self.assertEqual((await echo.say(Ask(payload=b"on"))).payload, b"on")
            self.assertLess(await echo.number("rss") - before, 50 * MIB)
            count = 1
            async for item in stream:
                self.assertEqual(item.count, count)
                count += 1
        self.assertEqual(count, 3_000)


class OddTest(OddServer):
    async def test_a_message_in_many_frames_with_padding_and_empty_ones(self):
        def odd(peer, stream):
            body = message(Answer(payload=b"p" * 1000).SerializeToString())
            frames = [peer.begin(stream), frame(DATA, 0, stream)]
            for at in range(0, len(body), 100):
                part = body[at:at + 100]
                frames.append(frame(DATA, PADDED, stream, bytes([9]) + part + bytes(9)))
                frames.append(frame(DATA, 0, stream))
            return [*frames, peer.trailers(stream)]

        await self.serve_requests(odd)
        self.assertEqual((await self.say(Ask())).payload, b"p" * 1000)

    async def test_a_smaller_table_is_taken_note_of(self):
        async def script(peer):
            await peer.greet((TABLE_SIZE, 0))
            for size in (0, 100, 0, 4096):
                stream = await peer.request()
                peer.decoder.max_allowed_table_size = size
                peer.send(frame(SETTINGS, payload=struct.pack(">HL", TABLE_SIZE, size)))
                kind = None
                while kind != SETTINGS:
                    kind = (await peer.read())[0]
                peer.send(peer.whole(stream))
            await peer.read()

        await self.serve(script)
        for _ in range(4):
            await self.say(Ask(), metadata={"x-a": "1", "x-b": "2"})

    async def test_frames_that_mean_nothing(self):
        def odd(peer, stream):
            return [frame(0xEE, 0xFF, stream, b"?" * 100), frame(2, 0, stream, bytes(5)),
                    peer.whole(stream)]

        await self.serve_requests(odd)
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_an_answer_without_an_end_or_without_a_message(self):
        await self.serve_requests(
            lambda peer, s: peer.answer(s, flags=END_STREAM),  # no trailers
            lambda peer, s: peer.begin(s) + peer.trailers(s),  # no message
            lambda peer, s: [peer.begin(s), frame(DATA, 0, s, message(b"x" * 10)[:9]),
                             peer.trailers(s)],
            lambda peer, s: [peer.begin(s), frame(DATA, 0, s, b"\0\0"), peer.trailers(s)])
        for status in (Status.UNKNOWN, Status.INTERNAL, Status.INTERNAL, Status.INTERNAL):
            self.assertEqual((await self.fails(GRPCError, self.say(Ask()))).status, status)

    async def test_a_stream_that_ends_without_trailers(self):
        await self.serve_requests(lambda peer, s: peer.answer(s, flags=END_STREAM))
        self.assertEqual((await self.fails(GRPCError, self.items(Ask()))).status, Status.UNKNOWN)

    async def test_a_compressed_message_is_refused(self):
        await self.serve_requests(lambda peer, s: [
            peer.begin(s), frame(DATA, 0, s, message(b"x", compressed=1)), peer.trailers(s)])
        await self.fails(NotImplementedError, self.say(Ask()))

    async def test_goaway_in_peace_ends_nothing_that_runs(self):
        async def script(peer):
            await peer.greet()
            if self.connections > 1:
                while True:
                    peer.send(peer.whole(await peer.request(), b"new"))
            first, second = await peer.request(), await peer.request()
            peer.send(frame(GOAWAY, payload=struct.pack(">LL", first, NO_ERROR)))
            await asyncio.sleep(0.2)
            peer.send(peer.whole(first, b"old"))
            assert await peer.reader.read(100) == b""  # closed by its peer

        await self.serve(script)
        first = asyncio.create_task(self.say(Ask()))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(self.say(Ask()))
        await self.fails(StreamTerminatedError, second)  # its number is above the last
        self.assertEqual((await self.say(Ask())).payload, b"new")
        self.assertEqual((await first).payload, b"old")
        self.assertEqual(self.connections, 2)

    async def test_informational_heads_come_before_the_answer(self):
        await self.serve_requests(lambda peer, s: [peer.head(s, (":status", "103")),
                                                   peer.whole(s)])
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_streams_that_break_the_rules_end_alone(self):
        await self.serve_requests(
            lambda peer, s: frame(DATA, 0, s, b"before its head"),
            lambda peer, s: [peer.begin(s), peer.begin(s)],  # trailers that end nothing
            lambda peer, s: [peer.begin(s),
                             frame(WINDOW_UPDATE, 0, s, struct.pack(">L", (1 << 31) - 1))],
            lambda peer, s: frame(WINDOW_UPDATE, 0, s, bytes(4)),
            lambda peer, s: frame(RST_STREAM, 0, s, struct.pack(">L", PROTOCOL_ERROR)),
            lambda peer, s: peer.whole(s))
        for _ in range(5):
            await self.fails(StreamTerminatedError, self.say(Ask()))
        self.assertEqual((await self.say(Ask())).payload, b"fine")
        self.assertEqual(self.connections, 1)

    async def test_more_than_the_window_of_a_stream(self):
        """A reader that waits for nothing gives nothing back."""

        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            peer.send(peer.answer(stream))
            peer.send(*[frame(DATA, 0, stream, bytes(16384)) for _ in range(2 * MIB // 16384)])
            while stream not in peer.resets:
                await peer.read()
            assert peer.resets[stream] == 3
            peer.send(peer.whole(await peer.request()))
            await peer.read()

        await self.serve(script)

        async def stall():
            async with self.items.open() as stream:
                await stream.send_message(Ask(), end=True)
                await stream.recv_message()
                await asyncio.sleep(1)
                await stream.recv_message()

        await self.fails(StreamTerminatedError, stall())
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_connections_that_break_the_rules_end(self):
        table = bytes([0x3F, 0xFF, 0xFF, 0x7F])  # a table of 2 MB
        frames = [
            frame(DATA, 0, 0, b"x"), frame(DATA, 0, 99, b"x"), frame(DATA, 0, 2, b"x"),
            frame(HEADERS, END_HEADERS, 99, b"\x88"), frame(HEADERS, END_HEADERS, 2, b"\x88"),
            frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
            frame(HEADERS, END_HEADERS, 1, table), frame(HEADERS, END_HEADERS, 1, b"\x00\x7f"),
            frame(HEADERS, END_HEADERS, 1, b"\x00\x01\xff\x01\xff"),  # no ASCII
            frame(HEADERS, 0, 1, b"\x88") + frame(PING, payload=bytes(8)),
            frame(HEADERS, PADDED | END_HEADERS, 1, b"\x05\x88"),
            frame(HEADERS, 0, 1, b"\x88") + frame(CONTINUATION, END_HEADERS, 3, b""),
            frame(CONTINUATION, END_HEADERS, 1, b"\x88"), frame(PUSH, END_HEADERS, 1, bytes(8)),
            frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 5_000,
            frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, bytes(16384)) * 20,
            frame(DATA, PADDED, 1, b"\x09"), frame(DATA, PADDED, 1, b""),
            frame(WINDOW_UPDATE, 0, 0, bytes(4)), frame(WINDOW_UPDATE, 0, 0, bytes(3)),
            frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", (1 << 31) - 1)),
            frame(RST_STREAM, 0, 0, bytes(4)), frame(RST_STREAM, 0, 99, bytes(4)),
            frame(RST_STREAM, 0, 1, bytes(3)), frame(SETTINGS, 0, 1), frame(PING, payload=b"x"),
            frame(SETTINGS, payload=bytes(5)), frame(SETTINGS, ACK, payload=bytes(6)),
            frame(SETTINGS, payload=struct.pack(">HL", INITIAL_WINDOW, 1 << 31)),
            frame(SETTINGS, payload=struct.pack(">HL", MAX_FRAME, 100)), frame(GOAWAY, payload=b""),
            struct.pack(">BHBBL", 1, 0, DATA, 0, 1), os.urandom(5_000),
            b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10,
        ]  # fmt: skip
        left = list(frames)
        last = []

        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            if not left:
                peer.send(peer.whole(stream))
                await peer.request()
            peer.send(left.pop(0))
            kind = None
            while kind != GOAWAY:
                kind, _, _, payload = await peer.read()
            last.append(payload)

        await self.serve(script)
        for number, bad in enumerate(frames):
            with self.subTest(number=number, bad=bad[:40]):
                error = await self.fails(StreamTerminatedError, self.say(Ask()))
                self.assertNotIn("Connection lost", str(error))
        self.assertEqual((await self.say(Ask())).payload, b"fine")
        self.assertEqual(len(last), len(frames))

    async def test_more_than_the_window_of_the_connection_from_streams_that_are_over(self):
        # What comes for streams that were left counts, and is given back: others go on.
        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            peer.send(peer.begin(stream))
            while stream not in peer.resets:
                await peer.read()
            for _ in range(80):
                peer.send(*[frame(DATA, 0, stream, bytes(16384)) for _ in range(MIB // 16384)])
                await peer.writer.drain()
            peer.send(peer.whole(await peer.request()))
            await peer.read()
            assert peer.updates[0] > 80 * MIB

        await self.serve(script)
        await self.fails(asyncio.TimeoutError, self.say(Ask(), timeout=0.1))
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_an_end_before_the_request_has_gone_out(self):
        async def script(peer):
            await peer.greet((INITIAL_WINDOW, 100))
            kind = None
            while kind != DATA:
                kind, _, stream, _ = await peer.read()
            peer.send(peer.head(stream, (":status", "200"), ("content-type", "application/grpc"),
                                ("grpc-status", "8"), flags=END_HEADERS | END_STREAM),
                      frame(RST_STREAM, 0, stream, struct.pack(">L", NO_ERROR)))
            peer.send(peer.whole(await peer.request()))
            await peer.read()

        await self.serve(script)
        await asyncio.sleep(0.05)
        error = await self.fails(GRPCError, self.say(Ask(payload=bytes(100_000))))
        self.assertEqual(error.status, Status.RESOURCE_EXHAUSTED)
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_the_numbers_of_streams_run_out(self):
        await self.serve_requests(lambda peer, s: peer.whole(s), lambda peer, s: peer.whole(s))
        await self.say(Ask())
        self.channel._protocol.next_number = (1 << 31) - 1
        self.assertEqual((await self.say(Ask())).payload, b"fine")
        self.assertEqual((await self.say(Ask())).payload, b"fine")
        self.assertEqual(self.connections, 2)

    async def test_a_closed_channel_leaves_no_descriptor(self):
        await self.serve_requests(lambda peer, s: peer.whole(s))
        await self.say(Ask())
        descriptors = len(os.listdir("/proc/self/fd"))
        self.channel.close()
        async with asyncio.timeout(10):
            while len(os.listdir("/proc/self/fd")) > descriptors - 2:  # one of each side
                await asyncio.sleep(0.01)

    async def test_another_loop_goes_grpclibs_way(self):
        await self.serve_requests(lambda peer, s: peer.whole(s))
        connection = self.channel._protocol
        connection.loop = asyncio.new_event_loop()
        self.addCleanup(connection.loop.close)
        called = []

        async def instead(method, message, *, timeout=None, metadata=None):
            called.append(message)

        calls = thaw_rpc.UnaryCalls(thaw_rpc.Grpclib(grpclib.client))
        calls.grpclib.unary_call = instead
        await calls.run(self.say, Ask(), None, None)
        self.assertEqual(called, [Ask()])


class PlaceTest(unittest.TestCase):
    """Whether it comes at all."""

    def copy_of_client(self):
        module = types.ModuleType("grpclib.client")
        vars(module).update({name: value for name, value in vars(grpclib.client).items()
                             if not name.startswith("__")})
        module.Channel = type("Channel", (), {"_protocol_factory": lambda self: "grpclib's"})
        module.UnaryUnaryMethod = type("UnaryUnaryMethod", (), {"__call__": lambda self: None})
        return module

    def test_an_unknown_grpclib_stays_as_it_is(self):
        for change in (lambda module: setattr(grpclib, "__version__", "0.5.0"),
                       lambda module: delattr(module, "Handler"),
                       lambda module: delattr(module.Channel, "_protocol_factory"),
                       lambda module: delattr(module, "StreamTerminatedError")):
            module = self.copy_of_client()
            with unittest.mock.patch.object(grpclib, "__version__", grpclib.__version__):
                change(module)
                before = dict(vars(module.UnaryUnaryMethod))
                self.assertFalse(thaw_rpc.replace_in(module))
                self.assertEqual(dict(vars(module.UnaryUnaryMethod)), before)

    def test_only_the_containers_socket_is_ours_and_only_if_wanted(self):
        def channel(path):
            return types.SimpleNamespace(_path=path)

        with unittest.mock.patch.dict(os.environ):
            os.environ.pop("THAW_FAST_RPC", None)
            self.assertTrue(is_ours(channel("/run/thaw/api.sock")))
            self.assertFalse(is_ours(channel("/tmp/other.sock")))
            self.assertFalse(is_ours(channel(None)))
            os.environ["THAW_FAST_RPC"] = "0"
            self.assertFalse(is_ours(channel("/run/thaw/api.sock")))

    def test_it_comes_with_the_import_of_grpclib(self):
        program = """
import sys
sys.path.insert(0, sys.argv[1])
import thaw_rpc

class Finder:
    def find_spec(self, name, path=None, target=None):
        return thaw_rpc.spec_of(name, path) if name == "grpclib.client" else None

sys.meta_path.insert(0, Finder())
import grpclib.client, inspect
assert grpclib.client.UnaryUnaryMethod.__call__.__module__ == "thaw_rpc"
assert "class Channel" in inspect.getsource(grpclib.client)
"""
        subprocess.run([sys.executable, "-c", program, root / "tools/container"], check=True)


if __name__ == "__main__":
    grpc_testing.main()
