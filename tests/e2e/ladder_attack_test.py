#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots under attack: a restored program is the same one, and no failure reaches a caller."""
import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from thaw_server import (
    APPS, E2eTest, ThawServer, deploy, descendants_of, main, skip_all, wait_until,
)  # fmt: skip

CRIU = pathlib.Path("/usr/local/lib/thaw/criu/criu")
if not CRIU.exists():
    skip_all(f"there is no {CRIU}; tools/setup installs it")

# Without forks, so that what is not restored is booted.
CONFIG = "[cold_start]\nforked = false\nfrozen = false\nrestored = true\n"
server = ThawServer.for_module(config=CONFIG)

import modal  # noqa: E402

APP = "e2e-ladder-attack"
AT_ONCE = 50
MEMORY_OF_ONE_KB = 80 << 10
LEVELS = {"L3": "restored", "L4": "booted"}


def setUpModule():
    deploy(server, "ladder_attack.py")


def views(one=server):
    shown = []
    for words in (("ps", "--json"), ("logs", "--starts", "--json")):
        shown += json.loads(one.thaw(*words, "--data", str(one.data)).stdout)
    return shown


def running(one=server):
    return json.loads(one.thaw("ps", "--json", "--data", str(one.data)).stdout)


def level_of(task, one=server):
    found = next((view for view in views(one) if view["container"] == task), None)
    if found is None:
        return None
    level = found.get("started_by", found["level"])
    return LEVELS.get(level, level)


def events(name, one=server):
    lines = one.log_path.read_text(errors="replace").splitlines()
    return [json.loads(line) for line in lines if f'"event":"{name}"' in line]


def taken(function, one=server):
    return [event for event in events("snapshot taken", one) if event["function"] == function]


def wait_for_snapshot(function, count):
    def there_are():
        refused = [event for event in events("no snapshot") if event["function"] == function]
        if refused:
            raise AssertionError(f"no snapshot: {refused}")
        return len(taken(function)) >= count

    wait_until(there_are, 120, f"{count} snapshots of {function}")


def stop_all():
    for view in running():
        if view["status"] in ("warm", "busy", "frozen"):  # not the one that a snapshot is made of
            server.modal("container", "stop", "--yes", view["container"], check=False)
    wait_until(lambda: not running(), 60, "all containers are gone")


def snapshot_folder(function_id):
    for path in (server.data / "snapshots").glob("*/*/manifest.json"):
        if json.loads(path.read_text())["function"] == function_id:
            return path.parent
    return None


def model():
    return modal.Cls.from_name(APP, "Model")().next


def function(name):
    return modal.Function.from_name(APP, name)


def oracle():
    """The same program in this process, never interrupted."""
    spec = importlib.util.spec_from_file_location("ladder_attack", APPS / "ladder_attack.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tokens = module.Tokens(11)
    tokens.next(module.WARM_UP)
    return tokens


def restored(name, remote):
    """Calls from zero until the answer is a restored container's, and returns that answer."""
    if not taken(name):
        remote()
    for _ in range(4):
        wait_for_snapshot(name, 1)
        stop_all()
        answer = remote()
        if level_of(answer["task"]) == "restored":
            return answer
        time.sleep(1)
    raise AssertionError(f"{name} is not restored\n{server.log_tail()}")


class RestoreKiller(threading.Thread):
    """Kills every CRIU of the server that restores, `after` seconds after it is seen."""

    def __init__(self, after):
        super().__init__(daemon=True)
        self.after, self.killed, self.ends = after, 0, threading.Event()

    def run(self):
        seen = set()
        while not self.ends.is_set():
            for pid in descendants_of(server.process.pid) - seen:
                try:
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"restore" in command and b"criu" in command[0]:
                    seen.add(pid)
                    time.sleep(self.after)
                    try:
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1
                    except ProcessLookupError:
                        pass
            time.sleep(0.001)


class LadderAttack(E2eTest):
    server = server

    def test_1_a_restored_program_makes_the_tokens_of_an_uninterrupted_one(self):
        expected = oracle()
        first, first_digest = expected.next(300)
        second, second_digest = expected.next(300)
        booted = model().remote(300)
        self.assertEqual((booted["tokens"], booted["digest"]), (first, first_digest))
        for _ in range(2):
            one = restored("Model.*", lambda: model().remote(300))
            self.assertEqual((one["tokens"], one["digest"]), (first, first_digest))
            again = model().remote(300)
            self.assertEqual((again["tokens"], again["digest"]), (second, second_digest))
            self.assertEqual(again["task"], one["task"])

    def test_2_a_restore_that_is_killed_at_any_stage_is_a_start_at_another_level(self):
        expected, digest = oracle().next(50)
        restored("Model.*", lambda: model().remote(50))
        killed = 0
        for after in (0.0, 0.002, 0.005, 0.01, 0.02, 0.04):
            stop_all()
            killer = RestoreKiller(after)
            killer.start()
            answer = model().remote(50)
            killer.ends.set()
            killer.join()
            killed += killer.killed
            self.assertEqual((answer["tokens"], answer["digest"]), (expected, digest), after)
            if killer.killed:  # several in a row would have retired the snapshot
                restored("Model.*", lambda: model().remote(50))
        self.assertGreaterEqual(killed, 3, "the killer was too slow to prove anything")
        stop_all()
        left = [pid for pid in descendants_of(server.process.pid) if is_criu(pid)]
        self.assertEqual(left, [])
        wait_until(lambda: not server.containers(), 30, "no process of a container is left")

    def test_3_files_that_are_cut_gone_or_swapped_are_found_out(self):
        restored("other", function("other").remote)
        restored("wait", function("wait").remote)
        identifier = function("other").object_id

        def cut(folder):
            path = folder / "images/pages-1.img"
            os.truncate(path, path.stat().st_size // 2)

        def take_away(folder):
            (folder / "images/inventory.img").unlink()

        def swap(folder):
            mine, theirs = folder / "images", snapshot_folder(function("wait").object_id) / "images"
            aside = folder / "aside"
            mine.rename(aside)
            theirs.rename(mine)
            aside.rename(theirs)

        for harm in (cut, take_away, swap):
            with self.subTest(harm.__name__):
                count = len(taken("other"))
                wait_until(lambda: snapshot_folder(identifier), 120, "there is a snapshot")
                stop_all()
                harm(snapshot_folder(identifier))
                answer = function("other").remote()
                self.assertTrue(answer["other"])
                self.assertEqual(level_of(answer["task"]), "booted")
                wait_for_snapshot("other", count + 1)
        stop_all()
        self.assertNotIn("other", function("wait").remote())

    def test_4_other_code_and_another_image_do_not_find_the_snapshot(self):
        before = restored("wait", function("wait").remote)
        self.assertEqual((before["version"], before["colour"]), (1, "green"))
        text = (APPS / "ladder_attack.py").read_text()
        changes = (("VERSION = 1", "VERSION = 2"), ('"COLOUR": "green"', '"COLOUR": "blue"'))
        folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-attack-"))
        self.addCleanup(shutil.rmtree, folder)
        for change, expected in zip(changes, ((2, "green"), (2, "blue"))):
            with self.subTest(change[1]):
                text = text.replace(*change)
                (folder / "ladder_attack.py").write_text(text)
                server.modal("deploy", folder / "ladder_attack.py")
                stop_all()
                answer = function("wait").remote()
                self.assertEqual((answer["version"], answer["colour"]), expected)
                self.assertEqual(level_of(answer["task"]), "booted")
                after = restored("wait", function("wait").remote)
                self.assertEqual((after["version"], after["colour"]), expected)

    def test_5_fifty_restores_at_once(self):
        available = next(int(line.split()[1]) for line in open("/proc/meminfo")
                         if line.startswith("MemAvailable"))  # fmt: skip
        if available < AT_ONCE * MEMORY_OF_ONE_KB:
            self.skipTest(f"{available >> 10} MB of memory are not enough for {AT_ONCE} containers")
        restored("wait", function("wait").remote)
        stop_all()
        started = time.monotonic()
        calls = [function("wait").spawn(15.0) for _ in range(AT_ONCE)]
        answers = [call.get(timeout=240) for call in calls]
        print(f"{AT_ONCE} calls of 15 s, each in need of a container: "
              f"{time.monotonic() - started:.1f} s")  # fmt: skip
        tasks = {answer["task"] for answer in answers}
        levels = {view["container"]: view for view in views()}
        used = [LEVELS.get(v["level"], v["level"]) for t, v in levels.items() if t in tasks]
        print(f"{len(tasks)} containers: {used.count('restored')} restored")
        self.assertGreaterEqual(used.count("restored"), AT_ONCE // 2)
        self.assertEqual(len({answer["random"] for answer in answers}), AT_ONCE)
        stop_all()
        wait_until(lambda: not server.containers(), 60, "no process of a container is left")


class FullDisk(unittest.TestCase):
    def test_a_disk_without_room_costs_no_call(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-full-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "thaw-e2e-full", folder],
                       check=True)  # fmt: skip
        small = ThawServer(config=f'{CONFIG}snapshots = "{folder}/snapshots"\n').start()
        try:
            small.modal("deploy", APPS / "ladder_attack.py")
            for _ in range(2):
                environment = {**os.environ, **small.client_environment()}
                done = subprocess.run([os.sys.executable, "-c", CALL], env=environment, text=True,
                                      capture_output=True, timeout=120, check=True)  # fmt: skip
                self.assertEqual(json.loads(done.stdout)["version"], 1, done.stderr)
            wait_until(lambda: events("no snapshot", small), 60, "the log says that there is none")
            self.assertEqual(taken("wait", small), [])
            self.assertEqual(list((folder / "snapshots/staging").glob("*")), [])
        finally:
            small.close()
            subprocess.run(["umount", folder], check=True)
            folder.rmdir()


CALL = f"""
import json, modal
print(json.dumps(modal.Function.from_name({APP!r}, "wait").remote()))
"""


def is_criu(pid):
    try:
        return b"criu" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False


if __name__ == "__main__":
    main()
