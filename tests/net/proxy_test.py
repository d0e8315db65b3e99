# SPDX-License-Identifier: Apache-2.0
"""HttpClient and proxy(): usage: proxy_test.py PATH-OF-HTTP_ECHO_SERVER

Two echo servers (the front one proxies to the other), and upstreams made of raw sockets for what a
decent server never does.
"""

import hashlib
import os
import socket
import tempfile
import threading
import time
import unittest

from net_testing import EchoServer, Peer, eventually, main


class RawUpstream:
    """Accepts connections and runs `script(peer)` on each in a thread."""

    def __init__(self, script):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.script = script
        self.connections = 0
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with Peer(sock) as peer:
            try:
                self.script(peer)
            except (EOFError, OSError):
                pass

    def stop(self):
        self.listener.close()


def request_head(peer):
    first = peer.line()
    headers = {}
    while line := peer.line():
        name, value = line.split(": ", 1)
        headers[name] = value
    return first, headers


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        path = os.path.join(cls.folder.name, "upstream.sock")
        cls.upstream = EchoServer("--unix", path)
        cls.server = EchoServer("--upstream", str(cls.upstream.port), "--upstream-unix", path)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0
        assert cls.upstream.stop() == 0
        cls.folder.cleanup()

    def peer(self, server=None):
        peer = Peer((server or self.server).connect())
        self.addCleanup(peer.sock.close)
        return peer

    def raw(self, script):
        upstream = RawUpstream(script)
        self.addCleanup(upstream.stop)
        server = EchoServer("--upstream", str(upstream.port))
        self.addCleanup(server.stop)
        return upstream, server

    # -- whole exchanges

    def test_requests_and_answers_of_each_kind(self):
        for way in ("/tcp", "/unix"):
            peer = self.peer()
            self.assertEqual(peer.ask(way + "/hello").body, b"hello")
            self.assertEqual(peer.ask(way + "/bytes?n=300000").body, b"x" * 300000)
            self.assertEqual(peer.ask(way + "/chunked?n=300000").body, b"x" * 300000)
            self.assertEqual(peer.ask(way + "/bytes?n=0").body, b"")
            self.assertEqual(peer.ask(way + "/status?n=204").status, 204)
            self.assertEqual(peer.ask(way + "/status?n=304").status, 304)
            self.assertEqual(peer.ask(way + "/status?n=503").status, 503)
            head = peer.ask(way + "/hello", method="HEAD")
            self.assertEqual((head.status, head.headers["content-length"]), (200, "5"))
            self.assertEqual(peer.ask(way + "/chunked?n=5", method="HEAD").status, 200)
            for size in (0, 1, 1000, 65536, 65537, 1_000_000):
                body = os.urandom(size)
                self.assertEqual(peer.ask(way + "/echo", "POST", body=body).body, body)
            self.assertEqual(peer.ask(way + "/hello").body, b"hello")

    def test_chunked_requests_stay_chunked(self):
        peer = self.peer()
        peer.send("POST /tcp/show HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n0\r\n\r\n")
        self.assertIn(b"transfer-encoding: chunked", peer.answer().body)
        peer.send("POST /tcp/count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n")
        self.assertEqual(peer.answer().body, b"3")

    def test_hop_by_hop_headers_stay_on_their_hop(self):
        shown = self.peer().ask(
            "/tcp/show?a=b", headers="connection: keep-alive, x-private\r\nx-private: 1\r\n"
            "keep-alive: 5\r\nte: trailers\r\nupgrade: h2c\r\nproxy-authorization: secret\r\n"
            "x-forwarded-for: 6.6.6.6\r\nx-kept: 1\r\n").body.decode()
        self.assertTrue(shown.startswith("GET /show?a=b 1.1 test\n"), shown)
        self.assertIn("x-forwarded-for: 1.2.3.4\n", shown)
        self.assertIn("x-kept: 1\n", shown)
        for gone in ("x-private", "keep-alive", "te:", "upgrade", "secret", "6.6.6.6"):
            self.assertNotIn(gone, shown)

    def test_answers_lose_their_hop_by_hop_headers(self):
        def script(peer):
            while True:
                request_head(peer)
                peer.send("HTTP/1.1 200 OK\r\nconnection: keep-alive, x-private\r\n"
                          "keep-alive: timeout=5\r\nx-private: 1\r\nset-cookie: a\r\n"
                          "set-cookie: b\r\nserver: raw\r\ndate: then\r\n"
                          "content-length: 2\r\n\r\nok")

        _, server = self.raw(script)
        peer = self.peer(server)
        peer.send("GET /tcp/ HTTP/1.1\r\nhost: x\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.exactly(1)
        self.assertEqual(head.count(b"set-cookie"), 2)
        self.assertEqual(head.count(b"date: then"), 1)
        self.assertEqual(head.count(b"date"), 1)
        self.assertIn(b"server: raw", head)
        self.assertNotIn(b"private", head)
        self.assertNotIn(b"timeout=5", head)

    def test_expect_100_continue_is_answered_by_the_proxy(self):
        peer = self.peer()
        peer.send("POST /tcp/count HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
                  "content-length: 3\r\n\r\n")
        self.assertEqual(peer.head()[0], 100)
        peer.send("abc")
        self.assertEqual(peer.answer().body, b"3")

    def test_interim_answers_are_skipped(self):
        def script(peer):
            while True:
                request_head(peer)
                peer.send("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
                          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                          "content-length: 2\r\n\r\nok")

        _, server = self.raw(script)
        peer = self.peer(server)
        for _ in range(3):
            self.assertEqual(peer.ask("/tcp/").body, b"ok")

    def test_an_answer_without_a_length_lasts_to_the_end(self):
        def script(peer):
            request_head(peer)
            peer.send("HTTP/1.0 200 OK\r\n\r\n" + "y" * 100_000)

        _, server = self.raw(script)
        peer = self.peer(server)
        for _ in range(3):
            self.assertEqual(peer.ask("/tcp/").body, b"y" * 100_000)

    # -- streams

    def test_events_arrive_one_by_one(self):
        go = [threading.Event() for _ in range(5)]

        def script(peer):
            request_head(peer)
            peer.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                      "transfer-encoding: chunked\r\n\r\n")
            for i, event in enumerate(go):
                event.wait(20)
                peer.send("7\r\ndata: %d\r\n" % i)
            peer.send("0\r\n\r\n")

        _, server = self.raw(script)
        peer = self.peer(server)
        peer.send("GET /tcp/ HTTP/1.1\r\nhost: x\r\n\r\n")
        self.assertEqual(peer.head()[0], 200)
        for i, event in enumerate(go):
            event.set()
            self.assertEqual(peer.chunk(), b"data: %d" % i)
        self.assertEqual(peer.chunk(), b"")

    def test_both_directions_stream_at_once(self):
        peer = self.peer()
        peer.send("POST /tcp/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        self.assertEqual(peer.head()[0], 200)
        for i in range(20):
            peer.send("2\r\n%02d\r\n" % i)
            self.assertEqual(peer.chunk(), b"%02d" % i)
        peer.send("0\r\n\r\n")
        self.assertEqual(peer.chunk(), b"")
        self.assertEqual(peer.ask("/tcp/hello").body, b"hello")

    def test_a_large_body_goes_through_whole_and_costs_no_memory(self):
        for way in ("/tcp", "/unix"):
            peer = self.peer()
            piece = os.urandom(1 << 20)
            rounds = 64
            sent, received = hashlib.sha256(), hashlib.sha256()

            def send():
                peer.send("POST %s/echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
                          % (way, rounds * len(piece)))
                for _ in range(rounds):
                    sent.update(piece)
                    peer.send(piece)

            sender = threading.Thread(target=send)
            sender.start()
            _, headers = peer.head()
            left = int(headers["content-length"])
            while left:
                data = peer.exactly(min(left, 65536))
                received.update(data)
                left -= len(data)
            sender.join()
            self.assertEqual(sent.digest(), received.digest())
            self.assertTrue(self.server.memory_is_bounded())

    def test_a_slow_reader_holds_the_upstream_back(self):
        peer = self.peer()
        peer.send("GET /tcp/bytes?n=%d HTTP/1.1\r\nhost: x\r\n\r\n" % (200 << 20))
        peer.head()
        for _ in range(5):
            peer.exactly(10_000)
            self.assertTrue(self.server.memory_is_bounded())
            self.assertTrue(self.upstream.memory_is_bounded())

    def test_a_slow_upstream_holds_the_client_back(self):
        peer = self.peer()
        peer.send("POST /tcp/hang HTTP/1.1\r\nhost: x\r\ncontent-length: 200000000\r\n\r\n")
        peer.sock.settimeout(1)
        with self.assertRaises(TimeoutError):
            for _ in range(200):
                peer.send(b"x" * 1_000_000)
        self.assertTrue(self.server.memory_is_bounded())
        peer.reset()
        eventually(lambda: self.upstream.tell()["hanging"] == 0)

    # -- ends

    def test_a_client_that_goes_away_ends_the_work_upstream(self):
        before = self.upstream.tell()["gone"]
        peers = [self.peer() for _ in range(10)]
        for peer in peers:
            peer.send("GET /tcp/hang HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: self.upstream.tell()["hanging"] == 10)
        for i, peer in enumerate(peers):
            if i % 2:
                peer.reset()
            else:
                peer.sock.close()
        eventually(lambda: self.upstream.tell()["gone"] == before + 10)

    def test_a_client_that_goes_away_in_its_body(self):
        for tail in ("content-length: 1000000\r\n\r\nabc", "content-length: 1000\r\n\r\nabc",
                     "transfer-encoding: chunked\r\n\r\n5\r\nab"):
            peer = self.peer()
            peer.send("POST /tcp/count HTTP/1.1\r\nhost: x\r\n" + tail)
            peer.sock.close()
        self.assertEqual(self.peer().ask("/tcp/hello").body, b"hello")

    def test_a_malformed_body_is_the_clients_mistake(self):
        peer = self.peer()
        peer.send("POST /tcp/count HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")
        self.assertEqual(peer.answer().status, 400)

    def test_an_upstream_that_is_not_there(self):
        peer = self.peer()
        for _ in range(3):
            self.assertEqual(peer.ask("/dead/").status, 503)
            self.assertEqual(peer.ask("/dead/", "POST", body=b"x" * 1000).status, 503)

    def test_an_upstream_that_breaks_off_before_its_head(self):
        for half in ("", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\ncontent-le", "garbage\r\n\r\n",
                     "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                     "HTTP/1.1 200 OK\r\nx: %s\r\n\r\n" % ("a" * 500_000)):
            def script(peer):
                request_head(peer)
                peer.send(half)

            _, server = self.raw(script)
            with self.subTest(half=half[:60]):
                self.assertEqual(self.peer(server).ask("/tcp/").status, 503)

    def test_an_upstream_that_breaks_off_in_its_body_cuts_the_client(self):
        for half in ("content-length: 100\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc",
                     "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzzz\r\n"):
            def script(peer):
                request_head(peer)
                peer.send("HTTP/1.1 200 OK\r\n" + half)

            _, server = self.raw(script)
            peer = self.peer(server)
            peer.send("GET /tcp/ HTTP/1.1\r\nhost: x\r\n\r\n")
            with self.assertRaises((EOFError, ConnectionResetError)):
                peer.answer()

    def test_an_upstream_that_resets_behind_half_an_answer_cuts_the_client(self):
        for half in ("content-le", "content-length: 100\r\n\r\n", "content-length: 100\r\n\r\nabc",
                     "transfer-encoding: chunked\r\n\r\n3\r\nabc", "\r\nabc"):
            def script(peer):
                request_head(peer)
                peer.send("HTTP/1.1 200 OK\r\n" + half)
                peer.reset()

            _, server = self.raw(script)
            peer = self.peer(server)
            peer.send("GET /tcp/ HTTP/1.1\r\nhost: x\r\n\r\n")
            with self.subTest(half=half):
                try:
                    self.assertEqual(peer.answer().status, 503)
                except (EOFError, ConnectionResetError):
                    pass

    def test_an_upstream_that_answers_before_it_has_the_body(self):
        def script(peer):
            request_head(peer)
            peer.send("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
            peer.sock.shutdown(socket.SHUT_WR)
            while peer.sock.recv(65536):
                pass

        _, server = self.raw(script)
        peer = self.peer(server)
        peer.send("POST /tcp/ HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\nabc")
        answer = peer.answer()
        self.assertEqual((answer.status, answer.body), (413, b"no"))

    def test_a_deadline_ends_the_wait(self):
        peer = self.peer()
        self.assertEqual(peer.ask("/tcp/hang?deadline_ms=200").status, 504)
        self.assertEqual(peer.ask("/fetch/hang?deadline_ms=200").status, 504)
        eventually(lambda: self.upstream.tell()["hanging"] == 0)
        self.assertEqual(peer.ask("/tcp/hello?deadline_ms=20000").body, b"hello")

    # -- the pool

    def test_connections_are_kept_and_used_again(self):
        def script(peer):
            while True:
                request_head(peer)
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        upstream, server = self.raw(script)
        peer = self.peer(server)
        for _ in range(50):
            self.assertEqual(peer.ask("/tcp/").body, b"ok")
            self.assertEqual(peer.ask("/fetch/").body, b"ok")
        self.assertEqual(upstream.connections, 1)
        peer.ask("/forget")
        self.assertEqual(peer.ask("/tcp/").body, b"ok")
        self.assertEqual(upstream.connections, 2)

    def test_a_connection_that_went_stale_is_replaced(self):
        def script(peer):
            for _ in range(2):
                request_head(peer)
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        upstream, server = self.raw(script)
        peer = self.peer(server)
        for _ in range(10):
            self.assertEqual(peer.ask("/tcp/").body, b"ok")
            self.assertEqual(peer.ask("/fetch/").body, b"ok")
        self.assertGreaterEqual(upstream.connections, 10)

    def test_a_request_that_meets_a_closing_connection_is_sent_again(self):
        # The second request of each connection is taken and never answered.
        def script(peer):
            request_head(peer)
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            first, headers = request_head(peer)
            peer.exactly(int(headers.get("content-length", 0)))

        upstream, server = self.raw(script)
        peer = self.peer(server)
        for way in ("/tcp/", "/fetch/"):
            for _ in range(5):
                self.assertEqual(peer.ask(way).body, b"ok")
            # With a body it might be done twice: that is for the caller to decide.
            self.assertEqual(peer.ask(way, "POST", body=b"abc").status, 503)

    def test_a_connection_with_bytes_that_nobody_asked_for_is_not_kept(self):
        def script(peer):
            while True:
                request_head(peer)
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"
                          "content-length: 4\r\n\r\nevil")

        _, server = self.raw(script)
        peer = self.peer(server)
        for _ in range(10):
            self.assertEqual(peer.ask("/tcp/").body, b"ok")

    def test_many_at_once(self):
        peers = [self.peer() for _ in range(200)]
        for _ in range(3):
            for i, peer in enumerate(peers):
                peer.send("GET /%s/bytes?n=%d HTTP/1.1\r\nhost: x\r\n\r\n"
                          % (("tcp", "unix")[i % 2], i))
            for i, peer in enumerate(peers):
                self.assertEqual(len(peer.answer().body), i)

    # -- the client alone

    def test_the_client_sends_and_reads_bodies(self):
        peer = self.peer()
        body = os.urandom(30_000_000)
        self.assertEqual(peer.ask("/fetch/echo", "POST", body=body).body, body)
        self.assertEqual(peer.ask("/fetch/chunked?n=300000").body, b"x" * 300000)
        self.assertEqual(peer.ask("/fetch/status?n=418").status, 418)

    def test_whether_anybody_listens_is_asked_once(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            peer = self.peer()
            self.assertEqual(
                peer.ask("/can-connect?port=%d&deadline_ms=20000" % port).body, b"no")
            listener.listen()
            self.assertEqual(
                peer.ask("/can-connect?port=%d&deadline_ms=20000" % port).body, b"yes")

    # -- upgrades

    def test_a_websocket_is_a_tunnel(self):
        ended = threading.Event()

        def script(peer):
            first, headers = request_head(peer)
            assert headers["connection"] == "upgrade" and headers["upgrade"] == "websocket"
            assert headers["sec-websocket-key"] == "abc" and first.startswith("GET /chat ")
            peer.send("HTTP/1.1 101 Switching\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
                      "sec-websocket-accept: def\r\n\r\nwelcome")
            while data := peer.buffer or peer.sock.recv(65536):
                peer.buffer = b""
                peer.sock.sendall(data[::-1])
            peer.sock.sendall(b"bye")
            ended.set()

        _, server = self.raw(script)
        peer = self.peer(server)
        peer.send("GET /tcp/chat HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\n"
                  "upgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n")
        status, headers = peer.head()
        self.assertEqual((status, headers["connection"], headers["upgrade"]),
                         (101, "upgrade", "websocket"))
        self.assertEqual(headers["sec-websocket-accept"], "def")
        self.assertEqual(peer.exactly(7), b"welcome")
        for size in (1, 100, 60_000):
            data = os.urandom(size)
            peer.send(data)
            self.assertEqual(len(peer.exactly(size)), size)
        peer.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.exactly(3), b"bye")
        self.assertTrue(peer.at_end())
        self.assertTrue(ended.wait(20))

    def test_a_websocket_that_is_refused_is_an_answer(self):
        answer = self.peer().ask("/tcp/hello", headers="connection: upgrade\r\n"
                                 "upgrade: websocket\r\nsec-websocket-key: abc\r\n")
        self.assertEqual((answer.status, answer.body), (200, b"hello"))

    def test_an_upgrade_that_nobody_asked_for_is_refused(self):
        def script(peer):
            request_head(peer)
            peer.send("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            time.sleep(1)

        _, server = self.raw(script)
        self.assertEqual(self.peer(server).ask("/tcp/").status, 503)

    def test_either_end_of_a_tunnel_ends_it(self):
        def script(peer):
            request_head(peer)
            peer.send("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            if peer.exactly(1) == b"e":
                return
            while peer.more():
                pass
            ended.set()

        ended = threading.Event()
        _, server = self.raw(script)
        for first in (b"e", b"x"):
            peer = self.peer(server)
            peer.send("GET /tcp/ HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n"
                      "upgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n")
            self.assertEqual(peer.head()[0], 101)
            peer.send(first)
            if first == b"e":
                self.assertTrue(peer.at_end())
            else:
                peer.sock.close()
                self.assertTrue(ended.wait(20))


if __name__ == "__main__":
    main()
