#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that change their user work in containers, each of which has users of its own."""
import pathlib
import subprocess
import unittest
import urllib.request

from thaw_server import (
    BUILD_TIMEOUT, CALL_TIMEOUT, E2eTest, THAW_BIN, ThawServer, deploy, main, wait_until,
)  # fmt: skip

CRIU = pathlib.Path("/usr/local/lib/thaw/criu/criu")

WARNING = "containers have no user ids of their own"
CONFIG = '[containers]\nown_ids = "%s"\n[cold_start]\nstandby_s = 0\n'
server = ThawServer.for_module(config=CONFIG % "auto")

import modal  # noqa: E402


def setUpModule():
    deploy(server, "users.py", timeout=BUILD_TIMEOUT)


def function(name):
    return modal.Function.from_name("e2e-users", name)


class Users(E2eTest):
    def setUp(self):
        super().setUp()
        if WARNING in server.log_path.read_text():
            self.skipTest("this machine cannot give containers user ids of their own")

    def test_programs_change_their_user(self):
        told = function("change_users").remote()
        for what in ("su", "setpriv", "subprocess", "chroot"):
            self.assertEqual(told[what], "www-data", what)
        self.assertEqual(told["useradd"], "ann")
        self.assertEqual(list(told["apt"]), ["www-data", "0o2755"])

    def test_nginx_serves_with_its_default_configuration(self):
        url = function("site").get_web_url()
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as reply:
            self.assertIn("nginx", reply.read().decode())

    def test_ids_are_of_no_user_of_the_machine(self):
        first, count = function("whose").remote()
        self.assertGreaterEqual(first, 524_288)
        self.assertEqual(count, 65_536)


    def test_an_entry_point_may_change_the_user(self):
        self.assertEqual(function("dropped").remote(7), [49, "www-data", "www-data"])
        squares = list(function("dropped").map(range(20)))
        self.assertEqual([square for square, *_ in squares], [n * n for n in range(20)])
        self.assertEqual(list(function("dropped_counts").remote_gen(5)), list(range(5)))
        wait_until(lambda: "printed by www-data" in server.thaw(
            "logs", "e2e-users", "--data", str(server.data)).stdout, 60, "its lines are logged")

    def test_what_is_root_all_along_shares_nothing_with_other_users(self):
        modes = function("modes").remote()
        self.assertEqual(set(modes.values()), {"0o700", "0o600"})

    @unittest.skipUnless(CRIU.exists(), f"there is no {CRIU}; tools/setup installs it")
    def test_a_snapshot_of_a_program_whose_entry_point_changed_the_user(self):
        tell = modal.Cls.from_name("e2e-users", "Dropped")().tell
        booted = tell.remote()
        self.assertEqual(booted[1:], ["www-data", "www-data"])
        wait_until(lambda: any('"snapshot taken"' in line and '"Dropped.*"' in line
                               for line in server.log_path.read_text().splitlines()),
                   60, "a snapshot was taken")  # fmt: skip
        told = []
        for _ in range(2):
            wait_until(lambda: not any("Dropped" in view["function"] for view in server.running()),
                       60, "its container is gone")  # fmt: skip
            told.append(tell.remote())
        self.assertEqual(told[0], told[1])
        self.assertNotEqual(told[0], booted)


class WithoutOwnIds(unittest.TestCase):
    def test_a_server_that_is_told_not_to_gives_none(self):
        plain = ThawServer(config=CONFIG % "off").start()
        try:
            self.assertIn("ids 0 ", plain.modal("run", "users.py").stdout)
            self.assertNotIn(WARNING, plain.log_path.read_text())
        finally:
            plain.close()

    def test_doctor_says_whether_the_machine_can(self):
        told = subprocess.run([str(THAW_BIN), "doctor"], capture_output=True, text=True, timeout=60)
        self.assertRegex(told.stdout, "user ids of their own +(ok|-) ")


if __name__ == "__main__":
    main()
