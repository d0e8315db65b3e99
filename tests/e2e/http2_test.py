#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that speak HTTP/2 without TLS, gRPC above all, are functions like the others."""
import base64
import concurrent.futures
import glob
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

_bin = subprocess.run([ROOT / "tools/client", "tests/clients/grpc.txt"], check=True,
                      stdout=subprocess.PIPE, text=True).stdout.strip()
sys.path += glob.glob(_bin + "/../lib/python3*/site-packages")

import grpc  # noqa: E402

server = ThawServer.for_module()

PUSHED = APPS / "pushed"
MANY = ["--concurrency", "50"]
PIECE = 64 << 10


def thaw(*arguments, check=True, timeout=CALL_TIMEOUT):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, timeout=timeout)  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done


def push(name, *options, folder="greeter"):
    return thaw("push", PUSHED / folder, name, *options, timeout=BUILD_TIMEOUT).stdout.decode()


def ask(name, path="/", method="GET", body=None, headers=None):
    """(status, body) through /fn/NAME, by HTTP/1.1"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        connection.request(method, f"/fn/{name}{path}", body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def containers_of(name):
    return [view for view in server.running() if view["function"] == name]


def channel(name):
    """To a function's own host; nothing of it but the host is Thaw's."""
    options = [("grpc.default_authority", f"{name}.localhost:{server.port}"),
               ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options)


def resident_kib():
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("the server's memory is not told")


class Greeter:
    def __init__(self, name):
        self.channel = channel(name)

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.channel.close()

    def unary(self, method, request=b"", **options):
        options.setdefault("timeout", CALL_TIMEOUT)
        return self.channel.unary_unary("/test.Greeter/" + method)(request, **options)

    def stream(self, method, request=b"", **options):
        options.setdefault("timeout", CALL_TIMEOUT)
        return self.channel.unary_stream("/test.Greeter/" + method)(request, **options)

    def uploads(self, method, requests, **options):
        options.setdefault("timeout", CALL_TIMEOUT)
        return self.channel.stream_unary("/test.Greeter/" + method)(requests, **options)

    def both(self, method, requests, **options):
        options.setdefault("timeout", CALL_TIMEOUT)
        return self.channel.stream_stream("/test.Greeter/" + method)(requests, **options)


class Grpc(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        cls.said = push("greeter", "--idle", "300", *MANY)
        cls.at = Greeter("greeter")

    @classmethod
    def tearDownClass(cls):
        cls.at.channel.close()

    def failure_of(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        return caught.exception

    def test_a_server_of_grpc_is_guessed_and_answers_from_zero(self):
        self.assertIn("preset   grpc (the Dockerfile has EXPOSE 50051, the port of gRPC)",
                      self.said)  # fmt: skip
        push("zero", "--idle", "1")
        self.assertEqual(containers_of("zero"), [])
        with Greeter("zero") as at:
            self.assertEqual(at.unary("Unary", b"hello"), b"hello from nobody")
        shown = json.loads(thaw("function", "show", "zero", "--json").stdout)
        self.assertEqual((shown["preset"], shown["wire"]), ("grpc", "h2c"))
        wait_until(lambda: not containers_of("zero"), 60, "it is at zero again")

    def test_metadata_and_trailers_go_both_ways(self):
        call = self.at.channel.unary_unary("/test.Greeter/Unary")
        answer, done = call.with_call(b"a", metadata=(("x-who", "ann"),), timeout=CALL_TIMEOUT)
        self.assertEqual(answer, b"a from ann")
        trailers = dict(done.trailing_metadata())
        self.assertTrue(trailers["x-pid"])
        self.assertEqual(trailers["x-sum-bin"], b"\0\1\2")
        self.assertIn("thaw-version", dict(done.initial_metadata()))

    def test_a_status_passes_through(self):
        failed = self.failure_of(lambda: self.at.unary("Fails", b"x"))
        self.assertEqual(failed.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(failed.details(), "no such thing: x")
        unknown = self.failure_of(lambda: self.at.unary("Nothing"))
        self.assertEqual(unknown.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_stream_of_answers_comes_in_order(self):
        got = [int(one) for one in self.at.stream("Counts", b"3000")]
        self.assertEqual(got, list(range(3000)))

    def test_both_sides_stream_at_once(self):
        turn = threading.Semaphore(0)

        def requests():
            for number in range(30):
                turn.acquire()
                yield b"%d" % number

        answers = self.at.both("Echoes", requests())
        # The head of the answer is there before anything of the body of the request.
        self.assertEqual(dict(answers.initial_metadata())["x-first"], "yes")
        for number in range(30):
            turn.release()
            self.assertEqual(next(answers), b"%d" % number)
        self.assertEqual(list(answers), [])

    def test_a_stream_of_requests_arrives_whole(self):
        total = self.at.uploads("Adds", (os.urandom(PIECE) for _ in range(500)))
        self.assertEqual(int(total), 500 * PIECE)

    def test_who_reads_slowly_slows_the_server_down(self):
        before = resident_kib()
        flood = self.at.stream("Floods", b"4000")  # 250 MB
        self.assertEqual(len(next(flood)), PIECE)
        counts = []

        def stands_still():
            counts.append(int(self.at.unary("Tells")))
            return len(counts) > 3 and counts[-4:] == [counts[-1]] * 4

        wait_until(stands_still, 60, "the server waits for its reader", pause=0.5)
        self.assertLess(counts[-1], 1000)  # of 4000: the rest waits in the server
        self.assertLess(resident_kib() - before, 100 << 10)
        self.assertEqual(sum(len(piece) for piece in flood), 3999 * PIECE)

    def test_a_server_that_takes_nothing_slows_its_client_down(self):
        before = resident_kib()
        sent = []

        def requests():
            for _ in range(3000):
                sent.append(1)
                yield bytes(PIECE)

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            total = pool.submit(self.at.uploads, "Ignores", requests())
            grown = []
            while not total.done():
                grown.append(resident_kib() - before)
                threading.Event().wait(0.2)
            self.assertEqual(int(total.result()), 3000 * PIECE)
        self.assertLess(max(grown), 100 << 10)

    def test_who_gives_up_is_gone_for_the_server_too(self):
        call = self.at.stream("Hangs")
        self.assertEqual(next(call), b"begun")
        call.cancel()
        self.assertEqual(self.at.unary("WasCancelled"), b"yes")
        late = self.at.stream("Hangs", timeout=1)
        self.assertEqual(next(late), b"begun")
        failed = self.failure_of(lambda: next(late))
        self.assertEqual(failed.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(self.at.unary("WasCancelled"), b"yes")

    def test_an_error_in_the_middle_of_a_stream_is_told(self):
        answers = self.at.stream("Breaks")
        self.assertEqual(next(answers), b"some")
        failed = self.failure_of(lambda: next(answers))
        self.assertEqual(failed.code(), grpc.StatusCode.UNKNOWN)
        self.assertIn("asked to", failed.details())

    def test_a_server_that_dies_in_a_call_is_told_of_and_replaced(self):
        push("dies", *MANY)
        with Greeter("dies") as at:
            failed = self.failure_of(lambda: at.unary("Dies"))
            self.assertIn(failed.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED))
            self.assertEqual(at.unary("Unary", b"again"), b"again from nobody")

    def test_many_calls_share_a_container(self):
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            got = list(pool.map(lambda n: self.at.unary("Unary", b"%d" % n), range(600)))
        self.assertEqual(got, [b"%d from nobody" % n for n in range(600)])
        self.assertEqual(len(containers_of("greeter")), 1)

    def test_a_server_that_was_frozen_goes_on(self):
        push("ice", "--idle", "300", *MANY)
        call = channel("ice").unary_unary("/test.Greeter/Unary")
        first = dict(call.with_call(b"", timeout=CALL_TIMEOUT)[1].trailing_metadata())["x-pid"]
        for _ in range(2):
            wait_until(lambda: [c["status"] for c in containers_of("ice")] == ["frozen"], 60, "ice")
            done = call.with_call(b"", timeout=CALL_TIMEOUT)[1]
            self.assertEqual(dict(done.trailing_metadata())["x-pid"], first)
        self.assertEqual(len(containers_of("ice")), 1)

    def test_what_is_wrong_is_told_by_grpc(self):
        with Greeter("nobody-has-this") as at:
            failed = self.failure_of(lambda: at.unary("Unary"))
            self.assertEqual(failed.code(), grpc.StatusCode.NOT_FOUND)
        push("private", "--callers", "tokens")
        token = json.loads(thaw("token", "create", "t", "--json").stdout)
        secret = f"Bearer {token['token']}:{token['secret']}"
        with Greeter("private") as at:
            failed = self.failure_of(lambda: at.unary("Unary"))
            self.assertEqual(failed.code(), grpc.StatusCode.UNAUTHENTICATED)
            self.assertEqual(at.unary("Unary", b"x", metadata=(("authorization", secret),)),
                             b"x from nobody")  # fmt: skip


class Http(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        push("http2", "--wire", "h2c", "--ready", "/ready", *MANY, folder="http2")

    def test_clients_of_http1_reach_a_server_of_http2(self):
        status, body = ask("http2", "/a?b=c", headers={"x-mine": "1"})
        self.assertEqual(status, 200)
        told = json.loads(body)
        self.assertEqual((told["path"], told["query"], told["version"]), ("/a", "b=c", "2"))
        self.assertEqual(told["headers"]["x-mine"], "1")
        self.assertEqual(told["headers"]["host"], f"127.0.0.1:{server.port}")
        self.assertIn("x-forwarded-for", told["headers"])
        status, body = ask("http2", "/x", "POST", bytes(3 << 20))
        self.assertEqual(json.loads(body)["bytes"], 3 << 20)
        self.assertEqual(ask("http2", "/x", "HEAD"), (200, b""))

    def test_a_body_without_a_length_streams_through(self):
        pieces = [os.urandom(PIECE) for _ in range(50)]
        self.assertEqual(ask("http2", "/echo", "POST", iter(pieces)), (200, b"".join(pieces)))

    def test_clients_of_http2_reach_it_too(self):
        answer = subprocess.run(
            ["curl", "--silent", "--http2-prior-knowledge", "--data", "abc",
             f"http://127.0.0.1:{server.port}/fn/http2/by-curl"],
            check=True, capture_output=True, timeout=CALL_TIMEOUT)  # fmt: skip
        told = json.loads(answer.stdout)
        self.assertEqual((told["path"], told["bytes"], told["version"]), ("/by-curl", 3, "2"))

    def test_calls_are_driven_there(self):
        call = json.loads(thaw("invoke", "http2", "--async", "--path", "/later", "--data", "abc",
                               "--json").stdout)["call"]  # fmt: skip
        told = json.loads(thaw("call", "result", call, "--wait", "60").stdout)
        self.assertEqual((told["path"], told["bytes"], told["version"]), ("/later", 3, "2"))
        self.assertEqual(told["headers"]["thaw-call-id"], call)

    def test_a_websocket_is_refused_by_a_sentence(self):
        key = base64.b64encode(os.urandom(16)).decode()
        status, body = ask("http2", "/socket", headers={
            "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
            "sec-websocket-key": key})  # fmt: skip
        self.assertEqual(status, 501)
        self.assertIn("WebSockets are not carried", json.loads(body)["error"])

    def test_a_server_that_only_speaks_http1_is_told_so(self):
        push("old", "--wire", "h2c", folder="odd")
        status, body = ask("old")
        self.assertEqual(status, 500)
        self.assertIn("which its function says that it speaks", json.loads(body)["error"])


if __name__ == "__main__":
    main()
