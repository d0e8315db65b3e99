# SPDX-License-Identifier: Apache-2.0
"""Plain HTTP over HTTP/2, deadlines, silence, and readers that stall."""

import os
import socket
import subprocess
import tempfile
import threading
import time
import unittest

import grpc_testing
from grpc_testing import MIB, SERVICE, Answer, Ask, EchoServer, eventually
from raw_http2 import (CANCEL, DATA, END_STREAM, GOAWAY, INITIAL_WINDOW, NO_ERROR, PING, ACK,
                       RST_STREAM, WINDOW_UPDATE, Peer, frame, message)

OPEN_WINDOW = frame(WINDOW_UPDATE, payload=(2**31 - 1 - 65535).to_bytes(4, "big"))


class Http2Test(unittest.TestCase):
    def server(self, **limits):
        server = EchoServer(**limits)
        self.addCleanup(server.stop)
        return server

    def curl(self, server, path, *options):
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--http2-prior-knowledge", *options,
             "http://127.0.0.1:%d%s" % (server.port, path)],
            check=True, capture_output=True, timeout=20, env={**os.environ, "no_proxy": "*"}).stdout

    def numbers(self, server):
        with Peer(server, unix=True) as peer:
            fields, data, _ = peer.answer(peer.call(SERVICE + "Numbers", b""))
            return Answer.FromString(data[5:]).numbers

    def test_plain_requests_are_served(self):
        server = self.server()
        self.assertEqual(self.curl(server, "/?a=b"), b"GET /?a=b HTTP/2\n")
        self.assertEqual(self.curl(server, "/none", "-o", "/dev/null", "-w", "%{http_code}"),
                         b"404")
        head = self.curl(server, "/", "--head").decode()
        self.assertIn("content-length:", head)
        with tempfile.NamedTemporaryFile() as file:
            file.write(os.urandom(MIB) * 20)
            file.flush()
            echoed = self.curl(server, "/echo", "--data-binary", "@" + file.name,
                               "-H", "Expect: 100-continue")
            file.seek(0)
            self.assertEqual(echoed, file.read())

    def test_both_protocols_share_the_port_and_the_socket(self):
        server = self.server()
        self.assertEqual(self.curl(server, "/", "--http1.1"), b"GET / HTTP/1.1\n")
        self.assertEqual(self.curl(server, "/", "--unix-socket", server.socket),
                         b"GET / HTTP/2\n")

    def test_a_body_is_streamed_as_it_comes(self):
        with Peer(self.server()) as peer:
            stream = peer.begin("/echo", grpc=False)
            for piece in (b"one", b"two"):
                peer.send(frame(DATA, 0, stream, piece))
                got = peer.read()
                while got[0] != DATA:
                    got = peer.read()
                self.assertEqual(got[3], piece)
            peer.send(frame(DATA, END_STREAM, stream))
            self.assertEqual(peer.answer(stream)[1:], (b"", None))

    def test_the_deadline_of_the_header_ends_the_call(self):
        server = self.server()
        with Peer(server) as peer:
            stream = peer.call(SERVICE + "Park", b"", ("grpc-timeout", "100m"))
            self.assertEqual(peer.answer(stream)[0]["grpc-status"], "4")
            stream = peer.call(SERVICE + "Say", b"", ("grpc-timeout", "soon"))
            self.assertEqual(peer.answer(stream)[0]["grpc-status"], "3")
        eventually(lambda: self.numbers(server)["cancelled"] == 1)

    def test_a_reset_reaches_the_handler(self):
        server = self.server()
        with Peer(server) as peer:
            stream = peer.call(SERVICE + "Park", b"")
            eventually(lambda: self.numbers(server)["parked"] == 1)
            peer.send(frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))
            eventually(lambda: self.numbers(server)["cancelled"] == 1)

    def test_a_client_that_goes_away_while_it_waits_ends_its_handlers_and_no_others(self):
        server = self.server()

        def stands(parked, cancelled):
            numbers = self.numbers(server)
            return (numbers["parked"], numbers["cancelled"]) == (parked, cancelled)

        def ask(peer):
            peer.call(SERVICE + "Park", b"")
            return peer.begin("/hold", grpc=False)  # its body has not ended

        with Peer(server) as stays:
            stream = ask(stays)
            for number, leave in enumerate((
                lambda peer: peer.sock.close(),
                lambda peer: peer.sock.shutdown(socket.SHUT_WR),
                lambda peer: peer.abort(),
            )):  # fmt: skip
                with Peer(server) as leaves:
                    ask(leaves)
                    eventually(lambda: stands(4, 2 * number))
                    leave(leaves)
                    eventually(lambda: stands(2, 2 * number + 2))
            # One that is given up leaves the other one of the same connection alone.
            stays.send(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
            eventually(lambda: stands(1, 7))
        eventually(lambda: stands(0, 8))

    def test_a_goaway_with_an_error_gives_up_what_runs(self):
        server = self.server()
        with Peer(server) as peer:
            peer.call(SERVICE + "Park", b"")
            eventually(lambda: self.numbers(server)["parked"] == 1)
            peer.send(frame(GOAWAY, 0, 0, (0).to_bytes(4, "big") + (2).to_bytes(4, "big")))
            peer.wait_closed()
        eventually(lambda: self.numbers(server)["cancelled"] == 1)

    def test_an_answer_before_the_end_of_the_request_is_whole(self):
        with Peer(self.server()) as peer:
            stream = peer.begin(SERVICE + "Nothing")
            self.assertEqual(peer.answer(stream)[0]["grpc-status"], "12")
            # What comes late is dropped and does not use up the connection's window.
            for _ in range(3_000):
                peer.send(frame(DATA, 0, stream, bytes(16_000)))
            self.assertEqual(peer.answer(peer.call(SERVICE + "Say", b""))[0]["grpc-status"], "0")

    def test_a_request_that_nobody_reads_does_not_stop_the_others(self):
        with Peer(self.server()) as peer:
            for _ in range(4):
                # Parked has one message; what follows it stays unread, up to the stream's window.
                stream = peer.begin(SERVICE + "Park")
                peer.send(frame(DATA, 0, stream, message(b"")))
                for _ in range(261):
                    peer.send(frame(DATA, 0, stream, bytes(16_000)))
            ask = Ask(payload=b"x" * 16_000).SerializeToString()
            stream = peer.call(SERVICE + "Say", ask)
            self.assertEqual(peer.answer(stream)[0]["grpc-status"], "0")

    def test_a_silent_peer_is_pinged_and_given_up(self):
        server = self.server(idle_ping=0.2, ping_timeout=0.3)
        with Peer(server) as silent, Peer(server) as living, Peer(server, unix=True) as frozen:
            def answer_pings():
                while (got := living.read()) is not None:
                    if got[0] == PING and not got[1] & ACK:
                        living.send(frame(PING, ACK, 0, got[3]))

            answering = threading.Thread(target=answer_pings)
            answering.start()
            silent.wait_closed()
            # Two more rounds for those who live: one answers, one is a process on this machine.
            with Peer(server) as silent_again:
                silent_again.wait_closed()
            eventually(lambda: self.numbers(server)["connections"] == 3)
            self.assertEqual(living.sock.fileno() >= 0 and answering.is_alive(), True)
            frozen.send(frame(PING, 0, 0, b"12345678"))
            while (got := frozen.read())[0] != PING:
                pass
            server.terminate()
            answering.join()

    def test_drain_says_goaway(self):
        server = self.server()
        with Peer(server) as peer:
            self.assertEqual(peer.answer(peer.call(SERVICE + "Say", b""))[0]["grpc-status"], "0")
            server.terminate()
            self.assertEqual(peer.goodbye(), NO_ERROR)

    def stall(self, server, ask):
        """Asks, then reads a byte a second; the server's largest memory meanwhile."""
        with Peer(server, settings=[(INITIAL_WINDOW, 2**31 - 1)]) as peer:
            peer.send(OPEN_WINDOW)
            ask(peer)
            largest = 0
            for _ in range(3):
                self.assertEqual(len(peer.sock.recv(1)), 1)
                for _ in range(10):
                    time.sleep(0.1)
                    largest = max(largest, server.resident_bytes())
            print("%d MB" % (server.resident_bytes("VmHWM") // 10**6), end=" ... ", flush=True)
            return max(largest, server.resident_bytes("VmHWM"))

    def test_ten_large_messages_of_a_stream_wait_for_a_slow_reader(self):
        server = self.server()
        ask = Ask(count=10, reply_bytes=100 * MIB - 64).SerializeToString()
        largest = self.stall(server, lambda peer: peer.call(SERVICE + "Items", ask))
        self.assertLess(largest, 200 * 10**6)
        eventually(lambda: server.resident_bytes() < 50 * 10**6)

    def test_ten_large_replies_wait_for_a_slow_reader(self):
        server = self.server()
        ask = Ask(reply_bytes=100 * MIB - 64).SerializeToString()

        def ask_ten(peer):
            for _ in range(10):
                peer.call(SERVICE + "Big", ask)

        largest = self.stall(server, ask_ten)
        self.assertLess(largest, 200 * 10**6)
        eventually(lambda: server.resident_bytes() < 50 * 10**6)


if __name__ == "__main__":
    grpc_testing.main()
