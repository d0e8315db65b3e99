#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory snapshots of containers that answer HTTP: a server that was ready is restored ready."""
import json
import pathlib
import urllib.request

from thaw_server import E2eTest, ThawServer, deploy, main, skip_all, wait_until

CRIU = pathlib.Path("/usr/local/lib/thaw/criu/criu")
if not CRIU.exists():
    skip_all(f"there is no {CRIU}; tools/setup installs it")

# What stands by is standby_test.py's.
server = ThawServer.for_module(config="[cold_start]\nstandby_s = 0\n")

import modal  # noqa: E402


def setUpModule():
    deploy(server, "web_snapshots.py")


def fetch(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def last_level(function):
    mine = [start for start in server.starts() if start["function"] == function]
    return max(mine, key=lambda start: start["created_at"])["started_by"]


class WebSnapshots(E2eTest):
    server = server

    def answers_of(self, url, function):
        """Of the first boot, and of two restores."""
        answers = [fetch(url)]
        wait_until(
            lambda: any('"snapshot taken"' in line and f'"{function}"' in line for line in
                        server.log_path.read_text(errors="replace").splitlines()),
            60, f"a snapshot of {function} was taken",
        )  # fmt: skip
        for _ in range(2):
            wait_until(lambda: not server.running(), 60, "all containers are gone")
            answers.append(fetch(url))
            self.assertEqual(last_level(function), "L3")
        return answers

    def test_a_server_that_was_ready_is_restored_with_its_class(self):
        url = modal.Cls.from_name("e2e-web-snapshots", "Server")().web.get_web_url()
        booted, first, second = self.answers_of(url, "Server.*")
        self.assertEqual(len(booted), 32)
        self.assertEqual(first, second)
        self.assertNotEqual(booted, first)

    def test_an_asgi_application_of_a_restored_class(self):
        url = modal.Cls.from_name("e2e-web-snapshots", "Asgi")().web.get_web_url()
        booted, first, second = map(json.loads, self.answers_of(url, "Asgi.*"))
        self.assertEqual(first["born"], second["born"])
        self.assertNotEqual(booted["born"], first["born"])
        self.assertEqual(len({one["task"] for one in (booted, first, second)}), 3)

    def test_a_function_starts_its_server_after_each_restore(self):
        url = modal.Function.from_name("e2e-web-snapshots", "started_after").get_web_url()
        answers = self.answers_of(url, "started_after")
        self.assertEqual(len(set(answers)), 3)


if __name__ == "__main__":
    main()
