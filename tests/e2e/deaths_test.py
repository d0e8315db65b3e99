#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is killed is brought back or ends clean, and nothing that is left keeps a server down."""
import os
import pathlib
import random
import signal
import time

from thaw_server import (
    CALL_TIMEOUT, E2eTest, ThawServer, command_of, deploy, descendants_of, main, parent_of,
    wait_until,
)  # fmt: skip

server = ThawServer.for_module()

import modal  # noqa: E402

APP = "e2e-deaths"


def setUpModule():
    deploy(server, "deaths.py")


def function(name):
    return modal.Function.from_name(APP, name)


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def spawner(but=()):
    """Of this server, or None while there is none besides those."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and parent_of(entry) == server.process.pid:
            if name_of(entry) == "thaw-spawner" and int(entry) not in but:
                return int(entry)
    return None


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def instance():
    """The name of the server's kernel objects."""
    [folder] = (server.data / "sandboxes").glob("instances")
    return folder.read_text().split()[-1]


def cgroups():
    """Of this server's sandboxes: names of containers, as the kernel has them."""
    found = set()
    for path, _, _ in os.walk("/sys/fs/cgroup"):
        parts = pathlib.Path(path).parts
        if f"thaw-{instance()}" in parts and parts[-1].startswith(("ta-", "tt-", "bd-")):
            found.add(parts[-1])
    return found


def private_folders():
    kept = {"lock", "instances", "keeper-key"}
    return {path.name for path in (server.data / "sandboxes").iterdir()} - kept


class Spawners(E2eTest):
    server = server

    def test_1_calls_end_well_while_spawners_are_killed(self):
        chance = random.Random(7)
        calls, killed = [], []
        for number in range(30):
            calls.append(function("wait_a_moment").spawn(number, chance.random()))
            if number % 5 == 4:
                # One that was killed has its name until the server has taken notice.
                pid = wait_until(lambda: spawner(but=killed), 30, "there is a spawner")
                time.sleep(chance.random())
                kill(pid)
                killed.append(pid)
        answers = [call.get(timeout=CALL_TIMEOUT) for call in calls]
        self.assertEqual(answers, list(range(30)))
        self.assertEqual(len(killed), 6)
        self.assertIn("thaw_spawner_deaths_total 6", server_metrics())

    def test_2_nothing_of_the_dead_stays(self):
        def is_clean():
            living = server.task_ids()
            names = {name for name in cgroups() if name.startswith("ta-")}
            folders = {name for name in private_folders() if name.startswith("ta-")}
            return names <= living and folders <= living

        wait_until(is_clean, 60, "only living containers have cgroups and folders")

    def test_3_templates_that_are_killed_cost_no_call(self):
        for number in range(3):
            call = function("wait_a_moment").spawn(number, 0.3)
            for pid in descendants_of(server.process.pid):
                if any("/run/thaw/template.py" in word for word in command_of(pid)):
                    kill(pid)
            self.assertEqual(call.get(timeout=CALL_TIMEOUT), number)


def server_metrics():
    import urllib.request

    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
        return answer.read().decode()


class UserCode(E2eTest):
    server = server

    def test_1_folders_deeper_than_any_path_do_not_keep_the_server_down(self):
        task = function("leave_deep_folders").remote(2600)
        self.assertIn(task, private_folders())
        dead = pathlib.Path("/run/thaw/0ddba11f")
        (dead / "ta-1").mkdir(parents=True, exist_ok=True)
        odd = pathlib.Path("/run/thaw/ready/7.json")
        odd.write_text('{"pid": "7", "data": 7}')
        pid = spawner()
        server.kill()
        kill(pid)  # nobody is left to tidy up
        server.start()
        self.assertEqual(function("wait_a_moment").remote(1, 0), 1)
        wait_until(lambda: not private_folders() & {task, "set-aside"}, CALL_TIMEOUT,
                   "the folders are gone")  # fmt: skip
        self.assertFalse(dead.exists(), "the run folder of a dead server")
        self.assertFalse(odd.exists(), "the file of no server")
        self.assertTrue(pathlib.Path(f"/run/thaw/{instance()}").exists(), "its own")

    def test_2_deep_folders_of_a_volume_are_removed(self):
        function("leave_deep_folders_in_a_volume").remote(2600)
        server.modal("volume", "rm", "-r", "e2e-deaths", "/deep")
        [staging] = (server.data / "volumes").glob("*/staging")
        self.assertEqual(list(staging.iterdir()), [])

    def test_3_who_closes_every_descriptor_is_told_so(self):
        with self.assertRaisesRegex(Exception, "(?s)connection.*descriptors"):
            function("close_every_descriptor").remote()

    def test_4_an_interrupt_of_its_own_is_told_as_one(self):
        with self.assertRaisesRegex(Exception, "KeyboardInterrupt"):
            function("interrupt_itself").remote()

    def test_5_who_outlives_a_child_killed_for_memory_is_delivered_again_when_killed(self):
        seconds = 4711
        call = function("outlive_a_child").spawn(seconds)
        sleeper = []

        def waits():
            sleeper[:] = [pid for pid in descendants_of(server.process.pid)
                          if command_of(pid) == ["sleep", str(seconds)]]  # fmt: skip
            return sleeper

        wait_until(waits, 90, "the first attempt has outlived its child")
        time.sleep(8)  # longer ago than a program of any size takes to end
        kill(parent_of(sleeper[0]))
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), -signal.SIGKILL)


if __name__ == "__main__":
    main()
