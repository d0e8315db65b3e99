#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory snapshots: what ran before the snapshot does not run again, and nothing else changes."""
import json
import os
import pathlib
import signal
import threading
import time
import urllib.request

from thaw_server import (
    E2eTest, ThawServer, deploy, descendants_of, main, skip_all, wait_until,
)  # fmt: skip

CRIU = pathlib.Path("/usr/local/lib/thaw/criu/criu")
if not CRIU.exists():
    skip_all(f"there is no {CRIU}; tools/setup installs it")

# What stands by is standby_test.py's.
server = ThawServer.for_module(config="[cold_start]\nstandby_s = 0\n")

import modal  # noqa: E402


def setUpModule():
    deploy(server, "snapshots.py")


def starts():
    return server.starts()


def running():
    return server.running()


def level_of(task):
    for view in [*running(), *starts()]:
        if view["container"] == task:
            return view["level"]
    return None


def server_events(event):
    found = []
    for line in server.log_path.read_text(errors="replace").splitlines():
        if line.startswith("{") and f'"event":"{event}"' in line:
            found.append(json.loads(line))
    return found


def wait_for_snapshot(function, count=1):
    def taken():
        refused = [e for e in server_events("no snapshot") if e["function"] == function]
        if refused:
            raise AssertionError(f"no snapshot: {refused}")
        done = [e for e in server_events("snapshot taken") if e["function"] == function]
        return len(done) >= count

    wait_until(taken, 90, f"a snapshot of {function} was taken")


def wait_for_zero():
    wait_until(lambda: not running(), 60, "all containers are gone")


def snapshots():
    return sorted((server.data / "snapshots").glob("*/*/manifest.json"))


def instance(name, **parameters):
    return modal.Cls.from_name("e2e-snapshots", name)(**parameters)


def function(name):
    return modal.Function.from_name("e2e-snapshots", name)


class KillCriu:
    """Kills what restores a container of this server, a moment after it was started."""

    def __init__(self, delay):
        self.delay = delay
        self.killed = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def watch(self):
        while not self.over.wait(0.001):
            for pid in descendants_of(server.process.pid):
                try:
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if command.startswith(b"criu\0restore\0"):
                    time.sleep(self.delay)
                    try:
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1
                    except ProcessLookupError:
                        pass


class Snapshots(E2eTest):
    server = server

    def test_1_what_ran_before_the_snapshot_does_not_run_again(self):
        first = instance("Model").ask.remote()
        self.assertEqual((first["loads"], first["connects"]), (1, 1))
        self.assertNotEqual(level_of(first["task"]), "L3")
        wait_for_snapshot("Model.*")
        wait_for_zero()
        second = instance("Model").ask.remote()
        wait_for_zero()
        third = instance("Model").ask.remote()
        self.assertEqual([level_of(s["task"]) for s in (second, third)], ["L3"] * 2)
        for one in (second, third):
            self.assertEqual(one["table"], first["table"])
            self.assertEqual((one["loads"], one["connects"]), (1, 1))
            self.assertEqual(one["written"], "kept")
            self.assertAlmostEqual(one["time"], time.time(), delta=60)
        # Made before the snapshot: the same in all restores, and not the one of the first boot.
        self.assertEqual(second["born"], third["born"])
        self.assertNotEqual(second["born"], first["born"])
        # Made after it, or renewed by it.
        renewed = ("random", "openssl", "authkey", "uuid1", "uuid4", "name", "host")
        for name in ("task", "connected", *renewed):
            self.assertNotEqual(second[name], third[name], name)
        log = server.thaw("logs", "e2e-snapshots", "--data", str(server.data)).stdout
        self.assertEqual(log.count("loading"), 2, log)  # the first boot and the snapshot's own
        self.assertEqual(log.count("asked"), 3, log)

    def test_2_ten_restores_of_one_snapshot_at_once(self):
        instance("Model").ask.remote()
        wait_for_snapshot("Model.*")
        wait_for_zero()
        calls = [instance("Model").ask.spawn(3.0) for _ in range(10)]
        answers = [call.get(timeout=120) for call in calls]
        tasks = {answer["task"] for answer in answers}
        self.assertGreater(len(tasks), 3)
        self.assertEqual({level_of(task) for task in tasks}, {"L3"})
        self.assertEqual(len({answer["born"] for answer in answers}), 1)
        self.assertEqual(len({answer["random"] for answer in answers}), 10)
        self.assertEqual(len({answer["connected"] for answer in answers}), len(tasks))

    def test_3_a_function_and_its_global_scope(self):
        first = function("plain").remote()
        wait_for_snapshot("plain")
        self.assertRegex(self.metrics(), r"(?m)^thaw_snapshots_taken_total [1-9]")
        self.assertRegex(self.metrics(), r"(?m)^thaw_snapshots_refused_total \d")
        wait_for_zero()
        second = function("plain").remote()
        self.assertEqual(level_of(second["task"]), "L3")
        self.assertNotEqual(second["imported_at"], first["imported_at"])
        wait_for_zero()
        third = function("plain").remote()
        self.assertEqual(third["imported_at"], second["imported_at"], "it was imported again")
        self.assertEqual(third["global_number"], second["global_number"])
        self.assertNotEqual(third["random"], second["random"])

    def test_3_numpys_global_generator_is_renewed(self):
        instance("Numbers").draw.remote()
        wait_for_snapshot("Numbers.*")
        restored = []
        for _ in range(2):
            wait_for_zero()
            restored.append(instance("Numbers").draw.remote())
        self.assertEqual([level_of(one["task"]) for one in restored], ["L3"] * 2)
        self.assertEqual(restored[0]["drawn"], restored[1]["drawn"])
        self.assertNotEqual(restored[0]["numpy"], restored[1]["numpy"])

    def test_4_each_set_of_parameters_has_a_snapshot_of_its_own(self):
        small = instance("Model", size=2).ask.remote()
        wait_until(
            lambda: len({p.parent.name for p in snapshots()}) >= 1, 60, "there is a snapshot"
        )
        wait_for_zero()
        wait_until(
            lambda: level_of(instance("Model", size=2).ask.remote()["task"]) == "L3",
            60, "size 2 is restored", pause=3.0,
        )  # fmt: skip
        again = instance("Model", size=2).ask.remote()
        self.assertEqual(again["table"], small["table"])
        self.assertEqual(len(instance("Model", size=4).ask.remote()["table"]), 4)

    def test_5_what_the_program_held_works_after_the_restore(self):
        expected = {
            "Threads": True, "OpenFile": "first second unlinked", "Lock": "held",
            "Listener": "accepted", "Child": "echo", "Connected": "x",
        }  # fmt: skip
        for name in expected:
            instance(name).use.remote()
        for name in expected:
            wait_for_snapshot(f"{name}.*")
        wait_for_zero()
        for name, value in expected.items():
            with self.subTest(name):
                answer = instance(name).use.remote()
                self.assertEqual(answer["value"], value)
                again = [s for s in [*running(), *starts()] if s["function"] == f"{name}.*"]
                self.assertIn("L3", {s["level"] for s in again})

    def test_6_a_failure_after_the_restore_is_the_functions_own(self):
        with self.assertRaisesRegex(Exception, "no database"):
            instance("BadReturn").use.remote()

    def test_7_a_damaged_snapshot_is_retired_and_the_call_answered(self):
        coloured = function("coloured")
        coloured.remote()
        wait_for_snapshot("coloured")
        wait_for_zero()
        manifest = next(
            p for p in snapshots()
            if json.loads(p.read_text())["function"] == coloured.object_id
        )  # fmt: skip
        pages = manifest.parent / "images" / "pages-1.img"
        with open(pages, "r+b") as file:
            file.seek(pages.stat().st_size // 2)
            file.write(os.urandom(64))
        answer = function("coloured").remote()
        self.assertEqual(answer["colour"], "red")
        self.assertNotEqual(level_of(answer["task"]), "L3")
        self.assertIn('reason="snapshot_damaged"', self.metrics())
        wait_for_snapshot("coloured", 2)  # and a new one takes its place

    def test_8_a_restore_that_is_killed_gives_way_to_a_boot_in_the_same_call(self):
        function("plain").remote()
        wait_for_snapshot("plain")
        wait_for_zero()
        # A killer may come when all is done: then it was a restore like any other.
        for delay in (0.0, 0.002, 0.004, 0.01) * 4:
            with KillCriu(delay) as killer:
                answer = function("plain").remote()
            self.assertTrue(answer["task"])
            wait_for_zero()
            if killer.killed and 'reason="restore_failed"' in self.metrics():
                self.assertIn(level_of(answer["task"]), ("L2", "L4"))
                return
        self.fail("no restore was killed in time")

    def metrics(self):
        with urllib.request.urlopen(f"{server.url}/metrics") as answer:
            return answer.read().decode()

    def test_9_nothing_is_left_when_the_server_stops(self):
        wait_for_zero()
        self.assertEqual(list((server.data / "snapshots" / "staging").glob("*")), [])
        self.assertEqual(oct((server.data / "snapshots").stat().st_mode & 0o777), "0o700")


if __name__ == "__main__":
    main()
