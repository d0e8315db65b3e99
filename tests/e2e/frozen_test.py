#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Idle containers are frozen and thawed; requests at any moment of that are answered, once."""
import collections
import concurrent.futures
import os
import pathlib
import random
import re
import subprocess
import sys
import time
import urllib.request

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

# Milliseconds, so that requests meet every moment of a freeze.
HAMMER = "[server]\ndrain_s = 60\n[cold_start]\nfrozen = true\nfreeze_after_s = 0.001\n"
CALM = "[server]\ndrain_s = 60\n[cold_start]\nfreeze_after_s = 0.3\n"
# No single call may come near what a lost one would need to be noticed: the client asks for its
# result every 55 s, a container its inputs every 45 s.
BOUND = 30

server = ThawServer.for_module(config=CALM)

import modal  # noqa: E402


def setUpModule():
    deploy(server, "frozen.py")


def function(name):
    return modal.Function.from_name("e2e-frozen", name)


def views(of=None):
    return {view["container"]: view for view in (of or server).running()}


def metric(name, of=None, **labels):
    with urllib.request.urlopen(f"{(of or server).url}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    wanted = name + ("{%s}" % ",".join(f'{k}="{v}"' for k, v in labels.items()) if labels else "")
    for line in text.splitlines():
        if line.startswith(wanted + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {wanted} in\n{text}")


def kernel_says_frozen(task, of=None):
    """What the freezer of the container's cgroup says."""
    for container in (of or server).containers():
        if container.task_id != task:
            continue
        for line in pathlib.Path(f"/proc/{container.pid}/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if controllers == "freezer":
                state = pathlib.Path(f"/sys/fs/cgroup/freezer{path}/freezer.state")
                return state.read_text().strip() == "FROZEN"
            if number == "0" and path != "/":
                events = pathlib.Path(f"/sys/fs/cgroup{path}/cgroup.events")
                if events.exists():
                    return "frozen 1" in events.read_text()
    return False


def wait_until_frozen(task, of=None):
    wait_until(lambda: kernel_says_frozen(task, of), 60, f"{task} is frozen", pause=0.01)


def turns_of(task):
    """How often the threads of a container have gone to sleep by themselves."""
    count = 0
    for container in server.containers():
        if container.task_id == task:
            for status in pathlib.Path(f"/proc/{container.pid}/task").glob("*/status"):
                found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.M)
                count += int(found[1])
    return count


def cgroups_of(task):
    """Other servers' groups may go while this looks."""
    return [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if folder.endswith(f"/{task}")]


def frozen_task(name="sleeper"):
    task, count = function(name).remote()
    wait_until_frozen(task)
    return task, count


def log_of(of):
    return of.thaw("logs", "e2e-frozen", "--data", str(of.data), timeout=120).stdout


def runs_in_log(of):
    """How often each number was printed by the functions' bodies."""
    return collections.Counter(int(number) for number in re.findall(r"ran (\d+)\.", log_of(of)))


class Frozen(E2eTest):
    server = server

    def test_an_idle_container_is_frozen_and_the_next_call_thaws_it(self):
        before = metric("thaw_answers_total", level="L1")
        task, first = frozen_task()
        wait_until(lambda: views()[task]["status"] == "frozen", 10, "it is shown")
        view = views()[task]
        self.assertEqual(view["level"], "L1")
        self.assertEqual(view["level_name"], "L1 frozen")
        self.assertGreater(view["memory_bytes"], 1 << 20)
        self.assertGreaterEqual(metric("thaw_containers", status="frozen"), 1)
        turns = turns_of(task)
        time.sleep(2)  # two hundred turns of its thread, did it run
        self.assertLess(turns_of(task) - turns, 20, "its thread went on while it was frozen")
        again, second = function("sleeper").remote()
        self.assertEqual(again, task)
        self.assertGreater(second, first)
        self.assertGreater(metric("thaw_answers_total", level="L1"), before)
        view = views()[task]
        self.assertGreater(view["seconds"]["frozen"], 1.5)
        spared = view["metered"]["memory_s"] - view["metered"]["processor_s"]
        self.assertAlmostEqual(spared, view["seconds"]["frozen"], delta=0.01)
        self.assertGreater(view["stages_ms"]["thaw"], 0)
        self.assertGreater(metric("thaw_container_seconds_total", state="frozen"), 1.5)

    def test_a_poll_outlives_its_time_while_it_is_frozen(self):
        task, _ = frozen_task()
        time.sleep(50)  # a poll of a container that runs is answered after 45 s
        self.assertTrue(kernel_says_frozen(task))
        self.assertEqual(function("sleeper").remote()[0], task)
        self.assertEqual(function("sleeper").remote()[0], task)

    def test_what_wants_to_run_on_is_not_frozen(self):
        restless, before = function("restless").remote()
        kept, _ = function("kept").remote()
        frozen_task()
        time.sleep(1)
        self.assertFalse(kernel_says_frozen(restless))
        self.assertFalse(kernel_says_frozen(kept))
        again, after = function("restless").remote()
        self.assertEqual(again, restless)
        self.assertGreater(after - before, 50, "its thread did not run between the calls")

    def test_a_call_that_runs_keeps_its_container_awake(self):
        call = function("sleeper").spawn(3)
        wait_until(lambda: any(v["inputs"] for v in views().values()), 60, "it runs", pause=0.05)
        working = [task for task, view in views().items() if view["inputs"]]
        seen = []
        while not seen or time.monotonic() < until:
            until = until if seen else time.monotonic() + 2
            seen.append(any(kernel_says_frozen(task) for task in working))
            time.sleep(0.01)
        self.assertEqual(set(seen), {False})
        self.assertIn(call.get(timeout=CALL_TIMEOUT)[0], working)

    def test_a_container_that_was_frozen_hears_of_a_cancellation(self):
        task, _ = frozen_task()
        call = function("sleeper").spawn(100)
        wait_until(lambda: views()[task]["inputs"] == 1, 30, "the call runs")
        call.cancel()
        with self.assertRaises(Exception):
            call.get(timeout=CALL_TIMEOUT)
        self.assertIn(task, server.task_ids(), "the container was killed for it")
        wait_until_frozen(task)

    def test_a_frozen_container_is_stopped_by_its_user(self):
        task, _ = frozen_task()
        server.modal("container", "stop", task, "--yes")
        wait_until(lambda: task not in server.task_ids(), 30, "the container is gone")
        self.assertNotEqual(function("sleeper").remote()[0], task)

    def test_a_frozen_container_of_an_old_version_goes(self):
        task, _ = frozen_task()
        deploy(server, "frozen.py")
        wait_until(lambda: task not in server.task_ids(), 30, "the old version is gone")
        self.assertNotEqual(function("sleeper").remote()[0], task)

    def test_the_window_ends_for_a_frozen_container_with_its_exit_hooks(self):
        task, _ = modal.Cls.from_name("e2e-frozen", "Leaver")().stay.remote()
        wait_until_frozen(task)
        wait_until(lambda: task not in server.task_ids(), 60, "the container is gone")
        said = "the frozen leaver has left"
        wait_until(lambda: said in log_of(server), 30, "the exit hook's line is in the log")
        wait_until(lambda: not cgroups_of(task), 30, "its cgroup is gone")

    def test_a_web_server_is_frozen_and_thawed(self):
        url = function("files").get_web_url()

        def fetch():
            with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as answer:
                return answer.read().decode()

        task = fetch()
        for _ in range(3):
            wait_until_frozen(task)
            self.assertEqual(fetch(), task)
        wait_until_frozen(task)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            self.assertEqual(set(pool.map(lambda _: fetch(), range(16))), {task})


class Churn(E2eTest):
    server = server

    def hit(self, name, number, slowest):
        begun = time.monotonic()
        answer = function(name).remote(number)
        slowest.append(time.monotonic() - begun)
        self.assertEqual(answer[0], number)
        return answer[1]

    def test_calls_at_the_end_of_the_window_are_answered_once(self):
        """Every call comes when the one before it has been over for about the window of 2 s."""
        tasks, slowest, expected = set(), [], []
        until = time.monotonic() + 45

        def caller(app_number):
            # A function of its own each, so that callers do not keep each other's container.
            pauses = random.Random(app_number)
            number = app_number * 1_000_000
            while time.monotonic() < until:
                number += 1
                expected.append(number)
                tasks.add(self.hit(f"leaving_{app_number}", number, slowest))
                time.sleep(pauses.uniform(1.85, 2.35))

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(caller, [1, 2, 3]))
        print(f"churn: {len(slowest)} calls, {len(tasks)} containers, max {max(slowest):.2f} s",
              file=sys.stderr)  # fmt: skip
        self.assertGreater(len(tasks), 6, "the window never ended")
        self.assertLess(max(slowest), BOUND)
        runs = runs_in_log(server)
        self.assertEqual({n: runs[n] for n in expected}, {n: 1 for n in expected})


class Hammered(E2eTest):
    """A server of its own, which freezes after a millisecond, ended in ways that are not kind."""

    def setUp(self):
        self.server = ThawServer(config=HAMMER).start()
        self.addCleanup(self.server.close)
        deploy(self.server, "frozen.py")

    def python(self, code):
        done = subprocess.run(
            [sys.executable, "-c", "import modal, random, time, threading\n" + code],
            env={**os.environ, **self.server.client_environment()},
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split()

    def frozen_task(self):
        code = "print(modal.Function.from_name('e2e-frozen', 'sleeper').remote()[0])"
        task = self.python(code)[-1]
        wait_until_frozen(task, self.server)
        return task

    def test_calls_at_every_moment_of_a_freeze_are_answered_once(self):
        # A round lasts 8 s. A busy machine freezes little in one of them, so there may be more.
        code = """
slowest, answers = [], []
until = time.monotonic() + 8
def caller(name, first):
    call = modal.Function.from_name("e2e-frozen", name).remote
    pauses = random.Random(first)
    number = first
    while time.monotonic() < until:
        begun = time.monotonic()
        answers.append((number, call(number)[0]))
        slowest.append(time.monotonic() - begun)
        number += 1
        time.sleep(pauses.choice([0, 0.0005, 0.001, 0.0015, 0.002, 0.005, 0.1]) * pauses.random())
threads = [threading.Thread(target=caller, args=(name, first)) for name, first in
           [("hammered", FIRST), ("together", FIRST + 100_000), ("together", FIRST + 200_000)]]
for t in threads: t.start()
for t in threads: t.join()
assert all(a == b for a, b in answers), "an answer belongs to another call"
print(len(answers), max(slowest), *[number for number, _ in answers])
"""
        slowest, numbers, frozen, level1 = 0, [], 0, 0
        for first in range(0, 10 * 10_000, 10_000):
            if min(frozen, level1) > 20:
                break
            _, longest, *more = self.python(f"FIRST = {first}\n{code}")
            slowest, numbers = max(slowest, float(longest)), numbers + more
            frozen = metric("thaw_freezes_total", self.server)
            level1 = metric("thaw_answers_total", self.server, level="L1")
        abandoned = metric("thaw_freezes_abandoned_total", self.server)
        print(f"hammer: {len(numbers)} calls, {frozen:.0f} freezes, {abandoned:.0f} abandoned, "
              f"{level1:.0f} answered from frozen, max {slowest * 1000:.0f} ms",
              file=sys.stderr)  # fmt: skip
        self.assertGreater(frozen, 20)
        self.assertGreater(level1, 20)
        self.assertLess(slowest, BOUND)
        self.assertEqual(metric("thaw_container_crashes_total", self.server), 0)
        runs = runs_in_log(self.server)
        self.assertEqual({n: runs[int(n)] for n in numbers}, {n: 1 for n in numbers})

    def test_sigterm_does_not_wait_for_what_is_frozen(self):
        task = self.frozen_task()
        pids = [c.pid for c in self.server.containers()]
        begun = time.monotonic()
        self.assertEqual(self.server.stop(), 0)
        self.assertLess(time.monotonic() - begun, 30, "it waited for the drain time")
        self.assertFalse([p for p in pids if pathlib.Path(f"/proc/{p}").exists()])
        self.assertFalse(cgroups_of(task))

    def test_a_killed_server_leaves_no_frozen_container(self):
        task = self.frozen_task()
        pids = [c.pid for c in self.server.containers()]
        self.server.kill()
        wait_until(lambda: not [p for p in pids if pathlib.Path(f"/proc/{p}").exists()], 30, "gone")
        wait_until(lambda: not cgroups_of(task), 30, "gone")


if __name__ == "__main__":
    main()
