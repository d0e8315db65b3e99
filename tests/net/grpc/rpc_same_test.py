# SPDX-License-Identifier: Apache-2.0
"""What carries a container's RPCs, against what grpclib itself makes of the same bytes."""

import asyncio
import os
import struct

import grpc_testing
from grpc_testing import MIB, SERVICE, Answer, Ask
from odd_server import OddServer

import grpclib.client
import grpclib.events
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from raw_http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
                       INITIAL_WINDOW, MAX_STREAMS, NO_ERROR, PING, RST_STREAM, SETTINGS,
                       WINDOW_UPDATE, frame, message)


class Details(StatusDetailsCodecBase):
    def encode(self, status, message, details):
        raise NotImplementedError

    def decode(self, status, message, data):
        return [data]


class SameTest(OddServer):
    """What is the same as by grpclib itself: see GrpclibSameTest."""

    async def test_status_text_and_details(self):
        def refused(peer, stream):
            return peer.begin(stream) + peer.trailers(
                stream, 5, ("grpc-message", "gr%C3%B6%C3%9Fer%20als %25"),
                ("grpc-status-details-bin", "AAEC"))

        await self.serve_requests(refused)
        self.channel._status_details_codec = Details()
        error = await self.fails(GRPCError, self.say(Ask()))
        self.assertEqual((error.status, error.message, error.details),
                         (Status.NOT_FOUND, "größer als %", [b"\0\1\2"]))

    async def test_an_answer_that_is_only_trailers(self):
        def refused(peer, stream):
            return peer.head(stream, (":status", "200"), ("content-type", "application/grpc"),
                             ("grpc-status", "8"), ("grpc-message", "too%20many"),
                             flags=END_HEADERS | END_STREAM)

        await self.serve_requests(refused, lambda peer, stream: peer.whole(stream))
        error = await self.fails(GRPCError, self.say(Ask()))
        self.assertEqual((error.status, error.message), (Status.RESOURCE_EXHAUSTED, "too many"))
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_answers_that_are_no_grpc(self):
        fields = [
            ([(":status", "503")], Status.UNAVAILABLE),
            ([(":status", "418")], Status.UNKNOWN),
            ([(":status", "401"), ("content-type", "text/html")], Status.UNAUTHENTICATED),
            ([(":status", "200")], Status.UNKNOWN),
            ([(":status", "200"), ("content-type", "text/html")], Status.UNKNOWN),
            ([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "x")],
             Status.UNKNOWN),
            ([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "99")],
             Status.UNKNOWN),
        ]  # fmt: skip
        await self.serve_requests(*[
            lambda peer, stream, head=head: peer.head(stream, *head,
                                                      flags=END_HEADERS | END_STREAM)
            for head, _ in fields])
        for _, status in fields:
            self.assertEqual((await self.fails(GRPCError, self.say(Ask()))).status, status)

    async def test_an_error_after_the_message(self):
        await self.serve_requests(lambda peer, s: peer.answer(s) + peer.trailers(s, 13))
        self.assertEqual((await self.fails(GRPCError, self.say(Ask()))).status, Status.INTERNAL)

    async def test_what_the_other_side_takes_back(self):
        def reset(peer, stream):
            return frame(RST_STREAM, 0, stream, struct.pack(">L", 7))

        await self.serve_requests(
            reset, lambda peer, s: peer.begin(s) + reset(peer, s),
            lambda peer, s: peer.answer(s) + reset(peer, s), lambda peer, s: peer.whole(s))
        for _ in range(3):
            error = await self.fails(StreamTerminatedError, self.say(Ask()))
            self.assertIn("7", str(error))
        self.assertEqual((await self.say(Ask())).payload, b"fine")
        self.assertEqual(self.connections, 1)

    async def test_a_reset_behind_a_whole_answer_means_nothing(self):
        def early(peer, stream):
            return peer.whole(stream) + frame(RST_STREAM, 0, stream, struct.pack(">L", NO_ERROR))

        await self.serve_requests(early, early)
        for _ in range(2):
            self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_frames_in_pieces_of_any_size(self):
        async def script(peer):
            await peer.greet()
            for size in (1, 2, 3, 7, 9, 10, 1000):
                stream = await peer.request()
                told = peer.whole(stream, b"z" * 500)
                for at in range(0, len(told), size):
                    peer.send(told[at:at + size])
                    await peer.writer.drain()
                    await asyncio.sleep(0)
            await peer.read()

        await self.serve(script)
        for _ in range(7):
            self.assertEqual((await self.say(Ask())).payload, b"z" * 500)

    async def test_heads_in_many_frames(self):
        def odd(peer, stream):
            block = peer.encoder.encode([(":status", "200"), ("content-type", "application/grpc"),
                                         ("x-long", "l" * 20_000)])
            parts = [block[at:at + 1000] for at in range(0, len(block), 1000)]
            frames = [frame(HEADERS, 0, stream, parts[0])]
            frames += [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
            frames += [frame(CONTINUATION, END_HEADERS, stream, parts[-1])]
            body = message(Answer(payload=b"fine").SerializeToString())
            return [*frames, frame(DATA, 0, stream, body), peer.trailers(stream)]

        await self.serve_requests(odd)
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_heads_that_use_the_table_and_change_it(self):
        # References mean something else each time that something is put before them.
        def growing(number):
            def answer(peer, stream):
                body = message(Answer(payload=b"%d" % number).SerializeToString())
                return [peer.begin(stream), frame(DATA, 0, stream, body),
                        peer.trailers(stream, 0, (f"x-{number % 3}", f"value {number // 4}"))]
            return answer

        seen = []

        async def listen(event):
            seen.append(dict(event.metadata))

        await self.serve_requests(*[growing(number) for number in range(60)])
        grpclib.events.listen(self.channel, grpclib.events.RecvTrailingMetadata, listen)
        for number in range(60):
            self.assertEqual((await self.say(Ask())).payload, b"%d" % number)
        self.assertEqual(seen, [{f"x-{n % 3}": f"value {n // 4}"} for n in range(60)])

    async def test_a_large_message_through_a_small_window(self):
        async def script(peer):
            await peer.greet((INITIAL_WINDOW, 1000))
            left = {"sent": 0}
            while True:
                kind, flags, stream, payload = await peer.read()
                if kind == DATA and payload:
                    left["sent"] += len(payload)
                    # Each byte is given back only after it has come.
                    assert len(payload) <= 16384
                    more = struct.pack(">L", len(payload))
                    peer.send(frame(WINDOW_UPDATE, 0, stream, more),
                              frame(WINDOW_UPDATE, 0, 0, more))
                if peer.whole_ones:
                    peer.whole_ones.clear()
                    ask = Ask.FromString(peer.bodies[stream][5:])
                    peer.send(peer.whole(stream, b"%d" % len(ask.payload)))

        await self.serve(script)
        self.assertEqual((await self.say(Ask(payload=b"w" * 300_000))).payload, b"300000")
        self.assertEqual((await self.say(Ask(payload=b"w" * 900))).payload, b"900")

    async def test_a_window_that_shrinks_below_nothing(self):
        async def script(peer):
            await peer.greet()
            stream = None
            while stream is None or len(peer.bodies.get(stream, b"")) < 65535:
                _, _, stream, _ = await peer.read()
            peer.send(frame(SETTINGS, payload=struct.pack(">HL", INITIAL_WINDOW, 0)),
                      frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", MIB)))
            # 65,535 below nothing: half of what is given does not open it.
            peer.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", 40_000)),
                      frame(PING, payload=b"are you?"))
            while True:
                kind, flags, number, payload = await peer.read()
                assert kind != DATA
                if kind == PING:
                    break
            peer.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", 400_000)))
            await peer.request()
            peer.send(peer.whole(stream))

        await self.serve(script)
        self.assertEqual((await self.say(Ask(payload=b"w" * 300_000))).payload, b"fine")

    async def test_the_limit_of_streams(self):
        async def script(peer):
            await peer.greet((MAX_STREAMS, 2))
            open_, most, told = set(), 0, 0
            while told < 20:
                kind, flags, stream, _ = await peer.read()
                if kind == DATA and flags & END_STREAM:
                    open_.add(stream)
                    most = max(most, len(open_))
                    await asyncio.sleep(0.005)
                    for done in sorted(open_):
                        peer.send(peer.whole(done))
                        told += 1
                    open_.clear()
            assert most <= 2, most
            await peer.read()

        await self.serve(script)
        await self.say(Ask())  # the settings have come
        answers = await asyncio.gather(*[self.say(Ask()) for _ in range(19)])
        self.assertEqual({answer.payload for answer in answers}, {b"fine"})

    async def test_pings_are_answered(self):
        async def script(peer):
            await peer.greet()
            peer.send(frame(PING, payload=b"12345678"), frame(PING, ACK, payload=b"87654321"))
            kind, flags, _, payload = await peer.read()
            while kind != PING:
                kind, flags, _, payload = await peer.read()
            assert (flags, payload) == (ACK, b"12345678")
            peer.send(peer.whole(await peer.request()))
            await peer.read()

        await self.serve(script)
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_what_is_sent(self):
        seen = {}

        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            seen.update(peer.heads[stream])
            peer.send(peer.whole(stream))
            await peer.request()
            await peer.read()

        async def add(event):
            event.metadata["x-added"] = "by a listener"
            self.assertEqual(event.method_name, SERVICE + "Say")

        await self.serve(script)
        grpclib.events.listen(self.channel, grpclib.events.SendRequest, add)
        await self.say(Ask(), metadata=[("x-text", "ä".encode("unicode_escape").decode()),
                                        ("x-raw-bin", b"\0\1")], timeout=20)
        self.assertRegex(seen.pop("grpc-timeout"), r"^(19|20)S$")
        self.assertEqual(seen, {
            ":method": "POST", ":scheme": "http", ":path": SERVICE + "Say",
            ":authority": "127.0.0.1:50051", "te": "trailers",
            "content-type": "application/grpc", "user-agent": grpclib.client.USER_AGENT,
            "x-text": "\\xe4", "x-raw-bin": "AAE", "x-added": "by a listener"})
        for metadata in ({"Upper": "x"}, {"grpc-x": "x"}, {"x": "\n"}):
            await self.fails(ValueError, self.say(Ask(), metadata=metadata))
        await self.fails(TypeError, self.say(Ask(), metadata={"x-bin": "text"}))
        await self.fails(TypeError, self.say(Answer()))

    async def test_a_head_larger_than_a_frame(self):
        await self.serve_requests(lambda peer, s: peer.whole(s, peer.heads[s]["x-l"][:4].encode()))
        long = {"x-l": "long" * 10_000}
        self.assertEqual((await self.say(Ask(), metadata=long)).payload, b"long")

    async def test_a_deadline(self):
        resets = {}

        async def script(peer):
            await peer.greet()
            await peer.request()
            while not peer.resets:
                await peer.read()
            resets.update(peer.resets)
            peer.send(peer.whole(1, b"too late"))  # nobody waits for it
            peer.send(peer.whole(await peer.request()))
            await peer.read()

        await self.serve(script)
        error = await self.fails(asyncio.TimeoutError, self.say(Ask(), timeout=0.1))
        self.assertIn("Deadline exceeded", str(error))
        self.assertEqual((await self.say(Ask(), timeout=5)).payload, b"fine")
        self.assertEqual([*resets], [1])
        await self.fails(asyncio.TimeoutError, self.say(Ask(), timeout=0))

    async def test_a_task_that_is_cancelled(self):
        reset = asyncio.Event()

        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            peer.send(peer.begin(stream))
            while not peer.resets:
                await peer.read()
            reset.set()
            peer.send(frame(DATA, 0, stream, b"x" * 1000), peer.trailers(stream))
            peer.send(peer.whole(await peer.request()))
            await peer.read()

        await self.serve(script)
        task = asyncio.create_task(self.say(Ask()))
        await asyncio.sleep(0.1)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(reset.wait(), 10)
        self.assertEqual((await self.say(Ask())).payload, b"fine")

    async def test_a_connection_that_ends_is_made_anew(self):
        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            if self.connections == 1:
                return
            peer.send(peer.whole(stream))
            await peer.read()

        await self.serve(script)
        await self.fails(StreamTerminatedError, self.say(Ask()))
        self.assertEqual((await self.say(Ask())).payload, b"fine")
        self.assertEqual(self.connections, 2)

    async def test_a_socket_that_is_gone(self):
        async def script(peer):
            await peer.greet()

        await self.serve(script)
        await asyncio.sleep(0.1)
        os.unlink(self.path)
        await self.fails(OSError, self.say(Ask()))

    async def test_goaway_with_an_error_ends_what_runs(self):
        await self.serve_requests(
            lambda peer, s: frame(GOAWAY, payload=struct.pack(">LL", s, 11)))
        await self.fails(StreamTerminatedError, self.say(Ask()))

    async def test_a_stream_of_messages(self):
        def many(peer, stream):
            told = [peer.begin(stream)]
            body = b"".join(message(Answer(count=n, payload=b"i" * n).SerializeToString())
                            for n in range(100))
            told += [frame(DATA, 0, stream, body[at:at + 77]) for at in range(0, len(body), 77)]
            return [*told, peer.trailers(stream)]

        await self.serve_requests(many)
        items = await self.items(Ask())
        self.assertEqual([len(item.payload) for item in items], list(range(100)))

    async def test_a_stream_that_fails_in_the_middle(self):
        def some(peer, stream):
            return [peer.answer(stream), peer.answer(stream)[len(peer.begin(stream)):],
                    peer.trailers(stream, 14, ("grpc-message", "gone"))]

        await self.serve_requests(some)
        received = []

        async def follow():
            async with self.items.open() as stream:
                await stream.send_message(Ask(), end=True)
                async for item in stream:
                    received.append(item)

        error = await self.fails(GRPCError, follow())
        self.assertEqual((error.status, error.message), (Status.UNAVAILABLE, "gone"))

    async def test_a_stream_that_is_left_is_reset(self):
        left = asyncio.Event()

        async def script(peer):
            await peer.greet()
            stream = await peer.request()
            peer.send(peer.answer(stream))
            while not peer.resets:
                await peer.read()
            left.set()

        await self.serve(script)
        with self.assertRaises(KeyError):
            async with self.items.open() as stream:
                await stream.send_message(Ask(), end=True)
                await stream.recv_message()
                raise KeyError
        await asyncio.wait_for(left.wait(), 10)


class GrpclibSameTest(SameTest):
    """The judge."""

    ours = False


if __name__ == "__main__":
    grpc_testing.main()
