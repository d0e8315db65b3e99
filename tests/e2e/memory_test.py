#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory that large arguments and results took is the system's again once nothing needs it."""
import pathlib

from thaw_server import E2eTest, ThawServer, deploy, main, wait_until

MIB = 1 << 20

server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "small.py")


def function(name):
    return modal.Function.from_name("e2e-small", name)


def resident():
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the server has gone")


class Memory(E2eTest):
    server = server

    def is_given_back(self, before):
        def is_back():
            return resident() < before + 30 * MIB

        wait_until(is_back, 90, "the memory is given back", 0.5)
        print(f"{before >> 20} MiB before, {resident() >> 20} MiB after", flush=True)

    def setUp(self):
        super().setUp()
        self.assertEqual(function("size").remote(b"x"), 1)
        self.before = resident()

    def test_large_arguments(self):
        for _ in range(4):
            for length in list(function("size").map([bytes(10 * MIB)] * 5)):
                self.assertEqual(length, 10 * MIB)
        self.is_given_back(self.before)

    def test_many_arguments_and_results_that_travel_in_messages(self):
        data = bytes(1_500_000)
        for echoed in function("echo").map([data] * 120):
            self.assertEqual(len(echoed), len(data))
        self.is_given_back(self.before)

    def test_calls_that_wait_long(self):
        calls = [function("hold").spawn(2, bytes(700_000)) for _ in range(100)]
        self.assertEqual([call.get(timeout=300) for call in calls], [700_000] * 100)
        self.is_given_back(self.before)


if __name__ == "__main__":
    main()
