# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as net/ serves it: usage: http1_test.py PATH-OF-HTTP_ECHO_SERVER"""

import hashlib
import http.client
import os
import random
import resource
import socket
import tempfile
import threading
import unittest

from net_testing import EchoServer, Peer, eventually, main


class Http1(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = EchoServer()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def peer(self):
        peer = Peer(self.server.connect())
        self.addCleanup(peer.sock.close)
        return peer

    # -- messages

    def test_a_connection_carries_many_requests(self):
        peer = self.peer()
        for _ in range(50):
            answer = peer.ask("/hello")
            self.assertEqual((answer.status, answer.body), (200, b"hello"))
            self.assertIn("date", answer.headers)
            self.assertNotIn("connection", answer.headers)

    def test_the_standard_library_is_understood(self):
        client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        for size in (0, 1, 70_000, 1_000_000):
            body = os.urandom(size)
            client.request("POST", "/echo", body=body)
            self.assertEqual(client.getresponse().read(), body)
            client.request("POST", "/echo", body=iter([body[:5], body[5:]]), encode_chunked=True,
                           headers={"transfer-encoding": "chunked"})
            self.assertEqual(client.getresponse().read(), body)
        client.close()

    def test_pipelined_requests_are_answered_in_order(self):
        peer = self.peer()
        one = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n%02d"
        peer.send("".join(one % i for i in range(100)))
        for i in range(100):
            self.assertEqual(peer.answer().body, b"%02d" % i)

    def test_pipelined_requests_survive_a_watching_handler(self):
        peer = self.peer()
        one = "POST /watched-echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        for _ in range(20):
            peer.send("".join(one + "2\r\n%02d\r\n0\r\n\r\n" % i for i in range(30)))
            for i in range(30):
                self.assertEqual(peer.answer().body, b"%02d" % i)

    def test_chunked_trailers_and_extensions_are_dropped(self):
        peer = self.peer()
        peer.send("POST /count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                  "3;name=value\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n")
        self.assertEqual(peer.answer().body, b"3")
        self.assertEqual(peer.ask("/hello").body, b"hello")

    def test_bytes_may_arrive_one_by_one(self):
        peer = self.peer()
        for byte in (b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                     b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nhost: x\r\n\r\n"):
            peer.send(bytes([byte]))
        self.assertEqual(peer.answer().body, b"abcd")
        self.assertEqual(peer.answer().body, b"hello")

    def test_both_directions_stream_at_once(self):
        peer = self.peer()
        peer.send("POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        self.assertEqual(peer.head()[0], 200)
        for i in range(20):
            peer.send("2\r\n%02d\r\n" % i)
            self.assertEqual(peer.chunk(), b"%02d" % i)
        peer.send("0\r\n\r\n")
        self.assertEqual(peer.chunk(), b"")

    def test_head_has_no_body(self):
        peer = self.peer()
        for _ in range(3):
            answer = peer.ask("/hello", method="HEAD")
            self.assertEqual((answer.status, answer.headers["content-length"]), (200, "5"))
            self.assertEqual(peer.ask("/chunked?n=100", method="HEAD").status, 200)
        self.assertEqual(peer.ask("/hello").body, b"hello")

    def test_204_and_304_have_no_body(self):
        peer = self.peer()
        for status in (204, 304):
            answer = peer.ask("/status?n=%d" % status)
            self.assertEqual(answer.status, status)
            self.assertNotIn("transfer-encoding", answer.headers)
        self.assertEqual(peer.ask("/hello").body, b"hello")

    def test_http_1_0_is_closed_after_the_answer_unless_it_asks(self):
        peer = self.peer()
        peer.send("GET /hello HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        self.assertEqual(peer.answer().headers["connection"], "keep-alive")
        peer.send("GET /chunked?n=1000 HTTP/1.0\r\n\r\n")
        answer = peer.answer()
        self.assertNotIn("transfer-encoding", answer.headers)
        self.assertEqual(len(answer.body), 1000)
        self.assertTrue(peer.at_end())

    def test_connection_close_is_obeyed(self):
        peer = self.peer()
        answer = peer.ask("/hello", headers="connection: close\r\n")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(peer.at_end())

    def test_expect_100_continue(self):
        peer = self.peer()
        peer.send("POST /count HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
                  "content-length: 3\r\n\r\n")
        self.assertEqual(peer.head()[0], 100)
        peer.send("abc")
        self.assertEqual(peer.answer().body, b"3")
        peer.send("POST /hello HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
                  "content-length: 3\r\n\r\n")
        answer = peer.answer()
        self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
        self.assertTrue(peer.at_end())

    def test_a_body_that_nobody_reads_does_not_disturb_the_next_request(self):
        peer = self.peer()
        for _ in range(3):
            self.assertEqual(peer.ask("/hello", method="POST", body=b"x" * 100_000).body, b"hello")
        peer.send("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        self.assertEqual(peer.answer().body, b"hello")
        try:
            peer.send(b"x" * 10_000_000)
            self.assertTrue(peer.at_end())
        except (ConnectionResetError, BrokenPipeError):
            pass

    def test_absolute_targets_name_the_authority(self):
        peer = self.peer()
        peer.send("GET http://other:81/show?a=b HTTP/1.1\r\nhost: x\r\n\r\n")
        self.assertTrue(peer.answer().body.startswith(b"GET /show?a=b 1.1 other:81\n"))
        peer.send("GET HTTP://other:81/show?a=b HTTP/1.1\r\nhost: x\r\n\r\n")
        self.assertTrue(peer.answer().body.startswith(b"GET /show?a=b 1.1 other:81\n"))

    # -- what handlers do wrong

    def test_an_error_before_the_answer_is_the_answer(self):
        peer = self.peer()
        for code, status in ((3, 400), (5, 404), (7, 403), (8, 429), (12, 501), (14, 503),
                             (16, 401), (4, 504)):
            answer = peer.ask("/error?code=%d" % code)
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers["content-type"], "application/json")
            self.assertIn(b'"error":"asked \\"for\\" this"', answer.body)

    def test_a_handler_that_does_not_answer_is_500(self):
        self.assertEqual(self.peer().ask("/silent").status, 500)

    def test_an_error_in_the_middle_cuts_the_connection(self):
        for target in ("/late-error", "/short"):
            peer = self.peer()
            peer.send("GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % target)
            with self.assertRaises((EOFError, ConnectionResetError)):
                peer.answer()

    def test_an_answer_with_two_lengths_is_not_sent(self):
        answer = self.peer().ask("/two-lengths")
        self.assertEqual(answer.status, 500)
        self.assertIn(b"content-length is said more than once", answer.body)

    def test_a_header_with_a_line_break_is_not_sent(self):
        answer = self.peer().ask("/inject")
        self.assertEqual(answer.status, 500)
        self.assertNotIn("set-cookie", answer.headers)

    # -- hostile and broken peers

    def test_garbage_is_refused_and_the_connection_closed(self):
        cases = {
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n": 400,
            b"GET / HTTP/9.9\r\nhost: a\r\n\r\n": 400,
            b"GET /hello\r\n": 400,
            b"GET / HTTP/1.1\r\nhost:\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n": 400,
            b"GET / HTTP/1.1\r\nhost: a:99999\r\n\r\n": 400,
            b"GET HTTP://a@b/ HTTP/1.1\r\nhost: a\r\n\r\n": 400,
            b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n": 400,
            b"G" * 70_000 + b" / HTTP/1.1\r\nhost: a\r\n\r\n": 431,
            b"GET /\x00 HTTP/1.1\r\nhost: a\r\n\r\n": 400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n"
            b"transfer-encoding: chunked\r\n\r\n": 400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n": 400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx": 400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx": 400,
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n": 400,
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: x\r\n\r\n": 501,
            b"GET / HTTP/1.1\r\nhost : a\r\n\r\n": 400,
            b"POST /count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nz\r\n": 400,
        }
        for request, status in cases.items():
            with self.subTest(request=request):
                peer = self.peer()
                peer.send(request)
                answer = peer.answer()
                self.assertEqual((answer.status, answer.headers["connection"]), (status, "close"))
                self.assertTrue(peer.at_end())

    def test_random_bytes_do_not_harm(self):
        dice = random.Random(1)
        words = [b"GET ", b"POST ", b"/echo", b" HTTP/1.1\r\n", b"host: x\r\n", b"\r\n", b"\r",
                 b"0", b"transfer-encoding: chunked\r\n", b"content-length: 5\r\n", b"\xff", b":",
                 b"3\r\n"]
        for _ in range(300):
            peer = Peer(self.server.connect())
            peer.send(b"".join(dice.choice(words) for _ in range(dice.randrange(1, 30))))
            peer.sock.close()
        self.assertEqual(self.peer().ask("/hello").body, b"hello")

    def test_huge_heads_are_refused(self):
        for request in ("GET /%s HTTP/1.1\r\nhost: x\r\n\r\n" % ("a" * 200_000),
                        "GET / HTTP/1.1\r\nhost: x\r\nx: %s\r\n\r\n" % ("a" * 200_000),
                        "GET / HTTP/1.1\r\nhost: x\r\n%s\r\n" % ("a: b\r\n" * 30_000)):
            peer = self.peer()
            try:
                peer.send(request)
            except (ConnectionResetError, BrokenPipeError):
                pass
            self.assertEqual(peer.answer().status, 431)
            self.assertTrue(peer.at_end())

    def test_large_heads_within_the_limit_are_served(self):
        answer = self.peer().ask("/show", headers="x: %s\r\n" % ("a" * 60_000))
        self.assertEqual(answer.body.count(b"a"), 60_000)

    def test_endless_chunk_extensions_are_refused(self):
        peer = self.peer()
        peer.send("POST /count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;")
        try:
            for _ in range(20):
                peer.send(b"x" * 10_000)
        except (ConnectionResetError, BrokenPipeError):
            pass
        self.assertEqual(peer.answer().status, 400)

    def test_too_much_behind_a_chunked_body_is_refused(self):
        head = "POST /count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
        for size, count in ((1000, 20), (1000, 200), (20_000, 1), (5_000_000, 1)):
            with self.subTest(size=size, count=count):
                peer = self.peer()
                try:
                    peer.send(head + "".join("x%d: %s\r\n" % (i, "y" * size) for i in range(count)))
                    peer.send("\r\n")
                except (ConnectionResetError, BrokenPipeError):
                    pass
                self.assertEqual(peer.answer().status, 400)

    def test_silent_peers_are_timed_out(self):
        server = EchoServer("--patience", "none")
        self.addCleanup(server.stop)
        heads, idle = Peer(server.connect()), Peer(server.connect())
        heads.send("GET / HTTP/1.1\r\nhost: x\r\n")
        idle.send("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
        self.assertEqual(idle.answer().body, b"hello")
        for peer in (heads, idle):
            self.assertTrue(peer.at_end())
            peer.sock.close()

    def test_a_disconnect_in_the_middle_ends_the_handler(self):
        before = self.server.tell()["gone"]
        peers = [self.peer() for _ in range(20)]
        for peer in peers:
            peer.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: self.server.tell()["hanging"] == 20)
        for i, peer in enumerate(peers):
            if i % 2:
                peer.reset()
            else:
                peer.sock.close()
        eventually(lambda: self.server.tell()["gone"] == before + 20)
        self.assertEqual(self.server.tell()["hanging"], 0)

    def test_an_end_that_comes_with_the_request_is_seen(self):
        for _ in range(20):
            peer = self.peer()
            peer.send("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
            peer.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.answer().body, b"hello")
            self.assertTrue(peer.at_end())

    def test_a_reset_that_comes_with_the_request_is_seen(self):
        before = self.server.tell()["gone"]
        sent = 0
        while self.server.tell()["gone"] < before + 5:
            peer = self.peer()
            # The connection is known, so that the request and the reset may arrive as one.
            peer.ask("/hello")
            peer.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
            peer.reset()
            sent += 1
            self.assertLess(sent, 1000)
        eventually(lambda: self.server.tell()["hanging"] == 0)

    def test_a_disconnect_is_seen_behind_pipelined_bytes(self):
        before = self.server.tell()["gone"]
        peer = self.peer()
        peer.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n"
                  "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: self.server.tell()["hanging"] == 1)
        peer.sock.close()
        eventually(lambda: self.server.tell()["gone"] == before + 1)

    def test_a_disconnect_while_sending_a_body(self):
        for tail in ("content-length: 1000\r\n\r\nabc",
                     "transfer-encoding: chunked\r\n\r\n5\r\nab"):
            for path in ("/count", "/echo", "/hello"):
                peer = self.peer()
                peer.send("POST %s HTTP/1.1\r\nhost: x\r\n%s" % (path, tail))
                peer.sock.close()
        self.assertEqual(self.peer().ask("/hello").body, b"hello")

    # -- size

    def test_a_hundred_thousand_pipelined_requests(self):
        peer = self.peer()
        request = b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"

        def send():
            for _ in range(100):
                peer.send(request * 1000)

        # Its answers are read only once all of it waits: what does not fit is not taken.
        sender = threading.Thread(target=send)
        sender.start()
        self.assertEqual(self.peer().ask("/hello").body, b"hello")
        self.assertTrue(self.server.memory_is_bounded())
        for _ in range(100_000):
            self.assertEqual(peer.answer().body, b"hello")
        sender.join()

    def test_a_thousand_connections_stay_alive(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        request = "GET /hello HTTP/1.1\r\nhost: x\r\n\r\n"
        peers = []
        for _ in range(1000):
            peers.append(self.peer())
            # At once: to open them all may take longer than a first request may.
            peers[-1].send(request)
        for _ in range(2):
            for peer in peers:
                self.assertEqual(peer.answer().body, b"hello")
            for peer in peers:
                peer.send(request)
        for peer in peers:
            self.assertEqual(peer.answer().body, b"hello")
        self.assertTrue(self.server.memory_is_bounded())

    def test_a_slow_reader_of_a_large_body_costs_no_memory(self):
        size = 200 << 20
        for path in ("/bytes", "/chunked"):
            peer = self.peer()
            peer.send("GET %s?n=%d HTTP/1.1\r\nhost: x\r\n\r\n" % (path, size))
            peer.head()
            for _ in range(5):
                peer.exactly(10_000)
                self.assertTrue(self.server.memory_is_bounded())
            peer.sock.close()
        self.assertEqual(self.peer().ask("/hello").body, b"hello")

    def test_a_large_body_goes_through_whole(self):
        peer = self.peer()
        piece = os.urandom(1 << 20)
        rounds = 50
        sent = hashlib.sha256()

        def send():
            peer.send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
                      % (rounds * len(piece)))
            for _ in range(rounds):
                sent.update(piece)
                peer.send(piece)

        sender = threading.Thread(target=send)
        sender.start()
        _, headers = peer.head()
        received = hashlib.sha256()
        left = int(headers["content-length"])
        while left:
            data = peer.exactly(min(left, 65536))
            received.update(data)
            left -= len(data)
        sender.join()
        self.assertEqual(sent.digest(), received.digest())
        self.assertTrue(self.server.memory_is_bounded())

    def test_a_writer_that_nobody_reads_waits(self):
        peer = self.peer()
        peer.send("POST /hang HTTP/1.1\r\nhost: x\r\ncontent-length: 200000000\r\n\r\n")
        peer.sock.settimeout(1)
        with self.assertRaises(TimeoutError):
            for _ in range(200):
                peer.send(b"x" * 1_000_000)
        self.assertTrue(self.server.memory_is_bounded())

    # -- the server's life

    def test_a_unix_socket_serves_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "server.sock")
            server = EchoServer("--unix", path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(20)
                sock.connect(path)
                peer = Peer(sock)
                for size in (0, 10, 1_000_000):
                    body = os.urandom(size)
                    self.assertEqual(peer.ask("/count", "POST", body=body).body, b"%d" % size)
                self.assertIn(b"peer tester", peer.ask("/show").body)
            self.assertEqual(server.stop(), 0)
            self.assertFalse(os.path.exists(path))

    def test_a_drain_lets_running_requests_end_and_closes_idle_connections(self):
        server = EchoServer()
        idle, busy, slow = [Peer(server.connect()) for _ in range(3)]
        self.assertEqual(idle.ask("/hello").body, b"hello")
        busy.send("POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        self.assertEqual(busy.head()[0], 200)
        slow.send("POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n")
        eventually(lambda: server.tell()["hanging"] == 0)
        server.drain()
        self.assertTrue(idle.at_end())
        slow.send("abc")
        answer = slow.answer()
        self.assertEqual((answer.body, answer.headers["connection"]), (b"3", "close"))
        busy.send("0\r\n\r\n")
        self.assertEqual((busy.chunk(), busy.chunk()), (b"a", b""))
        for peer in (slow, busy):
            self.assertTrue(peer.at_end())
            peer.sock.close()
        idle.sock.close()
        self.assertTrue(server.drained())
        with self.assertRaises(ConnectionRefusedError):
            server.connect()
        self.assertEqual(server.stop(), 0)

    def test_a_stop_does_not_wait_for_requests_that_run(self):
        server = EchoServer()
        peers = [Peer(server.connect()) for _ in range(10)]
        for peer in peers:
            peer.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: server.tell()["hanging"] == 10)
        self.assertEqual(server.stop(), 0)
        for peer in peers:
            self.assertTrue(peer.at_end())
            peer.sock.close()

    def test_events_arrive_one_by_one(self):
        peer = self.peer()
        peer.send("GET /events?n=5 HTTP/1.1\r\nhost: x\r\n\r\n")
        peer.head()
        for i in range(5):
            self.assertEqual(peer.chunk(), b"data: %d\n\n" % i)
        self.assertEqual(peer.chunk(), b"")


if __name__ == "__main__":
    main()
