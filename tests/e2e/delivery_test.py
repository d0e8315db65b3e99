#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who reads slowly, or has left, slows or ends only what it asked for; who dies is tried again."""
import base64
import json
import os
import pathlib
import re
import socket
import struct
import time
import urllib.parse
import urllib.request

from ladder import Ladder
from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()
ladder = Ladder(server)

import modal  # noqa: E402

APP = "e2e-delivery"


def setUpModule():
    deploy(server, "delivery.py")


def function(name):
    return modal.Function.from_name(APP, name)


def memory_mb():
    pages = pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") >> 20


def status_of(name):
    return [view["status"] for view in ladder.running() if view["function"] == name]


class Generators(E2eTest):
    server = server

    def test_what_a_reader_does_not_take_is_not_made(self):
        before = memory_mb()
        items = function("endless").remote_gen(100_000)
        self.assertEqual([next(items)[0], next(items)[0]], [0, 1])
        # Other clients are served. (What this one does not read fills its connection's window.)
        for _ in range(2):
            shown = server.modal("run", f"{APPS / 'delivery.py'}::lines", "--count=3", "--width=3")
            self.assertIn("000002 www", shown.stdout)
        self.assertLess(memory_mb() - before, 120)
        # The reader goes on where it was.
        self.assertEqual([next(items)[0] for _ in range(100)], list(range(2, 102)))
        items.close()
        wait_until(lambda: "busy" not in status_of("endless"), 60, "it ends without its reader")
        self.assertTrue(ladder.events("a generator without a reader is cancelled"))

    def test_a_slow_reader_gets_all(self):
        got = []
        for number, data in function("some").remote_gen(600, 100_000):
            self.assertEqual(len(data), 100_000)
            got.append(number)
            if number % 100 == 0:
                time.sleep(0.5)  # as slow readers are
        self.assertEqual(got, list(range(600)))


class Output(E2eTest):
    server = server

    def run_app(self, name, *arguments):
        return server.modal("run", f"{APPS / 'delivery.py'}::{name}", *arguments).stdout

    def test_output_printed_fast_arrives_whole(self):
        shown = self.run_app("lines", "--count", "20000", "--width", "500")
        self.assertEqual(len(re.findall(r"^\d{6} w", shown, re.M)), 20000)

    def test_a_line_of_5_mb_arrives_up_to_its_end(self):
        self.assertIn("END", self.run_app("one_line", "--kb", "5000"))


class Deaths(E2eTest):
    server = server

    def test_each_kind_of_death_uses_up_the_retries(self):
        kinds = ("exception", "sys.exit", "exit", "segfault", "memory", "sigkill")
        calls = {kind: function("dies").spawn(kind, kind) for kind in kinds}
        for kind, call in calls.items():
            # What a client makes of it differs; that it ends in an error does not.
            with self.assertRaises((Exception, SystemExit), msg=kind):
                call.get(timeout=CALL_TIMEOUT)
        tried = {kind: function("count").remote(kind) for kind in kinds}
        self.assertEqual(tried, dict.fromkeys(kinds, 3))

    def test_a_start_that_is_known_to_fail_is_told_at_once(self):
        server.modal("deploy", APPS / "import_error.py", check=False)
        broken = modal.Function.from_name("e2e-import-error", "never")
        before = ladder.metric("thaw_container_start_failures_total")
        for _ in range(10):
            with self.assertRaises(Exception) as caught:
                broken.remote()
            self.assertIn("a_module_that_is_not_there", str(caught.exception))
        self.assertLess(ladder.metric("thaw_container_start_failures_total") - before, 10)


def http(url, path, head="", method="GET"):
    connection = socket.create_connection((url.hostname, url.port), timeout=CALL_TIMEOUT)
    connection.sendall(f"{method} {url.path}{path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
    return connection


class Web(E2eTest):
    server = server

    def seen(self, url):
        with urllib.request.urlopen(url.geturl() + "/seen", timeout=CALL_TIMEOUT) as answer:
            return json.loads(answer.read())

    def heard(self, text):
        deployed = modal.App.lookup(APP).app_id  # runs of the same app have its name too
        return server.thaw("logs", deployed, "--data", str(server.data)).stdout.count(text)

    def test_a_client_that_leaves_is_told_to_the_application(self):
        url = urllib.parse.urlsplit(function("uploads").get_web_url())
        self.assertEqual(self.seen(url), [])
        expected = []
        for how in ("close", "reset", "half"):
            with http(url, "/up", "Content-Length: 1000000\r\n", "POST") as client:
                client.sendall(b"z" * 5000)
                heard = len(expected)
                wait_until(lambda: self.heard("it has 5000") > heard, CALL_TIMEOUT, "it is read")
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if how == "half":
                    client.shutdown(socket.SHUT_WR)
                else:
                    client.close()
                # The function has one container, and that one slot: it is free again.
                expected.append("left after 5000")
                self.assertEqual(self.seen(url), expected)
        with http(url, "/stream") as client:
            self.assertTrue(client.recv(1000))
        expected.append("stream left")
        self.assertEqual(self.seen(url), expected)
        # One that takes no notice is cancelled.
        with http(url, "/deaf") as client:
            self.assertTrue(client.recv(1000))
        expected.append("deaf cancelled")
        self.assertEqual(self.seen(url), expected)

    def test_a_websocket_that_breaks_is_told_to_the_application(self):
        url = urllib.parse.urlsplit(function("sockets").get_web_url())
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n"
        )
        with http(url, "/", head) as client:
            self.assertIn(b"101", client.recv(1000))
        self.assertEqual(self.seen(url), ["websocket.disconnect"])

    def test_a_slow_reader_of_a_large_answer_costs_little(self):
        url = urllib.parse.urlsplit(function("large").get_web_url())
        before = memory_mb()
        with http(url, "/", "Connection: close\r\n") as client:
            received = len(client.recv(1000))
            for _ in range(6):
                time.sleep(0.5)  # nothing is to happen
                self.assertLess(memory_mb() - before, 60)
            while piece := client.recv(1 << 20):
                received += len(piece)
                tail = piece[-64:]
        self.assertGreater(received, 300_000_000)
        self.assertIn(b"end", tail)


class Detached(E2eTest):
    server = server

    def test_a_detached_app_ends_with_its_last_call(self):
        run = server.modal("run", "--detach", f"{APPS / 'delivery_detached.py'}", check=False)
        call = re.search(r"call (fc-\w+)", run.stdout)[1]
        shown = json.loads(server.modal("app", "list", "--json").stdout)
        self.assertIn("detached", json.dumps(shown).lower())

        def has_ended():
            apps = json.loads(server.modal("app", "list", "--json").stdout)
            return "detached" not in json.dumps(apps).lower()

        wait_until(has_ended, 120, "it ends when its last call has", pause=1)
        self.assertEqual(modal.FunctionCall.from_id(call).get(timeout=10), "slept")


if __name__ == "__main__":
    main()
