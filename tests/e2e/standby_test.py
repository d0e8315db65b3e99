#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers that stand by: restored and frozen ahead of a call, had by one, and gone."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, deploy, descendants_of, main,
    skip_all, wait_until,
)  # fmt: skip

if not pathlib.Path("/usr/local/lib/thaw/criu/criu").exists():
    skip_all("there is no criu; tools/setup installs it")

server = ThawServer.for_module(config="[cold_start]\nstandby_s = 600\n")

import modal  # noqa: E402


def thaw(*arguments):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, timeout=BUILD_TIMEOUT)  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode()


def push(name, *options):
    folder = APPS / "pushed" / "remembers"
    return thaw("push", folder, name, "--snapshot", "--idle", "1", "--env", "TICKS=1", *options)


def state_of(name):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        connection.request("GET", f"/fn/{name}/state")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise AssertionError(f"{name} answered {answer.status}: {body}")
    return json.loads(body)


def containers_of(name):
    return [view for view in server.running() if view["function"] == name]


def metric(line):
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=CALL_TIMEOUT) as answer:
        for told in answer.read().decode().splitlines():
            if told.startswith(line + " "):
                return float(told.split()[-1])
    raise AssertionError(f"no metric {line}")


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stands_by(name, but=()):
    """The one container of a function that nobody has, frozen."""

    def found():
        views = containers_of(name)
        ready = [v for v in views if v["status"] == "standby" and v["level"] == "L1"]
        return views if len(views) == len(ready) == 1 and ready[0]["container"] not in but else None

    return wait_until(found, 120, f"one container of {name} stands by, and no other is there")[0]


class StandsBy(E2eTest):
    server = server

    def test_a_call_from_zero_has_one_and_another_one_takes_its_place(self):
        push("waits", "--restored", "/renew")
        booted = state_of("waits")
        first = stands_by("waits")
        self.assertEqual(first["started_by"], "L3")
        self.assertGreater(first["seconds"]["standby"], 0)
        before_it = sum(s for state, s in first["seconds"].items() if state != "standby")
        for resource in ("processor_s", "memory_s"):
            self.assertAlmostEqual(first["metered"][resource], before_it, places=6)
        self.assertLess(first["memory_bytes"], 64 << 20)
        self.assertIn("standby", thaw("ps"))
        shown = json.loads(thaw("function", "show", "waits", "--json"))
        self.assertEqual(shown["containers"], 0)
        before = metric('thaw_standbys_total{event="taken"}')
        answers = metric('thaw_answers_total{level="L1"}')
        had = state_of("waits")
        self.assertEqual(metric('thaw_standbys_total{event="taken"}'), before + 1)
        self.assertEqual(metric('thaw_answers_total{level="L1"}'), answers + 1)
        view = next(v for v in server.starts() if v["container"] == first["container"])
        self.assertEqual((view["started_by"], view["calls"]), ("L1", 1))
        self.assertGreater(view["metered"]["memory_s"], 0)
        # Nobody asked it before, and it was told once that it is another one.
        self.assertEqual((had["requests"], had["renewals"]), (1, 1))
        self.assertNotEqual(had["token"], booted["token"])
        second = stands_by("waits", but=[first["container"]])
        again = state_of("waits")
        self.assertEqual((again["requests"], again["renewals"]), (1, 1))
        self.assertEqual(again["token"], had["token"])  # what it loaded is what was written
        for key in ("urandom", "random", "ssl"):
            self.assertNotEqual(again[key], had[key], key)
        self.assertNotEqual(again["host"], had["host"])
        self.assertNotEqual(second["container"], first["container"])

    def test_what_it_does_by_itself_stops_and_goes_on(self):
        push("ticks")
        state_of("ticks")
        stands_by("ticks")
        time.sleep(2)  # in which nothing of it runs
        one = state_of("ticks")
        wait_until(lambda: state_of("ticks")["ticks"] > one["ticks"] + 2, 30, "it ticks again")
        other = state_of("ticks")
        # Its clocks went on while it stood still, and its ticks did not.
        self.assertLess(one["ticks"] * 0.05, one["monotonic"] - one["began"] - 1)
        self.assertGreater(other["monotonic"], one["monotonic"])

    def test_one_that_is_killed_is_replaced_and_its_snapshot_kept(self):
        push("killed")
        state_of("killed")
        first = stands_by("killed")
        # By cgroups v1 what is frozen dies when it is thawed, which is when a call has it: that
        # one may have begun in it.
        os.kill(first["pid"], signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            state_of("killed")
        second = stands_by("killed", but=[first["container"]])
        self.assertFalse(is_alive(first["pid"]))
        os.kill(second["pid"], signal.SIGKILL)
        with contextlib.suppress(AssertionError):
            state_of("killed")
        state_of("killed")
        third = stands_by("killed", but=[first["container"], second["container"]])
        self.assertEqual(third["started_by"], "L3")
        self.assertNotIn("given up", thaw("logs", "killed"))

    def test_a_new_version_has_nothing_of_the_old_one(self):
        push("versions")
        state_of("versions")
        old = stands_by("versions")
        push("versions", "--build-arg", "GREETING=again")
        wait_until(lambda: old["container"] not in [v["container"] for v in server.running()], 30,
                   "the one of the version before is gone")  # fmt: skip
        wait_until(lambda: state_of("versions")["greeting"] == "again", 60, "the new version")
        stands_by("versions", but=[old["container"]])
        self.assertEqual(state_of("versions")["greeting"], "again")

    def test_a_function_that_is_removed_leaves_none(self):
        push("removed")
        state_of("removed")
        view = stands_by("removed")
        thaw("function", "rm", "removed")
        wait_until(lambda: not containers_of("removed"), 30, "it is gone")
        wait_until(lambda: not is_alive(view["pid"]), 30, "its process is gone")

    def test_when_the_spawner_dies_another_one_stands_by(self):
        push("spawned")
        state_of("spawned")
        first = stands_by("spawned")
        for pid in descendants_of(server.process.pid):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "thaw-spawner":
                os.kill(pid, signal.SIGKILL)
                break
        second = stands_by("spawned", but=[first["container"]])
        self.assertEqual(second["started_by"], "L3")

    def test_a_program_that_pulls_stands_by_too(self):
        deploy(server, "snapshots.py")
        function = modal.Function.from_name("e2e-snapshots", "plain")
        booted = function.remote()
        first = stands_by("plain")
        had = function.remote()
        self.assertEqual(had["task"], first["container"])
        second = stands_by("plain", but=[first["container"]])
        again = function.remote()
        self.assertEqual(again["task"], second["container"])
        for key in ("random", "uuid1", "uuid4", "openssl", "authkey", "name", "host"):
            self.assertEqual(len({booted[key], had[key], again[key]}), 3, key)
        view = next(v for v in server.starts() if v["container"] == first["container"])
        self.assertEqual(view["started_by"], "L1")


class Survives(E2eTest):
    """Last: the server that the others use is killed."""

    server = server

    def test_nothing_of_them_outlives_a_killed_server(self):
        push("outlives")
        state_of("outlives")
        view = stands_by("outlives")
        server.kill()
        server.start()
        wait_until(lambda: not is_alive(view["pid"]), 30, "its process is gone")
        self.assertEqual(state_of("outlives")["requests"], 1)
        stands_by("outlives", but=[view["container"]])


class Ends(E2eTest):
    def test_zero_is_reached_when_nobody_calls(self):
        brief = ThawServer(config="[cold_start]\nstandby_s = 8\n").start()
        self.addCleanup(brief.close)
        folder = APPS / "pushed" / "remembers"
        options = ["--snapshot", "--idle", "1", "--server", str(brief.data)]
        subprocess.run([str(THAW_BIN), "push", str(folder), "brief", *options], check=True,
                       capture_output=True, timeout=BUILD_TIMEOUT)  # fmt: skip
        # It may have gone before its snapshot was there: it is called until one stands by.
        url = f"{brief.url}/fn/brief/state"

        def one_stands_by():
            with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as answer:
                answer.read()
            time.sleep(3)
            return any(view["status"] == "standby" for view in brief.running())

        wait_until(one_stands_by, 120, "one stands by")
        wait_until(lambda: not brief.running(), 60, "nothing is left")
        wait_until(lambda: not brief.containers(), 60, "no process is left")


if __name__ == "__main__":
    main()
