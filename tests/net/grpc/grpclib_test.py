# SPDX-License-Identifier: Apache-2.0
"""grpclib, the Modal client's own library, against net/: every kind of RPC and how each may end."""

import asyncio
import os
import unittest

import grpc_testing
from grpc_testing import MIB, SERVICE, Answer, Ask, EchoServer

from grpclib.client import (Channel, StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod,
                            UnaryUnaryMethod)
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

# As the Modal client sets them.
CONFIGURATION = dict(http2_connection_window_size=64 * MIB, http2_stream_window_size=64 * MIB)


class Echo:
    def __init__(self, server, unix=False, **configuration):
        config = Configuration(**{**CONFIGURATION, **configuration})
        if unix:
            self.channel = Channel(path=server.socket, config=config)
        else:
            self.channel = Channel("127.0.0.1", server.port, config=config)
        kinds = {"Say": UnaryUnaryMethod, "Park": UnaryUnaryMethod, "Big": UnaryUnaryMethod,
                 "Numbers": UnaryUnaryMethod, "CloseIdentity": UnaryUnaryMethod,
                 "Nothing": UnaryUnaryMethod, "Items": UnaryStreamMethod,
                 "Sum": StreamUnaryMethod, "Chat": StreamStreamMethod}
        for name, kind in kinds.items():
            setattr(self, name.lower(), kind(self.channel, SERVICE + name, Ask, Answer))

    async def number(self, name):
        return (await self.numbers(Ask())).numbers[name]

    async def until(self, name, value):
        async with asyncio.timeout(100):
            while await self.number(name) != value:
                await asyncio.sleep(0.01)


class GrpclibTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        self.server = EchoServer()
        self.echoes = []

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)  # its reports cost more than the tests

    def tearDown(self):
        for echo in self.echoes:
            echo.channel.close()
        self.server.stop()

    def echo(self, **options):
        self.echoes.append(Echo(self.server, **options))
        return self.echoes[-1]

    async def fails(self, status, call):
        with self.assertRaises(GRPCError) as raised:
            await call
        self.assertEqual(raised.exception.status, status)
        return raised.exception.message or ""

    async def test_unary_carries_bytes_metadata_and_identity(self):
        over_tcp = await self.echo().say(Ask(payload=b"\0hello"), metadata={"x-who": "me"})
        self.assertEqual(over_tcp.payload, b"\0hello")
        identity, address, who, key = over_tcp.text.split("|")
        self.assertEqual((identity, who, key), ("", "me", ""))
        self.assertTrue(address.startswith("127.0.0.1:"))
        over_unix = await self.echo(unix=True).say(Ask(), metadata={"x-key-bin": b"raw bytes"})
        self.assertEqual(over_unix.text, "box-1|||raw bytes")

    async def test_empty_messages_are_messages(self):
        echo = self.echo()
        self.assertEqual(await echo.say(Ask()), Answer(text=(await echo.say(Ask())).text))
        self.assertEqual(len(await echo.chat([Ask(), Ask()])), 2)

    async def test_trailers_arrive(self):
        echo = self.echo()
        async with echo.say.open() as stream:
            await stream.send_message(Ask(), end=True)
            await stream.recv_message()
            await stream.recv_trailing_metadata()
        self.assertEqual(stream.trailing_metadata["x-plain"], "a trailer")
        self.assertEqual(stream.trailing_metadata["x-raw-bin"], b"\0\xff\x01")

    async def test_errors_carry_code_and_text(self):
        echo = self.echo()
        text = "größer als 100 %\nand a second line"
        self.assertEqual(await self.fails(Status.NOT_FOUND, echo.say(Ask(status=5, text=text))),
                         text)
        self.assertIn("/thaw.testing.Echo/Nothing",
                      await self.fails(Status.UNIMPLEMENTED, echo.nothing(Ask())))
        self.assertIn("token", await self.fails(Status.UNAUTHENTICATED,
                                                echo.say(Ask(), metadata={"x-deny": "1"})))
        long = await self.fails(Status.INTERNAL, echo.say(Ask(status=13, text="ü" * 100_000)))
        self.assertGreater(len(long), 1_000)

    async def test_a_stream_may_fail_after_some_messages(self):
        echo = self.echo()
        received = []
        with self.assertRaises(GRPCError) as raised:
            async with echo.items.open() as stream:
                await stream.send_message(Ask(count=3, status=9, text="enough"), end=True)
                async for item in stream:
                    received.append(item.count)
        self.assertEqual(raised.exception.status, Status.FAILED_PRECONDITION)
        self.assertEqual(received, [0, 1, 2])

    async def test_three_kinds_of_streams(self):
        echo = self.echo()
        items = await echo.items(Ask(count=20, reply_bytes=70_000))
        self.assertEqual([item.count for item in items], list(range(20)))
        self.assertEqual({len(item.payload) for item in items}, {70_000})
        self.assertEqual(await echo.items(Ask(count=0)), [])
        answer = await echo.sum([Ask(payload=b"x" * size) for size in range(1000)])
        self.assertEqual((answer.count, answer.numbers["bytes"]), (1000, 499_500))
        async with echo.chat.open() as stream:
            for size in (0, 1, 20_000, 300_000):
                await stream.send_message(Ask(payload=os.urandom(size)))
                self.assertEqual(len((await stream.recv_message()).payload), size)
            await stream.end()
            self.assertIsNone(await stream.recv_message())

    async def test_a_timeout_cancels_the_handler(self):
        echo = self.echo()
        with self.assertRaises(asyncio.TimeoutError):
            await echo.park(Ask(), timeout=0.2)
        await echo.until("cancelled", 1)

    async def test_a_cancelled_call_cancels_the_handler(self):
        echo = self.echo()
        call = asyncio.create_task(echo.park(Ask()))
        await echo.until("parked", 1)
        call.cancel()
        await echo.until("cancelled", 1)
        self.assertEqual(await echo.number("parked"), 0)

    async def test_a_closed_connection_cancels_its_handlers(self):
        watcher = self.echo()
        echo = self.echo(unix=True)
        calls = [asyncio.create_task(echo.park(Ask())) for _ in range(10)]
        await watcher.until("parked", 10)
        echo.channel.close()
        await watcher.until("cancelled", 10)
        await watcher.until("connections", 1)
        for call in calls:
            with self.assertRaises(StreamTerminatedError):
                await call

    async def test_closing_an_identity_cancels_its_calls_and_removes_its_socket(self):
        watcher = self.echo()
        echo = self.echo(unix=True)
        call = asyncio.create_task(echo.park(Ask()))
        await watcher.until("parked", 1)
        await watcher.closeidentity(Ask(text="box-1"))
        with self.assertRaises((StreamTerminatedError, GRPCError)):
            await call
        await watcher.until("cancelled", 1)
        self.assertFalse(os.path.exists(self.server.socket))

    async def test_hundred_mebibytes_both_ways(self):
        echo = self.echo()
        payload = os.urandom(MIB) * 99
        answer = await echo.say(Ask(payload=payload))
        self.assertEqual(answer.payload, payload)

    async def test_a_message_past_the_limit_is_refused(self):
        echo = self.echo()
        message = await self.fails(Status.RESOURCE_EXHAUSTED,
                                   echo.say(Ask(payload=bytes(101 * MIB))))
        self.assertIn("104857600", message)
        self.assertEqual((await echo.say(Ask(payload=b"on"))).payload, b"on")

    async def test_five_thousand_parked_polls_are_small(self):
        echo = self.echo()
        await echo.say(Ask())
        before = self.server.resident_bytes()
        # The client allows itself as many streams as the server's settings say.
        calls = [asyncio.create_task(echo.park(Ask())) for _ in range(5_000)]
        await echo.until("parked", 5_000)
        each = (self.server.resident_bytes() - before) / 5_000
        self.assertLess(each, 8 * 1024)
        print("%.0f bytes for each parked poll" % each, end=" ... ", flush=True)
        # A short call beside them is answered.
        self.assertEqual((await echo.say(Ask(payload=b"x"))).payload, b"x")
        echo.channel.close()
        await asyncio.gather(*calls, return_exceptions=True)
        await self.echo().until("cancelled", 5_000)

    async def test_idle_pings_are_answered_and_never_punished(self):
        # The Modal client's keepalive, a hundred times as often.
        echo = self.echo(_keepalive_time=0.05, _keepalive_timeout=5.0,
                         _keepalive_permit_without_calls=True,
                         _http2_min_sent_ping_interval_without_data=0.01,
                         _http2_max_pings_without_data=0)
        await echo.say(Ask())
        await asyncio.sleep(2)
        await echo.say(Ask())
        self.assertEqual(await echo.number("connections"), 1)

    async def test_a_drain_lets_running_calls_end_and_takes_no_new_ones(self):
        echo = self.echo()
        idle = self.echo(unix=True)
        await idle.say(Ask())
        slow = asyncio.create_task(echo.say(Ask(seconds=0.5, payload=b"late")))
        stream = asyncio.create_task(echo.items(Ask(count=5, seconds=0.1)))
        parked = asyncio.create_task(echo.park(Ask()))
        await echo.until("parked", 1)
        self.server.terminate()
        self.assertEqual((await slow).payload, b"late")
        self.assertEqual(len(await stream), 5)
        with self.assertRaises((GRPCError, StreamTerminatedError, OSError)):
            await idle.say(Ask())
        with self.assertRaises((GRPCError, StreamTerminatedError)):
            await parked
        self.assertFalse(os.path.exists(self.server.socket))


if __name__ == "__main__":
    grpc_testing.main()
