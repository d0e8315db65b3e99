# SPDX-License-Identifier: Apache-2.0
"""Peers that send and wait, or hold what they have: nobody else goes without."""

import os
import select
import socket
import unittest

import grpc_testing
from grpc_testing import MIB, SERVICE, Answer, Ask, EchoServer, eventually
from raw_http2 import (ACK, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PREFACE,
                       REFUSED_STREAM, SETTINGS, Peer, frame, message)

INTERNAL_ERROR = 2
UNAUTHENTICATED, RESOURCE_EXHAUSTED = "16", "8"


class SharesTest(unittest.TestCase):
    def serve(self, **limits):
        self.server = EchoServer(admit=1, **limits)
        self.addCleanup(self.end)

    def end(self):
        # Somebody else, with a token, is answered whatever the others hold.
        self.assertEqual(self.say(self.peer(), "bystander"), "0")
        self.assertLess(self.server.resident_bytes("VmHWM"), 80 * MIB)
        self.assertEqual(self.server.stop(), 0)

    def peer(self, **options):
        peer = Peer(self.server, **options)
        self.addCleanup(peer.sock.close)
        return peer

    def settled(self):
        """One that has taken the server's settings: its windows are as wide as that allows."""
        peer = self.peer()
        self.assertEqual(peer.read()[0], SETTINGS)
        peer.encoder.header_table_size = 2048
        peer.send(frame(SETTINGS, ACK))
        return peer

    def heads(self, peer):
        """The fields of a head, if one is among what has arrived."""
        peer.sock.settimeout(0.01)
        try:
            while (got := peer.read()) is not None:
                if got[0] == HEADERS:
                    return dict(peer.decoder.decode(got[3]))
        except TimeoutError:
            pass
        return None

    def answers(self, peer, streams):
        """The header fields of the answers to all of them, in whatever order they come."""
        found = {}
        while len(found) < len(streams):
            kind, _, of, payload = peer.read()
            if kind == HEADERS:
                found[of] = dict(peer.decoder.decode(payload))
        return [found[stream] for stream in streams]

    def say(self, peer, token):
        stream = peer.call(SERVICE + "Say", Ask(payload=b"x").SerializeToString(),
                           ("x-token", token))
        return peer.answer(stream)[0]["grpc-status"]

    def begin_message(self, peer, size, sent, *headers):
        """A message of `size` bytes that stops after `sent`, within the peer's windows."""
        stream = peer.begin(SERVICE + "Say", *headers)
        rest = message(b"")[:1] + size.to_bytes(4, "big") + bytes(sent)
        for at in range(0, len(rest), 16_384):
            peer.send(frame(DATA, 0, stream, rest[at:at + 16_384]))
        return stream

    def test_no_byte_is_kept_for_who_has_no_token(self):
        self.serve(buffer_bytes=16 * MIB)
        for _ in range(4):
            peer = self.settled()
            streams = [self.begin_message(peer, 50 * MIB, 200_000) for _ in range(20)]
            for fields in self.answers(peer, streams):
                self.assertEqual(fields["grpc-status"], UNAUTHENTICATED)

    def test_unfinished_messages_are_bounded_for_each_owner(self):
        self.serve(buffer_bytes=16 * MIB, room_timeout=0.5)
        # Each asks for half of what the owner may have, and never gives it back.
        peers = [self.settled() for _ in range(6)]
        streams = [self.begin_message(peer, 3 * MIB, 100_000, ("x-token", "greedy"))
                   for peer in peers]
        # Two have their room; the others are told in half a second.
        waiting = dict(zip(peers, streams))
        while len(waiting) > 2:
            ready, _, _ = select.select([peer.sock for peer in waiting], [], [], 20)
            self.assertTrue(ready, "nobody is told")
            for peer in [peer for peer in waiting if peer.sock in ready]:
                fields = self.heads(peer)
                if fields:
                    self.assertEqual(fields["grpc-status"], RESOURCE_EXHAUSTED)
                    self.assertIn("workspace greedy", fields["grpc-message"])
                    self.assertIn("8.0 MB", fields["grpc-message"])
                    del waiting[peer]
        self.assertEqual(self.say(self.peer(), "bystander"), "0")
        # Their going away gives it back.
        for peer in peers:
            peer.sock.close()
        peer = self.settled()
        payload = Ask(payload=bytes(3 * MIB)).SerializeToString()
        stream = self.begin_message(peer, len(payload), 0, ("x-token", "greedy"))
        for at in range(0, len(payload), 16_384):
            peer.send(frame(DATA, 0, stream, payload[at:at + 16_384]))
        peer.send(frame(DATA, END_STREAM, stream))
        fields, data, _ = self.read_large(peer, stream)
        self.assertEqual(fields["grpc-status"], "0")

    def read_large(self, peer, stream):
        # Open wide for the reply.
        peer.send(frame(8, 0, 0, (32 * MIB).to_bytes(4, "big")) +
                  frame(8, 0, stream, (32 * MIB).to_bytes(4, "big")))
        return peer.answer(stream)

    def test_a_message_larger_than_its_owners_share_is_told_the_limit(self):
        self.serve(buffer_bytes=16 * MIB)
        peer = self.peer()
        stream = self.begin_message(peer, 20 * MIB, 1000, ("x-token", "greedy"))
        fields = peer.answer(stream)[0]
        self.assertEqual(fields["grpc-status"], RESOURCE_EXHAUSTED)
        self.assertIn("workspace greedy", fields["grpc-message"])

    def test_bodies_that_nobody_reads_are_bounded(self):
        self.serve(buffer_bytes=8 * MIB, strangers_streams=100)
        peer = self.settled()
        for _ in range(15):
            stream = peer.begin("/hold", grpc=False)
            for _ in range(8):
                peer.send(frame(DATA, 0, stream, bytes(16_000)))
        # The address holds its 2 MB; the next body is told, and a request without one is answered.
        refused = peer.begin("/count", grpc=False)
        for _ in range(8):
            peer.send(frame(DATA, 0, refused, bytes(16_000)))
        fields, data, _ = peer.answer(refused)
        self.assertEqual(fields[":status"], "429")
        self.assertIn("retry-after", fields)
        self.assertIn(b"address 127.0.0.1", data)
        self.assertEqual(peer.answer(peer.begin("/", end=True, grpc=False))[0][":status"], "200")

    def test_streams_without_a_token_are_few(self):
        self.serve(strangers_streams=100)
        peer = self.peer()
        for _ in range(100):
            peer.begin("/hold", end=True, grpc=False)
        self.assertEqual(peer.answer(peer.begin("/", end=True, grpc=False))[2], REFUSED_STREAM)
        # One that has a token is not theirs.
        self.assertEqual(self.say(peer, "somebody"), "0")

    def test_idle_connections_give_way(self):
        self.serve(connections=40)
        bystander = self.peer()
        stream = bystander.call(SERVICE + "Park", b"", ("x-token", "patient"))
        idle = []
        for number in range(200):
            peer = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
            self.addCleanup(peer.close)
            peer.sendall((b"", b"G", PREFACE[:10], PREFACE + frame(SETTINGS))[number % 4])
            idle.append(peer)
        # A connection that has a request stays; a new one is answered.
        self.assertEqual(self.say(self.peer(), "new"), "0")
        self.assertEqual(self.say(bystander, "patient"), "0")
        self.assertTrue(stream)
        self.assertLess(len(self.descriptors()), 40 + 30)

    def descriptors(self):
        return os.listdir("/proc/%d/fd" % self.server.process.pid)

    def test_connections_with_requests_are_bounded(self):
        self.serve(connections=40)
        held = []
        for _ in range(60):
            peer = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
            self.addCleanup(peer.close)
            peer.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
            held.append(peer)
        # Half of them were this address's; the others see the end of their connections.
        eventually(lambda: sum(map(self.has_ended, held)) == 40)
        for peer in held:
            peer.close()
        eventually(lambda: len(self.descriptors()) < 30)

    def has_ended(self, peer):
        peer.setblocking(False)
        try:
            return peer.recv(100, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def test_a_head_that_unpacks_to_far_more_than_was_sent(self):
        self.serve()
        peer = self.peer()
        first = peer.encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "/x"),
                                     (":authority", "x"), ("big", "b" * 1900)], huffman=False)
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, first))
        again = peer.encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "/x"),
                                     (":authority", "x")])
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, (again + b"\xbe" * 16_000)[:16_384]))
        self.assertEqual(peer.goodbye(), ENHANCE_YOUR_CALM)

    def test_many_heads_that_unpack_to_almost_too_much(self):
        self.serve()
        peer = self.peer()
        first = peer.encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "/x"),
                                     (":authority", "x"), ("big", "b" * 1900)], huffman=False)
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, first))
        again = peer.encoder.encode([(":method", "POST"), (":scheme", "http"), (":path", "/x"),
                                     (":authority", "x")]) + b"\xbe" * 120
        attack = b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, again)
                          for stream in range(3, 4003, 2))
        peer.sock.settimeout(20)
        try:
            peer.send(attack)
        except ConnectionError:
            pass
        self.assertEqual(peer.goodbye(), ENHANCE_YOUR_CALM)

    def test_an_answer_that_is_shorter_than_it_said(self):
        self.serve()
        peer = self.peer()
        fields, data, reset = peer.answer(peer.begin("/short", end=True, grpc=False))
        self.assertEqual((fields[":status"], data, reset), ("200", b"12345", INTERNAL_ERROR))

    def test_an_answer_with_two_lengths_is_not_sent(self):
        self.serve()
        peer = self.peer()
        fields, data, _ = peer.answer(peer.begin("/two-lengths", end=True, grpc=False))
        self.assertEqual(fields[":status"], "500")
        self.assertIn(b"content-length is said more than once", data)

    def test_five_thousand_polls_of_one_token(self):
        self.serve()
        peer = self.peer()
        for _ in range(5000):
            peer.call(SERVICE + "Park", b"", ("x-token", "patient"))

        def parked():
            data = peer.answer(peer.call(SERVICE + "Numbers", b"", ("x-token", "patient")))[1]
            return Answer.FromString(data[5:]).numbers["parked"]

        eventually(lambda: parked() == 5000)


if __name__ == "__main__":
    grpc_testing.main()
