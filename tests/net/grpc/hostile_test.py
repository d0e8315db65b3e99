# SPDX-License-Identifier: Apache-2.0
"""Peers that break the rules: each loses its connection or its stream, and nobody else notices."""

import os
import struct
import unittest

import grpc_testing
from grpc_testing import MIB, SERVICE, Answer, Ask, EchoServer, eventually
from raw_http2 import (ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                       ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE, PRIORITY, PROTOCOL_ERROR,
                       REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, Peer, frame, message)


class HostileTest(unittest.TestCase):
    def setUp(self):
        self.server = EchoServer(header_timeout=0.4, streams=100)
        # Answers before and after: whatever happens beside it is not felt here.
        self.bystander = Peer(self.server, unix=True)
        self.addCleanup(self.check_bystander)

    def check_bystander(self):
        with self.bystander as peer:
            ask = Ask(payload=b"still here").SerializeToString()
            fields, data, _ = peer.answer(peer.call(SERVICE + "Say", ask))
            self.assertEqual(fields["grpc-status"], "0")
            self.assertEqual(Answer.FromString(data[5:]).payload, b"still here")
            self.assertLess(self.server.resident_bytes("VmHWM"), 60 * MIB)
        self.assertEqual(self.server.stop(), 0)

    def peer(self, **options):
        peer = Peer(self.server, **options)
        self.addCleanup(peer.sock.close)
        return peer

    def status(self, peer, stream):
        return peer.answer(stream)[0].get("grpc-status")

    def test_bytes_that_are_no_protocol(self):
        for noise in (os.urandom(1000), b"\0" * 100, b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n\r\n",
                      b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(100)):
            peer = self.peer(greet=False)
            peer.send(noise)
            self.assertLess(len(self.rest(peer)), 1000)

    def rest(self, peer):
        data = b""
        try:
            while piece := peer.sock.recv(65536):
                data += piece
        except ConnectionError:
            pass
        return data

    def test_half_a_preface_and_nothing_at_all(self):
        for part in (b"", b"P", PREFACE[:3], PREFACE[:-1]):
            peer = self.peer(greet=False)
            peer.send(part)
            # The HTTP/1.1 side may say why; either way it ends soon.
            self.rest(peer)

    def test_a_preface_byte_by_byte_is_welcome(self):
        peer = self.peer(greet=False)
        for byte in PREFACE + frame(SETTINGS):
            peer.send(bytes([byte]))
        self.assertEqual(self.status(peer, peer.call(SERVICE + "Say", b"")), "0")

    def test_noise_after_the_preface(self):
        for noise in (os.urandom(5000), b"\xff" * 5000, frame(SETTINGS, 0, 0, b"12345"),
                      frame(PING, 0, 0, b"short"), frame(WINDOW_UPDATE, 0, 0, bytes(4)),
                      frame(HEADERS, END_HEADERS, 2, b"\x82"), frame(DATA, 0, 5, b"x"),
                      frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
                      frame(HEADERS, END_HEADERS, 1, b"\xff" * 9),
                      frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31)),
                      frame(5, 4, 1, bytes(8))):
            peer = self.peer()
            peer.send(noise + frame(PING, 0, 0, b"........") * 3)
            peer.wait_closed()

    def test_headers_that_never_end(self):
        peer = self.peer()
        peer.send(frame(HEADERS, 0, 1, peer.head(SERVICE + "Say")))
        self.assertEqual(peer.goodbye(), ENHANCE_YOUR_CALM)

    def test_a_flood_of_continuation_frames(self):
        peer = self.peer()
        peer.send(frame(HEADERS, 0, 1, peer.head(SERVICE + "Say")))
        block = peer.encoder.encode([("x-more", "y" * 4000)])
        self.assertTrue(peer.flood(frame(CONTINUATION, 0, 1, block) * 10, 1_000))

    def test_headers_past_the_limit(self):
        peer = self.peer()
        many = [("x-%d" % number, "v" * 1000) for number in range(70)]
        fields = peer.answer(self.send_long_head(peer, SERVICE + "Say", many, True))[0]
        self.assertEqual(fields["grpc-status"], "8")
        fields = peer.answer(self.send_long_head(peer, "/", many, False))[0]
        self.assertEqual(fields[":status"], "431")
        self.assertEqual(self.status(peer, peer.call(SERVICE + "Say", b"")), "0")

    def send_long_head(self, peer, path, more, grpc):
        block = peer.head(path, *more, grpc=grpc)
        stream, peer.next_stream = peer.next_stream, peer.next_stream + 2
        pieces = [block[at:at + 16_000] for at in range(0, len(block), 16_000)]
        peer.send(frame(HEADERS, END_STREAM, stream, pieces[0]))
        for piece in pieces[1:-1]:
            peer.send(frame(CONTINUATION, 0, stream, piece))
        peer.send(frame(CONTINUATION, END_HEADERS, stream, pieces[-1]))
        return stream

    def test_one_enormous_header(self):
        peer = self.peer()
        head = peer.encoder.encode([("x", "y" * 120_000)], huffman=False)
        peer.send(frame(HEADERS, 0, 1, head[:16_384]))
        try:
            for at in range(16_384, len(head), 16_384):
                peer.send(frame(CONTINUATION, 0, 1, head[at:at + 16_384]))
            peer.send(frame(CONTINUATION, END_HEADERS, 1))
        except ConnectionError:
            pass
        peer.wait_closed()

    def test_rapid_resets(self):
        peer = self.peer()
        first, again = (peer.head(SERVICE + "Park") for _ in range(2))
        attack = [frame(HEADERS, END_HEADERS | END_STREAM, stream,
                        first if stream == 1 else again) +
                  frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))
                  for stream in range(1, 100_000, 2)]
        peer.sock.settimeout(5)
        try:
            peer.send(b"".join(attack))
        except (ConnectionError, TimeoutError):
            pass
        peer.wait_closed()

    def test_floods_of_frames_that_carry_nothing(self):
        empty_data = frame(DATA, 0, 1)
        for flood in (frame(PING, 0, 0, b"........"), frame(SETTINGS),
                      frame(PRIORITY, 0, 1, bytes([0, 0, 0, 3, 9])), empty_data):
            peer = self.peer()
            peer.begin(SERVICE + "Park")
            # It does not read either.
            self.assertTrue(peer.flood(flood * 100, 10_000), flood)

    def test_a_flood_is_told_of_once(self):
        resets = b"".join(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")) for _ in range(50_000))
        for flood in (frame(PING, 0, 0, b"........") * 50_000, frame(SETTINGS) * 50_000,
                      frame(PRIORITY, 0, 1, bytes([0, 0, 0, 3, 9])) * 50_000,
                      frame(DATA, 0, 1) * 50_000, resets):
            told = self.told()
            peer = self.peer()
            peer.begin(SERVICE + "Park")
            # What is sent at once is read at once: much of it after the first frame too many.
            try:
                peer.send(flood)
            except ConnectionError:
                pass
            peer.wait_closed()
            eventually(lambda: self.told() > told)
            self.assertEqual(self.told(), told + 1, flood[:20])

    def told(self):
        return self.server.log.read_text().count("http2 connection closed")

    def test_more_streams_than_allowed(self):
        peer = self.peer()
        for _ in range(100):
            peer.call(SERVICE + "Park", b"")
        extra = peer.call(SERVICE + "Say", b"")
        try:
            self.assertEqual(peer.answer(extra)[2], REFUSED_STREAM)
        except EOFError:
            pass  # once the settings are acknowledged it is a protocol error

    def test_a_content_length_that_lies(self):
        for length in ("3", "5000", "-1", "x"):
            peer = self.peer()
            stream = peer.begin("/echo", ("content-length", length), grpc=False)
            peer.send(frame(DATA, END_STREAM, stream, b"hello"))
            self.assertEqual(peer.answer(stream)[2], PROTOCOL_ERROR)

    def test_header_fields_that_http2_forbids(self):
        for field in (("Upper", "x"), ("connection", "close"), (":status", "200"),
                      ("x", "line\r\nbreak"), ("transfer-encoding", "chunked")):
            peer = self.peer()
            stream = peer.begin("/", field, end=True, grpc=False)
            self.assertEqual(peer.answer(stream)[2], PROTOCOL_ERROR)

    def test_an_authority_that_is_none(self):
        peer = self.peer()
        for number, (authority, status) in enumerate((
                ("x:8700", "200"), ("[::1]:8700", "200"), ("a@b", "400"), ("x:99999", "400"))):
            head = peer.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/"),
                                        (":authority", authority)])
            stream = 2 * number + 1
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, head))
            self.assertEqual(peer.answer(stream)[0][":status"], status, authority)

    def test_messages_that_are_none(self):
        peer = self.peer()

        def say(data, path="Say"):
            stream = peer.begin(SERVICE + path)
            peer.send(frame(DATA, END_STREAM, stream, data))
            return self.status(peer, stream)

        self.assertEqual(say(b""), "3")
        self.assertEqual(say(b"\0\0"), "3")
        self.assertEqual(say(message(b"abc")[:-1]), "3")
        self.assertEqual(say(message(b"\xff\xff\xff")), "3")
        self.assertEqual(say(b"\0\xff\xff\xff\xff" + bytes(1000)), "8")
        self.assertEqual(say(message(b"abc", compressed=1)), "12")
        self.assertEqual(say(message(b"") + message(b"\xff")[:3], "Sum"), "3")
        # A length that is allowed but never comes costs no memory (see check_bystander).
        for _ in range(50):
            stream = peer.begin(SERVICE + "Say")
            peer.send(frame(DATA, 0, stream, struct.pack(">BI", 0, 100 * MIB)))
        self.assertEqual(say(message(b"")), "0")

    def test_a_window_that_overflows(self):
        peer = self.peer()
        peer.send(frame(WINDOW_UPDATE, 0, 0, (2**31 - 1).to_bytes(4, "big")) * 2)
        peer.wait_closed()

    def test_more_bytes_than_the_window(self):
        peer = self.peer()
        stream = peer.begin(SERVICE + "Park")
        peer.send(frame(DATA, 0, stream, message(b"")))
        self.assertTrue(peer.flood(frame(DATA, 0, stream, bytes(16_384)), 10_000) or
                        peer.answer(stream)[2] is not None)

    def test_a_wrong_method(self):
        peer = self.peer()
        stream = peer.begin(SERVICE + "Say", method="GET", end=True)
        self.assertEqual(peer.answer(stream)[0][":status"], "405")

    def test_a_peer_that_hangs_up_at_any_moment(self):
        conversation = (PREFACE + frame(SETTINGS) +
                        frame(HEADERS, END_HEADERS, 1, self.peer().head(SERVICE + "Chat")))
        for cut in range(0, len(conversation), 7):
            peer = self.peer(greet=False)
            peer.send(conversation[:cut])
            peer.sock.close()
        eventually(lambda: self.connections() == 2)

    def connections(self):
        peer = self.bystander
        data = peer.answer(peer.call(SERVICE + "Numbers", b""))[1]
        return Answer.FromString(data[5:]).numbers["connections"]


if __name__ == "__main__":
    grpc_testing.main()
