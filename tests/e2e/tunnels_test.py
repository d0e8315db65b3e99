#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`modal.forward`: a port of a container is reached from outside, as long as it wants and lives."""
import os
import signal
import socket
import threading

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()
without = ThawServer(config="[network]\ntunnels = false\n")

import modal  # noqa: E402

APP = "e2e-tunnels"


def function(name):
    return modal.Function.from_name(APP, name)


def setUpModule():
    deploy(server, "tunnels.py")


def place(name):
    return wait_until(
        lambda: modal.Dict.from_name("e2e-tunnels", create_if_missing=True).get(name),
        CALL_TIMEOUT,
        "its tunnel",
    )


def answer_of(address, text):
    """What comes back; nothing if nobody is there."""
    try:
        with socket.create_connection(tuple(address), timeout=CALL_TIMEOUT) as peer:
            sender = threading.Thread(
                target=lambda: (peer.sendall(text), peer.shutdown(socket.SHUT_WR))
            )
            sender.start()
            got = b""
            while piece := peer.recv(65536):
                got += piece
            sender.join()
            return got
    except OSError:
        return b""


class Tunnels(E2eTest):
    server = server

    def test_a_port_of_a_container_is_reached_from_outside(self):
        call = function("forwards").spawn("reached", 20)
        address = place("reached")
        for text in (b"hello", os.urandom(2 << 20), b""):
            self.assertEqual(answer_of(address, text), text)
        with socket.create_connection(tuple(address)) as kept:
            kept.sendall(b"x")
            self.assertEqual(kept.recv(10), b"x")
            # With the end of the block the tunnel ends, and what goes through it.
            self.assertEqual(kept.recv(10), b"")
        self.assertEqual(answer_of(address, b"late"), b"")
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), "left")

    def test_it_ends_with_its_container_whatever_ends_that(self):
        function("forwards").spawn("killed", 600)
        address = place("killed")
        self.assertEqual(answer_of(address, b"hello"), b"hello")
        [view] = [one for one in server.running() if one["function"] == "forwards"]
        os.kill(server.user_process(view["container"]), signal.SIGKILL)
        wait_until(lambda: answer_of(address, b"hello") == b"", CALL_TIMEOUT, "nobody is there")
        server.modal("app", "stop", "--yes", APP)
        deploy(server, "tunnels.py")

    def test_a_port_has_one_tunnel(self):
        with self.assertRaisesRegex(Exception, "already forwarded"):
            function("forwards_twice").remote()

    def test_a_container_has_a_few_only_and_they_are_given_back(self):
        for _ in range(2):
            count, error = function("forwards_many").remote()
            self.assertEqual(count, 8)
            self.assertIn("at most 8", error)

    def test_a_tunnel_with_tls_needs_a_certificate_and_says_what_is_served(self):
        with self.assertRaisesRegex(Exception, "unencrypted=True"):
            function("forwards_with_tls").remote()

    def test_who_has_no_network_has_no_tunnel(self):
        with self.assertRaisesRegex(Exception, "has no network"):
            function("has_no_network").remote()

    def test_an_operator_may_offer_none(self):
        without.start()
        self.addCleanup(without.close)
        done = without.modal("run", "tunnels.py::has_no_network", check=False)
        self.assertIn("offers no tunnels", " ".join((done.stdout + done.stderr).split()))


if __name__ == "__main__":
    main()
