#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What programs do inside of functions: processes, shared memory, output, clocks, ends."""
import re
import signal
import time

from thaw_server import (
    APPS, CALL_TIMEOUT, E2eTest, ThawServer, command_of, deploy, descendants_of, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module()

import modal  # noqa: E402

MB = 1 << 20


def setUpModule():
    deploy(server, "programs.py")


def function(name):
    return modal.Function.from_name("e2e-programs", name)


def ask(name, *arguments):
    return function(name).remote(*arguments)


def sleepers(seconds):
    return [pid for pid in descendants_of(server.process.pid)
            if command_of(pid) == ["sleep", str(seconds)]]  # fmt: skip


class Processes(E2eTest):
    server = server

    def test_pools_of_every_kind(self):
        expected = sum(n * n for n in range(100)), sum(n * n for n in range(20))
        for method in ("fork", "spawn", "forkserver"):
            with self.subTest(method):
                self.assertEqual(ask("pools", method), expected)

    def test_workers_hand_on_large_batches_in_shared_memory(self):
        told, found, free = ask("shared", 4, 64)
        self.assertEqual(told, [0, 1, 2, 3])
        self.assertEqual(found, [2, 4, 6, 8])
        self.assertGreater(free, 512 * MB)

    def test_workers_hand_on_files_without_a_name(self):
        self.assertEqual(ask("lent"), (b"of a worker", 0))

    def test_a_manager_and_a_shared_array(self):
        self.assertEqual(ask("managed"), {0: 0, 1: 1, 2: 2, 3: 3})
        self.assertEqual(ask("arrays", 10_000), 20_000.0)

    def test_a_tree_of_processes_ends_with_its_container(self):
        task = ask("leave_a_tree", 4712)
        wait_until(lambda: len(sleepers(4712)) == 3, 10, "all of them sleep")
        wait_until(lambda: task not in server.task_ids(), 90, "the container is gone")
        self.assertEqual(sleepers(4712), [])

    def test_nothing_stays_of_orphans(self):
        self.assertEqual(ask("orphans", 200), 0)

    def test_pipelines_threads_and_event_loops(self):
        self.assertEqual(ask("pipeline"), ("1", 127, True))
        self.assertEqual(ask("threads", 300), 300)
        self.assertEqual(ask("loops"), ("of a child", "of a child"))
        *found, error = ask("loops_async")
        self.assertEqual(found, ["of a thread"] * 2)
        self.assertIn("running event loop", error)

    def test_a_function_is_in_the_main_thread_and_has_its_own_signals(self):
        expected = sorted([int(signal.SIGUSR2), int(signal.SIGALRM)])
        self.assertEqual(ask("signals"), (expected, -signal.SIGTERM, True))


class Clocks(E2eTest):
    server = server

    def look(self, name, offset, written):
        for start in range(3):  # the first one is a boot, a later one may be a fork
            before = time.time()
            found = ask(name)
            after = time.time()
            self.assertTrue(before - 0.1 <= found["time"] <= after + 0.1, found)
            self.assertEqual(found["offset"], offset, start)
            self.assertEqual(found["date"][1], written)
            self.assertLess(abs(int(found["date"][0]) - found["time"]), 2)
            self.assertGreaterEqual(found["slept"], 0.2)
            for task in server.task_ids():
                server.modal("container", "stop", task, "-y", check=False)
            server.wait_for_zero(60)

    def test_it_is_the_machines_and_the_zone_is_utc(self):
        self.look("clock_as_it_is", 0, "+0000")

    def test_a_secret_or_an_image_may_set_the_zone(self):
        self.look("clock_of_a_secret", 5.5 * 3600, "+0530")
        self.look("clock_of_an_image", -8 * 3600, "-0800")


class Output(E2eTest):
    server = server

    def run_app(self, name, *arguments):
        done = server.modal("run", f"{APPS / 'programs.py'}::{name}", *arguments)
        return done.stdout

    def test_progress_bars_arrive_and_are_told_apart(self):
        shown = self.run_app("bars")
        self.assertIn("loading 100%", shown)
        self.assertIn("the bar is full", shown)
        self.assertIn("of stderr 100%", shown)
        self.assertEqual(re.findall(r"loading +(\d+)%", shown)[-1], "100")

    def test_colours_stay(self):
        shown = self.run_app("colours")
        self.assertIn("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m", shown)
        self.assertIn("a link", shown)

    def test_bytes_that_are_no_text_stop_nothing(self):
        shown = self.run_app("binary")
        self.assertIn("of stderr", shown)
        self.assertIn("after the bytes", shown)
        self.assertIn("0123456789", shown)

    def test_text_that_comes_in_pieces_is_whole(self):
        shown = self.run_app("in_pieces")
        self.assertIn("grüße, 世界 \U0001f9ca", shown)
        self.assertIn("and without a line's end", shown)

    def test_output_of_whatever_a_program_has_started(self):
        shown = self.run_app("from_everywhere")
        all_of_it = ("INFO of logging", "of a child", "of its stderr", "of a descriptor",
                     "of a worker", "of a thread", "to where stdout was", "redirected")  # fmt: skip
        for words in all_of_it:
            self.assertIn(words, shown)

    def test_a_flood_of_several_processes_arrives_whole(self):
        shown = self.run_app("flood", "--children", "4", "--lines", "5000")
        for child in range(4):
            found = re.findall(rf"^of {child} line (\d+)$", shown, re.M)
            self.assertEqual(found, [str(n) for n in range(5000)])


class Ends(E2eTest):
    server = server

    def ends(self):
        return dict(modal.Dict.from_name("e2e-programs-ends", create_if_missing=True).items())

    def method(self, name, method="call"):
        return getattr(modal.Cls.from_name("e2e-programs", name)(), method)

    def test_an_exit_hook_of_seconds_ends_when_its_container_is_not_needed(self):
        self.method("Slow").remote("window")
        wait_until(lambda: "window atexit" in self.ends(), 60, "the hooks have run", pause=0.5)
        self.assertEqual({name for name in self.ends() if name.startswith("window")},
                         {"window began", "window ended", "window atexit"})  # fmt: skip

    def test_an_exit_hook_of_seconds_ends_when_its_container_is_stopped(self):
        self.method("Slow").remote("stopped")
        # Its end is asked for at once, not after its window.
        views = server.running()
        [task] = [v["container"] for v in views if v["function"].startswith("Slow")]
        server.modal("container", "stop", task, "--graceful", "-y")
        wait_until(lambda: "stopped ended" in self.ends(), 60, "the hook has run", pause=0.5)

    def test_an_exit_hook_that_does_not_end_is_ended(self):
        task = self.method("Endless").remote()
        wait_until(lambda: "endless began" in self.ends(), 60, "the hook has begun", pause=0.5)
        began = time.monotonic()
        wait_until(lambda: task not in server.task_ids(), 90, "the container is gone")
        self.assertGreater(time.monotonic() - began, 10, "it had no time for its hook")

    def test_an_exit_hook_that_fails_is_told_in_the_log_and_keeps_nobody(self):
        task = self.method("Failing").remote()
        wait_until(lambda: task not in server.task_ids(), 90, "the container is gone")
        self.assertIn("failing began", self.ends())
        logged = server.thaw("logs", "e2e-programs", "--data", str(server.data))
        self.assertIn("an exit that fails", logged.stderr)
        self.assertTrue(self.method("Failing").remote())

    def test_a_program_that_hears_no_signal_is_ended(self):
        task = ask("deaf")
        wait_until(lambda: task not in server.task_ids(), 120, "the container is gone")
        self.assertNotEqual(ask("deaf"), task)


if __name__ == "__main__":
    main()
