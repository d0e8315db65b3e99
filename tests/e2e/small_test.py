#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server that has few descriptors, under peers that take what they can get."""
import socket
import threading

from thaw_server import E2eTest, ThawServer, deploy, main


class SmallServer(ThawServer):
    """256 descriptors."""

    def command(self):
        return ["sh", "-c", 'ulimit -n 256 && exec "$0" "$@"', *super().command()]


server = SmallServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "small.py")


def function(name):
    return modal.Function.from_name("e2e-small", name)


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


if __name__ == "__main__":
    main()
