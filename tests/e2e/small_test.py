#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that has few descriptors, or little memory, under peers that take what they can get."""
import os
import pathlib
import socket
import struct
import threading

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

MIB = 1 << 20
GROUP = f"thaw-e2e-small-{os.getpid()}"


class SmallServer(ThawServer):
    """256 descriptors and, as root of a group of its own, 300 MB of memory."""

    def command(self):
        folder = memory_group()
        join = f"echo $$ > {folder}/cgroup.procs && " if folder else ""
        return ["sh", "-c", join + 'ulimit -n 256 && exec "$0" "$@"', *super().command()]


def memory_group():
    """A cgroup with a memory limit; None where there is no controller to ask."""
    for root, knob in ((pathlib.Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
                       (pathlib.Path("/sys/fs/cgroup"), "memory.max")):
        if not (root / "cgroup.procs").exists():
            continue
        group = root / GROUP
        group.mkdir(exist_ok=True)
        if (group / knob).exists():
            (group / knob).write_text(str(300 * MIB))
            return group
        group.rmdir()
    return None


server = SmallServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "small.py")


def tearDownModule():
    server.close()
    group = memory_group()
    if group:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), 20, "the group is empty")
        group.rmdir()


def function(name):
    return modal.Function.from_name("e2e-small", name)


def resident():
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the server has gone")


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
            + struct.pack(">I", stream) + payload)


def outcome_of(call):
    """What a call gives; a failure must tell the true reason."""
    try:
        return call()
    except Exception as failure:  # noqa: BLE001 - the client has many kinds
        for lie in ("layer store", "deploy again", "cannot be thawed", "has no Python",
                    "does not exist"):
            if lie in str(failure):
                raise AssertionError(f"not the reason: {failure}") from failure
        return None


class SmallTest(E2eTest):
    server = server

    def test_1_few_descriptors_and_many_connections(self):
        self.assertEqual(function("warm").remote(1), 2)
        pid = server.process.pid
        idle = []
        stop = threading.Event()

        def crowd():
            while not stop.is_set():
                while len(idle) < 400:
                    try:
                        idle.append(socket.create_connection(("127.0.0.1", server.port), 5))
                    except OSError:
                        break
                # Those that were closed come again.
                for peer in list(idle):
                    peer.setblocking(False)
                    try:
                        if peer.recv(1) == b"":
                            raise ConnectionError
                    except BlockingIOError:
                        continue
                    except OSError:
                        peer.close()
                        idle.remove(peer)
                stop.wait(0.05)

        thread = threading.Thread(target=crowd, daemon=True)
        thread.start()
        try:
            for number in range(10):
                self.assertIn(outcome_of(lambda n=number: function("warm").remote(n)),
                              (number + 1, None))
            self.assertIn(outcome_of(lambda: function("cold").remote(1)), (3, None))
        finally:
            stop.set()
            thread.join()
            for peer in idle:
                peer.close()
        self.assertEqual(function("warm").remote(5), 6)
        self.assertEqual(function("cold").remote(5), 7)
        self.assertEqual(server.process.pid, pid)
        log = server.log_path.read_text()
        self.assertNotIn("layer store", log)
        self.assertNotIn("cannot be thawed", log)

    def test_2_memory_is_given_back(self):
        self.assertEqual(function("size").remote(b"x"), 1)
        before = resident()
        for _ in range(8):
            for length in list(function("size").map([bytes(10 * MIB)] * 5)):
                self.assertEqual(length, 10 * MIB)
        wait_until(lambda: resident() < before + 30 * MIB, 90, "the memory is given back", 0.5)

    def test_3_a_small_memory_cgroup(self):
        if memory_group() is None:
            self.skipTest("this machine has no memory controller to make a group in")
        token = server.client_environment()
        pid = server.process.pid
        held = [self.unfinished(token) for _ in range(20)]
        for peer in held:
            fields = self.head_of_answer(peer)
            self.assertEqual(fields["grpc-status"], "8")
            self.assertIn("MB are held for workspace", fields["grpc-message"])
        self.assertEqual(function("warm").remote(7), 8)
        for peer in held:
            peer.close()
        self.assertEqual(function("size").remote(bytes(20 * MIB)), 20 * MIB)
        self.assertEqual(server.process.pid, pid)
        self.assertIsNone(server.process.poll())

    def head_of_answer(self, peer):
        import hpack

        peer.settimeout(60)
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
