#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What starts containers is killed, stopped or starved at any moment: every call is answered."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

from thaw_server import (
    APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, descendants_of, main, wait_until,
)  # fmt: skip
from exec_gate import ExecGate, need_gates
from ladder import CRIU, NO_SNAPSHOT, Ladder, need_criu

need_criu()
need_gates(CRIU)
# Frozen at once, so that requests meet a freeze whenever they come.
server = ThawServer.for_module(config="[cold_start]\nfreeze_after_s = 0.05\nstandby_s = 0\n")
ladder = Ladder(server)

import modal  # noqa: E402

APP = "e2e-ladder-crash"


def setUpModule():
    deploy(server, "ladder_crash.py")


def function(name):
    return modal.Function.from_name(APP, name)


def heavy():
    return modal.Cls.from_name(APP, "Heavy")().use


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def template_programs():
    return [
        pid for pid in descendants_of(server.process.pid)
        if b"/run/thaw/template.py" in command_of(pid)
    ]  # fmt: skip


def is_there(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


class KilledServer(E2eTest):
    """kill -9 while CRIU writes or reads, and a start behind it."""

    server = server

    def kill_in_criu(self, start, after):
        """Kills the server `after` seconds into the CRIU that `start` brings about; 0: before."""
        with ExecGate(CRIU, server.process.pid) as gate:
            result = start()
            held = gate.next(60)
            self.assertIsNotNone(held, "CRIU was not started")
            before = descendants_of(server.process.pid)
            if after:
                held.release()
                time.sleep(after)
            server.kill()
            held.release()
        wait_until(lambda: not any(map(is_there, before)), 30, "nothing of it is left")
        folder = server.data / "snapshots" / "staging"
        server.start()
        self.assertEqual(list(folder.glob("*")), [])
        return result

    def test_1_while_a_snapshot_is_written(self):
        for number, after in enumerate((0.0, 0.03, 0.1)):
            # The boot asks for a snapshot.
            self.kill_in_criu(lambda: heavy().remote(number), after)
        answer = ladder.restored("Heavy.*", lambda: heavy().remote(3))
        self.assertTrue(answer["same"])

    def test_2_while_a_program_is_restored(self):
        ladder.restored("Heavy.*", lambda: heavy().remote(4))
        for number, after in enumerate((0.0, 0.03, 0.1)):
            ladder.end("Heavy.*")
            call = self.kill_in_criu(lambda: heavy().spawn(number), after)
            answer = call.get(timeout=CALL_TIMEOUT)  # it was accepted: it is not lost
            self.assertEqual((answer["number"], answer["same"]), (number, True))
        # The snapshot is as good as before.
        self.assertEqual(ladder.events("a snapshot is retired", function="Heavy.*"), [])


class Templates(E2eTest):
    server = server

    def template(self):
        """A template that has been seen to fork."""

        def forks():
            answer = function("plain").remote()
            ladder.end("plain")
            return ladder.level_of(answer["task"]) == "L2" and template_programs()

        # One that was killed while it started is not made again at once.
        return wait_until(forks, 120, "a start is a fork", pause=1)

    def ask_many(self, count):
        calls = [function("plain").spawn(number) for number in range(count)]
        answers = [call.get(timeout=CALL_TIMEOUT) for call in calls]
        self.assertEqual([a["number"] for a in answers], list(range(count)))

    def test_1_one_that_hangs_is_passed_over(self):
        programs = self.template()
        for pid in programs:
            os.kill(pid, signal.SIGSTOP)
        answer = function("plain").remote(1)
        self.assertEqual(answer["number"], 1)
        start = ladder.start_of(answer["task"])
        self.assertEqual(start["started_by"], "L4")
        self.assertIn("fork_timeout", [fallback["reason"] for fallback in start["fell_from"]])
        self.assertGreater(
            ladder.metric("thaw_start_fallbacks_total", level="L2", reason="fork_timeout"), 0
        )
        self.ask_many(8)
        # After a few it is replaced, though it cannot answer a request to end.
        for number in range(3):
            ladder.end("plain")
            function("plain").remote(number)
        wait_until(lambda: not any(map(is_there, programs)), 60, "the one that hung is gone")

    def test_3_one_that_is_killed_while_it_forks(self):
        self.template()
        for after in (0.0, 0.01, 0.03):
            killer = threading.Timer(after, lambda: [os.kill(p, 9) for p in template_programs()])
            killer.start()
            self.ask_many(6)
            killer.join()
            ladder.end("plain")

    def test_2_one_without_memory(self):
        [program, *_] = self.template()
        lines = pathlib.Path(f"/proc/{program}/cgroup").read_text().splitlines()
        groups = {c: path for _, c, path in (line.split(":", 2) for line in lines)}
        v1 = pathlib.Path(f"/sys/fs/cgroup/memory{groups.get('memory')}/memory.limit_in_bytes")
        v2 = pathlib.Path(f"/sys/fs/cgroup{groups.get('')}/memory.max")
        limit = v1 if v1.exists() else v2
        used = int((limit.parent / ("memory.usage_in_bytes" if limit == v1 else "memory.current"))
                   .read_text())  # fmt: skip
        limit.write_text(str(used + (64 << 10)))
        self.ask_many(8)
        self.ask_many(8)


class Freezing(E2eTest):
    """Nothing is frozen in the middle: a container is frozen once, when it has nothing to do."""

    server = server

    def frozen_once(self, use):
        """Uses a function, whose answer names its container; the other ones are gone before."""
        before = ladder.metric("thaw_freezes_total")
        task, answer = use()
        wait_until(lambda: ladder.start_of(task)["status"] == "frozen", 30, "it is frozen")
        self.assertEqual(ladder.metric("thaw_freezes_total") - before, 1)
        return task, answer

    def test_a_generator_with_pauses_is_not_frozen(self):
        def use():
            items = list(function("generate").remote_gen(5, 0.4))
            return items[0]["task"], [item["number"] for item in items]

        ladder.end()
        for level in ("booted", "restored"):
            task, numbers = self.frozen_once(use)
            self.assertEqual(numbers, list(range(5)), level)
            if level == "booted":
                ladder.wait_for_snapshot("generate")
                server.modal("container", "stop", "--yes", task)
                ladder.end("generate")
        self.assertEqual(ladder.level_of(task), "L3")

    def test_b_a_restored_container_is_frozen_and_thawed(self):
        answer = ladder.restored("wait", function("wait").remote)
        for _ in range(5):
            wait_until(lambda: ladder.start_of(answer["task"])["status"] == "frozen", 30, "frozen",
                       pause=0.01)  # fmt: skip
            self.assertEqual(function("wait").remote()["task"], answer["task"])

    def test_c_a_response_that_comes_in_pieces_is_not_frozen(self):
        url = function("stream").get_web_url()

        def use():
            with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as response:
                tasks = response.read().decode().splitlines()
            return tasks[0], tasks

        ladder.end()
        for _ in range(3):
            task, tasks = self.frozen_once(use)
            self.assertEqual(tasks, [task] * 5)


class FullDisk(unittest.TestCase):
    def test_a_disk_without_room_costs_no_call(self):
        for size, promise in (("16m", "begin"), ("1400m", "write")):
            with self.subTest(promise):
                self.on_a_disk_of(size)

    def on_a_disk_of(self, size):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-full-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "thaw-e2e-full", folder],
                       check=True)  # fmt: skip
        config = f'[cold_start]\nforked = false\nfrozen = false\nsnapshots = "{folder}/snapshots"\n'
        small = ThawServer(config=config).start()
        shown = Ladder(small)
        shrinker = None
        try:
            small.modal("deploy", APPS / "ladder_crash.py")
            if size != "16m":
                shrinker = threading.Thread(target=self.shrink, args=(folder,))
                shrinker.start()
            for _ in range(2):
                environment = {**os.environ, **small.client_environment()}
                done = subprocess.run([sys.executable, "-c", CALL], env=environment, text=True,
                                      capture_output=True, timeout=CALL_TIMEOUT)  # fmt: skip
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(json.loads(done.stdout)["same"])
            wait_until(lambda: shown.events(NO_SNAPSHOT), 60, "the log says that there is none")
            why = "too little room" if size == "16m" else "No space|criu|space"
            self.assertRegex(shown.events(NO_SNAPSHOT)[0]["reason"], why)
            self.assertEqual(shown.taken("Heavy.*"), 0)
            log = small.thaw("logs", APP, "--data", str(small.data)).stderr
            self.assertIn("thaw: no memory snapshot of Heavy.*", log)
            wait_until(lambda: not list((folder / "snapshots/staging").glob("*")), 30, "tidied up")
            self.assertEqual(list((folder / "snapshots").glob("*/*/manifest.json")), [])
        finally:
            if shrinker:
                shrinker.join()
            small.close()
            subprocess.run(["umount", folder], check=True)
            folder.rmdir()

    @staticmethod
    def shrink(folder):
        """Takes away the room that the snapshot was promised, once CRIU writes."""
        images = folder / "snapshots/staging"
        wait_until(lambda: list(images.glob("*/images/*")), 60, "CRIU writes", pause=0.001)
        found = os.statvfs(folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        subprocess.run(["mount", "-o", f"remount,size={used + (8 << 20)}", folder], check=True)


CALL = f"""
import json, modal
print(json.dumps(modal.Cls.from_name({APP!r}, "Heavy")().use.remote(1)))
"""


if __name__ == "__main__":
    main()
