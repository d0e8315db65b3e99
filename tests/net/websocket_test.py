# SPDX-License-Identifier: Apache-2.0
"""WebSocket as net/ serves and proxies it: usage: websocket_test.py PATH-OF-HTTP_ECHO_SERVER"""

import base64
import hashlib
import os
import struct
import unittest

from net_testing import EchoServer, Peer, main

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(kind, data=b"", final=True, masked=True):
    head = bytes([kind | (0x80 if final else 0)])
    bit = 0x80 if masked else 0
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 65536:
        head += struct.pack(">BH", bit | 126, len(data))
    else:
        head += struct.pack(">BQ", bit | 127, len(data))
    if not masked:
        return head + data
    key = os.urandom(4)
    stream = (key * (len(data) // 4 + 1))[:len(data)]
    hidden = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
    return head + key + hidden.to_bytes(len(data), "big")


class WebSocketPeer(Peer):
    def open(self, target, headers="", behind=b""):
        key = base64.b64encode(os.urandom(16)).decode()
        request = ("GET %s HTTP/1.1\r\nhost: test\r\nconnection: keep-alive, Upgrade\r\n"
                   "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: %s\r\n"
                   "%s\r\n" % (target, key, headers))
        self.send(request.encode() + behind)
        status, self.headers = self.head()
        assert status == 101, status
        self.headers = {name.lower(): value for name, value in self.headers.items()}
        want = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert self.headers["sec-websocket-accept"] == base64.b64encode(want).decode()

    def frame(self):
        first, length = self.exactly(2)
        assert length < 128, "a server's frame is masked"
        if length == 126:
            length, = struct.unpack(">H", self.exactly(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.exactly(8))
        return first & 15, bool(first & 0x80), self.exactly(length)

    def message(self):
        kind, final, data = self.frame()
        while not final:
            _, final, more = self.frame()
            data += more
        return kind, data

    def close_code(self):
        kind, _, data = self.frame()
        assert kind == CLOSE, kind
        return struct.unpack(">H", data[:2])[0]


class WebSocket(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.upstream = EchoServer()
        cls.server = EchoServer("--upstream", str(cls.upstream.port))

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0
        assert cls.upstream.stop() == 0

    def peer(self):
        peer = WebSocketPeer(self.server.connect())
        self.addCleanup(peer.sock.close)
        return peer

    def opened(self, target="/ws", headers="", behind=b""):
        peer = self.peer()
        peer.open(target, headers, behind)
        return peer

    def test_messages_of_each_kind_and_size_come_back(self):
        for target in ("/ws", "/tcp/ws"):
            peer = self.opened(target)
            self.assertEqual(peer.headers["x-extra"], "1")
            self.assertNotIn("sec-websocket-protocol", peer.headers)
            for kind, data in ((TEXT, "grüße".encode()), (BINARY, b"\xff\x00"), (TEXT, b""),
                               (BINARY, os.urandom(125)), (BINARY, os.urandom(126)),
                               (BINARY, os.urandom(65536)), (BINARY, os.urandom(8_000_000))):
                peer.send(frame(kind, data))
                self.assertEqual(peer.message(), (kind, data))

    def test_it_follows_ordinary_requests_on_one_connection(self):
        peer = self.peer()
        self.assertEqual(peer.ask("/hello").body, b"hello")
        peer.open("/ws")
        peer.send(frame(TEXT, b"a"))
        self.assertEqual(peer.message(), (TEXT, b"a"))

    def test_frames_behind_the_handshake_are_not_lost(self):
        for target in ("/ws", "/tcp/ws"):
            peer = self.opened(target, behind=frame(TEXT, b"early") + frame(TEXT, b"bird"))
            self.assertEqual(peer.message(), (TEXT, b"early"))
            self.assertEqual(peer.message(), (TEXT, b"bird"))

    def test_fragments_are_joined_and_control_frames_may_come_between(self):
        peer = self.opened()
        peer.send(frame(TEXT, b"a", final=False) + frame(PING, b"p") +
                  frame(CONTINUATION, b"b", final=False) + frame(CONTINUATION, b"c"))
        self.assertEqual(peer.frame(), (PONG, True, b"p"))
        self.assertEqual(peer.message(), (TEXT, b"abc"))

    def test_bytes_may_arrive_one_by_one(self):
        peer = self.opened()
        for byte in frame(TEXT, b"slow"):
            peer.send(bytes([byte]))
        self.assertEqual(peer.message(), (TEXT, b"slow"))

    def test_the_client_closes(self):
        peer = self.opened()
        peer.send(frame(CLOSE, struct.pack(">H", 1000) + b"done"))
        self.assertEqual(peer.close_code(), 1000)
        self.assertTrue(peer.at_end())

    def test_the_server_closes_with_a_code_of_its_own(self):
        for target in ("/ws", "/tcp/ws"):
            peer = self.opened(target)
            peer.send(frame(TEXT, b"close"))
            kind, _, data = peer.frame()
            self.assertEqual((kind, data), (CLOSE, struct.pack(">H", 4001) + b"asked"))
            peer.send(frame(CLOSE, data))
            self.assertTrue(peer.at_end())

    def test_a_subprotocol_is_chosen_from_what_was_offered(self):
        peer = self.opened("/ws?chat", headers="sec-websocket-protocol: other, chat\r\n")
        self.assertEqual(peer.headers["sec-websocket-protocol"], "chat")
        refused = self.peer()
        refused.send("GET /ws?chat HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n"
                     "upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                     "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        self.assertEqual(refused.answer().status, 400)

    def test_a_request_that_is_no_upgrade_is_told_so(self):
        peer = self.peer()
        self.assertEqual(peer.ask("/ws").status, 400)
        self.assertEqual(peer.ask("/hello").body, b"hello")

    def test_another_version_is_refused(self):
        peer = self.peer()
        peer.send("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                  "sec-websocket-version: 8\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        status, _ = peer.head()
        self.assertIn(status, (400, 426))

    def test_a_message_past_the_limit_is_refused(self):
        peer = self.opened()
        try:
            peer.send(struct.pack(">BBQ", 0x82, 0xFF, (16 << 20) + 1) + b"\0\0\0\0")
            peer.send(b"x" * 1_000_000)
        except (ConnectionResetError, BrokenPipeError):
            pass
        self.assertEqual(peer.close_code(), 1009)

    def test_fragments_past_the_limit_are_refused(self):
        peer = self.opened()
        piece = os.urandom(1 << 20)
        try:
            peer.send(frame(BINARY, piece, final=False))
            for _ in range(17):
                peer.send(frame(CONTINUATION, piece, final=False))
        except (ConnectionResetError, BrokenPipeError):
            pass
        try:
            self.assertEqual(peer.close_code(), 1009)
        except ConnectionResetError:
            pass  # it has closed on unread bytes
        self.assertEqual(self.peer().ask("/hello").body, b"hello")

    def test_broken_frames_end_the_connection_with_their_code(self):
        for data, code in ((frame(TEXT, b"\xff\xfe"), 1007),
                           (frame(TEXT, b"a", masked=False), 1002),
                           (frame(3, b"a"), 1002), (frame(CONTINUATION, b"a"), 1002),
                           (frame(PING, b"a" * 126), 1002), (b"\xf1\x80abcd", 1002),
                           (frame(CLOSE, b"\x03"), 1002),
                           (frame(CLOSE, struct.pack(">H", 1005)), 1002)):
            with self.subTest(data=data[:4]):
                peer = self.opened()
                peer.send(data)
                self.assertEqual(peer.close_code(), code)

    def test_peers_that_vanish_do_no_harm(self):
        for i in range(40):
            peer = self.opened("/tcp/ws" if i % 4 == 0 else "/ws")
            if i % 2:
                peer.send(frame(TEXT, b"abcdef")[:5])
            if i % 3:
                peer.reset()
            else:
                peer.sock.close()
        peer = self.opened()
        peer.send(frame(TEXT, b"still here"))
        self.assertEqual(peer.message(), (TEXT, b"still here"))

    def test_a_receive_ends_with_its_task(self):
        peer = self.opened("/ws-cancel")
        self.assertTrue(peer.at_end())
        self.assertEqual(self.server.tell()["cancelled_receives"], 1)

    def test_a_tunnel_ends_with_its_deadline(self):
        peer = self.opened("/tcp/ws?deadline_ms=300")
        peer.send(frame(TEXT, b"a"))
        self.assertEqual(peer.message(), (TEXT, b"a"))
        self.assertTrue(peer.at_end())

    def test_a_stop_does_not_wait_for_open_websockets(self):
        server = EchoServer("--upstream", str(self.upstream.port))
        for target in ("/ws", "/tcp/ws") * 5:
            peer = WebSocketPeer(server.connect())
            self.addCleanup(peer.sock.close)
            peer.open(target)
        self.assertEqual(server.stop(), 0)

    def test_many_at_once(self):
        peers = [self.opened() for _ in range(200)]
        for _ in range(3):
            for i, peer in enumerate(peers):
                peer.send(frame(TEXT, b"%d" % i))
            for i, peer in enumerate(peers):
                self.assertEqual(peer.message(), (TEXT, b"%d" % i))


if __name__ == "__main__":
    main()
