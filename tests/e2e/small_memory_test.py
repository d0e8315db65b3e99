#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that has 300 MB of memory, under peers that take what they can get: what it cannot hold
is refused with the limit that it is at, what it acknowledged is done, and it lives."""
import concurrent.futures
import os
import pathlib
import socket
import struct

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, skip_all, wait_until

MIB = 1 << 20
GROUP = f"thaw-e2e-small-{os.getpid()}"


def memory_group():
    """A cgroup with a memory limit; None where there is no controller to ask."""
    for root, knob in ((pathlib.Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
                       (pathlib.Path("/sys/fs/cgroup"), "memory.max")):
        if not (root / "cgroup.procs").exists():
            continue
        group = root / GROUP
        try:
            group.mkdir(exist_ok=True)
        except OSError:
            continue
        if (group / knob).exists():
            (group / knob).write_text(str(300 * MIB))
            return group
        group.rmdir()
    return None


if memory_group() is None:
    skip_all("this machine has no memory controller to make a group in")


class SmallServer(ThawServer):
    """As root of a group of its own."""

    def command(self):
        join = f"echo $$ > {memory_group()}/cgroup.procs"
        return ["sh", "-c", join + ' && exec "$0" "$@"', *super().command()]


server = SmallServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "small.py")


def tearDownModule():
    server.close()
    group = memory_group()
    wait_until(lambda: not (group / "cgroup.procs").read_text(), 20, "the group is empty")
    group.rmdir()


def function(name):
    return modal.Function.from_name("e2e-small", name)


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
            + struct.pack(">I", stream) + payload)


# What an error that is about room says of where there is none.
REASONS = ("hold", "queue", "at most", "output whose readers are behind", "messages")


class SmallMemory(E2eTest):
    server = server

    def setUp(self):
        super().setUp()
        self.pid = server.process.pid
        self.assertEqual(function("warm").remote(1), 2)

    def tearDown(self):
        self.assertIsNone(server.process.poll(), "the server has ended")
        self.assertEqual(server.process.pid, self.pid)
        self.assertEqual(function("warm").remote(5), 6)
        self.assertEqual(function("size").remote(bytes(20 * MIB)), 20 * MIB)

    def tells_the_reason(self, failure):
        text = f"{type(failure).__name__}: {failure}"
        print(f"refused: {text[:200]}", flush=True)
        self.assertTrue(any(reason in text for reason in REASONS), text)

    def outcomes(self, calls, threads=8):
        """Of each call its result, or None where it was refused in words."""
        refused = []

        def one(call):
            try:
                return call()
            except Exception as failure:  # noqa: BLE001 - the client has many kinds
                refused.append(failure)
                return None

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(one, calls))
        for failure in refused[:1]:
            self.tells_the_reason(failure)
        print(f"{len(results) - len(refused)} of {len(results)} were taken", flush=True)
        return results

    def test_1_messages_that_never_end(self):
        token = server.client_environment()
        held = [self.unfinished(token) for _ in range(20)]
        for peer in held:
            fields = self.head_of_answer(peer)
            self.assertEqual(fields["grpc-status"], "8")
            self.assertIn("MB are held for workspace", fields["grpc-message"])
        self.assertEqual(function("warm").remote(7), 8)
        for peer in held:
            peer.close()

    def test_2_a_map_of_more_than_there_is_room_for(self):
        for size, count in ((1_500_000, 100), (450_000, 400)):
            lengths = list(function("size").map([bytes(size)] * count))
            self.assertEqual(lengths, [size] * count)

    def test_3_calls_that_wait_with_large_arguments(self):
        data = bytes(900_000)
        results = self.outcomes([lambda: function("hold").spawn(0.05, data)] * 400)
        taken = [call for call in results if call is not None]
        self.assertGreater(len(taken), 20)
        self.assertEqual([call.get(timeout=300) for call in taken], [len(data)] * len(taken))

    def test_4_blobs_at_once(self):
        data = os.urandom(40 * MIB)
        results = self.outcomes([lambda: function("size").remote(data)] * 12)
        self.assertIn(len(data), results)
        self.assertLessEqual(set(results), {len(data), None})

    def test_5_results_that_nobody_reads_yet(self):
        calls = [function("give").spawn(900_000) for _ in range(300)]
        results = self.outcomes([lambda c=call: c.get(timeout=300) for call in calls])
        self.assertGreater(sum(result is not None for result in results), 100)
        for result in results:
            self.assertIn(result and len(result), (None, 900_000))

    def test_6_output_of_every_kind(self):
        items = function("items").remote_gen(400_000)
        self.assertEqual(len(next(items)), 400_000)
        self.assertEqual(function("print_much").remote(60), "printed")
        self.assertEqual(len(next(items)), 400_000)
        items.close()

    def test_7_readers_of_logs_that_take_nothing(self):
        import modal_proto.api_pb2 as pb

        self.assertEqual(function("print_much").remote(12), "printed")
        found = server.rpc("AppGetByDeploymentName", pb.AppGetByDeploymentNameRequest(
            name="e2e-small"))  # fmt: skip
        request = pb.AppFetchLogsRequest(app_id=found.app_id, limit=20_000)
        token = server.client_environment()
        peers = [self.reader(token, request.SerializeToString()) for _ in range(60)]
        # Of each something comes: the head of its logs, or that there was no room in its time.
        for peer in peers:
            self.first_of_stream(peer)
        for peer in peers:
            peer.close()

    def first_of_stream(self, peer):
        peer.settimeout(CALL_TIMEOUT)
        buffer = b""
        while True:
            while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
                size, stream = int.from_bytes(buffer[:3], "big"), buffer[5:9]
                if stream == b"\0\0\0\1" and buffer[3] in (1, 3):  # headers, or a reset
                    return
                buffer = buffer[9 + size:]
            piece = peer.recv(65536)
            self.assertTrue(piece, "the server has closed the connection")
            buffer += piece

    def reader(self, token, request):
        """One that asks for logs and opens no window for them."""
        import hpack

        head = hpack.Encoder().encode([
            (":method", "POST"), (":scheme", "http"), (":authority", "x"),
            (":path", "/modal.client.ModalClient/AppFetchLogs"),
            ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "8S"),
            ("x-modal-token-id", token["MODAL_TOKEN_ID"]),
            ("x-modal-token-secret", token["MODAL_TOKEN_SECRET"]),
        ])
        peer = socket.create_connection(("127.0.0.1", server.port), 20)
        self.addCleanup(peer.close)
        no_window = struct.pack(">HI", 4, 0)
        message = b"\0" + struct.pack(">I", len(request)) + request
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, no_window)
                     + frame(1, 4, 1, head) + frame(0, 1, 1, message))
        return peer

    def head_of_answer(self, peer):
        import hpack

        peer.settimeout(CALL_TIMEOUT)
        buffer = b""
        while True:
            while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
                size, kind = int.from_bytes(buffer[:3], "big"), buffer[3]
                if kind == 1:
                    return dict(hpack.Decoder().decode(buffer[9:9 + size]))
                buffer = buffer[9 + size:]
            piece = peer.recv(65536)
            self.assertTrue(piece, "the server has closed the connection")
            buffer += piece

    def unfinished(self, token):
        """A peer that has said that it sends 90 MB, in raw frames, and has sent a little."""
        import hpack

        head = hpack.Encoder().encode([
            (":method", "POST"), (":scheme", "http"), (":authority", "x"),
            (":path", "/modal.client.ModalClient/FunctionMap"),
            ("content-type", "application/grpc"), ("te", "trailers"),
            ("x-modal-token-id", token["MODAL_TOKEN_ID"]),
            ("x-modal-token-secret", token["MODAL_TOKEN_SECRET"]),
        ])
        peer = socket.create_connection(("127.0.0.1", server.port), 20)
        self.addCleanup(peer.close)
        peer.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4, 1, head)
                     + frame(0, 0, 1, b"\0" + struct.pack(">I", 90 * MIB) + bytes(16_000)))
        return peer


if __name__ == "__main__":
    main()
