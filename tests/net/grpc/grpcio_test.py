# SPDX-License-Identifier: Apache-2.0
"""grpcio, the reference implementation, against net/."""

import os
import threading
import time
import unittest

import grpc_testing
from grpc_testing import MIB, SERVICE, Answer, Ask, EchoServer, eventually

import grpc

SIZES = [("grpc.max_receive_message_length", 101 * MIB),
         ("grpc.max_send_message_length", 101 * MIB)]


class Echo:
    def __init__(self, target, *options):
        # A channel of its own, not a connection that another channel has opened.
        self.channel = grpc.insecure_channel(
            target, [*SIZES, *options, ("grpc.use_local_subchannel_pool", 1)])
        kinds = {"Say": "unary_unary", "Park": "unary_unary", "Numbers": "unary_unary",
                 "Items": "unary_stream", "Sum": "stream_unary", "Chat": "stream_stream"}
        for name, kind in kinds.items():
            setattr(self, name.lower(), getattr(self.channel, kind)(
                SERVICE + name, Ask.SerializeToString, Answer.FromString))

    def number(self, name):
        return self.numbers(Ask()).numbers[name]


class GrpcioTest(unittest.TestCase):
    def setUp(self):
        self.server = EchoServer()
        self.addCleanup(self.server.stop)

    def echo(self, *options, unix=False):
        target = "unix:" + self.server.socket if unix else "127.0.0.1:%d" % self.server.port
        echo = Echo(target, *options)
        self.addCleanup(echo.channel.close)
        return echo

    def test_unary_with_metadata_and_trailers(self):
        answer, call = self.echo(unix=True).say.with_call(
            Ask(payload=b"hello"), metadata=[("x-who", "me"), ("x-key-bin", b"\0raw")])
        self.assertEqual((answer.payload, answer.text), (b"hello", "box-1||me|\0raw"))
        trailers = dict(call.trailing_metadata())
        self.assertEqual((trailers["x-plain"], trailers["x-raw-bin"]),
                         ("a trailer", b"\0\xff\x01"))

    def test_every_code_arrives_with_its_text(self):
        echo = self.echo()
        for code in list(grpc.StatusCode)[1:]:
            with self.assertRaises(grpc.RpcError) as raised:
                echo.say(Ask(status=code.value[0], text="näh % %41\n"))
            self.assertEqual(raised.exception.code(), code)
            self.assertEqual(raised.exception.details(), "näh % %41\n")

    def test_three_kinds_of_streams(self):
        echo = self.echo()
        items = list(echo.items(Ask(count=20, reply_bytes=70_000)))
        self.assertEqual([item.count for item in items], list(range(20)))
        answer = echo.sum(Ask(payload=b"x" * size) for size in range(1000))
        self.assertEqual((answer.count, answer.numbers["bytes"]), (1000, 499_500))
        payloads = [os.urandom(size) for size in (0, 1, 20_000, 300_000)]
        answers = echo.chat(iter([Ask(payload=payload) for payload in payloads]))
        self.assertEqual([answer.payload for answer in answers], payloads)

    def test_deadline_and_cancellation_reach_the_handler(self):
        echo = self.echo()
        with self.assertRaises(grpc.RpcError) as raised:
            echo.park(Ask(), timeout=0.2)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        eventually(lambda: echo.number("cancelled") == 1)
        call = echo.park.future(Ask())
        eventually(lambda: echo.number("parked") == 1)
        call.cancel()
        eventually(lambda: echo.number("cancelled") == 2)

    def test_a_client_that_leaves_a_stream_ends_its_handler(self):
        echo = self.echo()
        stream = echo.items(Ask(count=1_000_000, reply_bytes=100_000))
        next(stream)
        stream.cancel()
        # The same connection still works, and the memory is not growing with what was cut off.
        self.assertEqual(echo.say(Ask(payload=b"x")).payload, b"x")
        self.assertLess(self.server.resident_bytes(), 100 * MIB)

    def test_hundred_mebibytes_both_ways(self):
        payload = os.urandom(MIB) * 99
        self.assertEqual(self.echo().say(Ask(payload=payload)).payload, payload)

    def test_compressed_requests_are_refused_clearly(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.echo().say(Ask(payload=b"x" * 10_000), compression=grpc.Compression.Gzip)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertIn("compressed", raised.exception.details())

    def test_keepalive_pings_are_not_punished(self):
        echo = self.echo(("grpc.keepalive_time_ms", 50), ("grpc.keepalive_timeout_ms", 5_000),
                         ("grpc.keepalive_permit_without_calls", 1),
                         ("grpc.http2.max_pings_without_data", 0))
        echo.say(Ask())
        time.sleep(1.5)
        self.assertEqual(echo.number("connections"), 1)

    def test_many_callers_at_once(self):
        echo = self.echo()
        wrong = []

        def work(worker):
            for turn in range(50):
                payload = b"%d %d " % (worker, turn) * 100
                if echo.say(Ask(payload=payload)).payload != payload:
                    wrong.append((worker, turn))

        workers = [threading.Thread(target=work, args=[number]) for number in range(16)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(wrong, [])
        self.assertEqual(echo.number("connections"), 1)

    def test_a_drain_ends_with_unavailable(self):
        echo = self.echo()
        idle = self.echo(unix=True)
        idle.say(Ask())
        slow = echo.say.future(Ask(seconds=0.5, payload=b"late"))
        parked = echo.park.future(Ask())
        eventually(lambda: echo.number("parked") == 1)
        self.server.terminate()
        self.assertEqual(slow.result().payload, b"late")
        with self.assertRaises(grpc.RpcError) as raised:
            parked.result()
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)
        with self.assertRaises(grpc.RpcError) as raised:
            idle.say(Ask())
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)


if __name__ == "__main__":
    grpc_testing.main()
