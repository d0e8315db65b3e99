#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots under attack: a restored program is the same one, and no failure reaches a caller."""
import importlib.util
import os
import pathlib
import signal
import threading
import time

from thaw_server import (
    APPS, E2eTest, ThawServer, ancestors_of, descendants_of, main, wait_until,
)  # fmt: skip
from exec_gate import ExecGate, need_gates
from ladder import CRIU, Ladder, need_criu

need_criu()
need_gates(CRIU)
# Without forks, so that what is not restored is booted.
CONFIG = "[cold_start]\nforked = false\nfrozen = false\n"
server = ThawServer.for_module(config=CONFIG)
ladder = Ladder(server)

import modal  # noqa: E402

APP = "e2e-ladder-attack"
AT_ONCE = 50
HOLD_S = 20.0  # longer than all of them take to start, on a slow machine too
MEMORY_OF_ONE_KB = 80 << 10


def setUpModule():
    deploy("WORD=first")


def deploy(secret, app_file=APPS / "ladder_attack.py", of=None):
    of = of or server
    of.modal("secret", "create", "--force", APP, secret)
    of.modal("deploy", app_file)


def model():
    return modal.Cls.from_name(APP, "Model")().next


def function(name):
    return modal.Function.from_name(APP, name)


def wait():
    return function("wait").remote()


def oracle():
    """The same program in this process, never interrupted."""
    spec = importlib.util.spec_from_file_location("ladder_attack", APPS / "ladder_attack.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tokens = module.Tokens(11)
    tokens.next(module.WARM_UP)
    return tokens


def status_of(pid):
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}
    except (OSError, ValueError):
        return {}


def is_criu(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"criu\0restore")
    except OSError:
        return False


def children_of(pid):
    try:
        return list(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return []


def number_inside(pid):
    """What a process in a container of its own is called there; 0 for others."""
    inside = status_of(pid).get("NSpid", "").split()
    return int(inside[-1]) if len(inside) > 1 else 0


class Killer(threading.Thread):
    """Sends a signal to a part of the next restore: `after` seconds after that part is there."""

    def __init__(self, part, after, number=signal.SIGKILL):
        super().__init__(daemon=True)
        self.part, self.after, self.signal = part, after, number
        self.killed, self.ends = [], threading.Event()

    def __enter__(self):
        self.gate = ExecGate(CRIU, server.process.pid)
        self.gate.__enter__()
        self.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.join()
        self.gate.__exit__()

    def part_of(self, criu):
        """CRIU; the program that it brings back, number 1000 inside; or what stands above both."""
        if self.part == "criu":
            return criu
        init = next(pid for pid in ancestors_of(criu) if number_inside(pid) == 1)
        if self.part == "init":
            return init
        # It comes while CRIU works, and not at all if CRIU fails.
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for pid in children_of(init) + children_of(criu):
                if number_inside(pid) == 1000:
                    return pid
        return None

    def run(self):
        while not (held := self.gate.next(0.05)):
            if self.ends.is_set():
                return
        self.gate.open()
        if self.part == "program" or self.after:
            held.release()
        pid = self.part_of(held.pid)
        time.sleep(self.after)
        try:
            if pid:
                os.kill(pid, self.signal)
                self.killed.append(pid)
        except ProcessLookupError:
            pass
        held.release()


class LadderAttack(E2eTest):
    server = server

    def fallbacks(self, reason):
        return ladder.metric("thaw_start_fallbacks_total", level="L3", reason=reason)

    def test_1_a_restored_program_makes_the_tokens_of_an_uninterrupted_one(self):
        expected = oracle()
        first, first_digest = expected.next(300)
        second, second_digest = expected.next(300)
        booted = model().remote(300)
        self.assertEqual((booted["tokens"], booted["digest"]), (first, first_digest))
        for _ in range(2):
            one = ladder.restored("Model.*", lambda: model().remote(300))
            self.assertEqual((one["tokens"], one["digest"]), (first, first_digest))
            again = model().remote(300)
            self.assertEqual((again["tokens"], again["digest"]), (second, second_digest))
            self.assertEqual(again["task"], one["task"])

    def test_2_a_restore_that_is_killed_at_any_stage_is_a_start_at_another_level(self):
        tokens, digest = oracle().next(50)
        # Those at 0 come before CRIU's first instruction; a late one may meet a program that runs.
        attacks = [("criu", 0.0), ("criu", 0.002), ("criu", 0.005), ("criu", 0.01),
                   ("program", 0.0), ("program", 0.002), ("program", 0.01),
                   ("init", 0.0), ("init", 0.005), ("init", 0.02)]  # fmt: skip
        killed = fell = 0
        for part, after in attacks:
            ladder.restored("Model.*", lambda: model().remote(50))
            ladder.end("Model.*")
            with Killer(part, after) as killer:
                answer = model().remote(50)
            self.assertEqual((answer["tokens"], answer["digest"]), (tokens, digest), (part, after))
            killed += len(killer.killed)
            if part != "program" and after == 0.0:
                self.assertEqual(len(killer.killed), 1, part)
                self.assertNotEqual(ladder.level_of(answer["task"]), "L3", part)
            if ladder.level_of(answer["task"]) != "L3":
                fell += 1
                taken = ladder.taken("Model.*")
                retired = len(ladder.events("a snapshot is retired",
                                            function=model_id()))  # fmt: skip
                if retired:
                    ladder.wait_for_snapshot("Model.*", max(taken, retired + 1))
        print(f"{len(attacks)} attacks, {killed} hit, {fell} starts at another level")
        self.assertGreaterEqual(killed, 5, "the killer hit too little to prove anything")
        self.assertGreaterEqual(fell, 2)
        self.assertGreater(self.fallbacks("restore_failed"), 0)
        ladder.end()
        self.assertEqual([p for p in descendants_of(server.process.pid) if is_criu(p)], [])
        wait_until(lambda: not server.containers(), 30, "no process of a container is left")

    def test_3_failures_in_a_row_retire_the_snapshot(self):
        ladder.restored("other", function("other").remote)
        identifier = function("other").hydrate().object_id
        before = len(ladder.events("a snapshot is retired", function=identifier))
        deadline = time.monotonic() + 90

        def retired():
            return ladder.events("a snapshot is retired", function=identifier)[before:]

        hits = 0
        while not retired() and time.monotonic() < deadline:
            ladder.end("other")
            # Of its own accord, as far as one can tell; one that is killed says nothing of it.
            with Killer("criu", 0.0, signal.SIGSEGV) as killer:
                answer = function("other").remote()
            self.assertTrue(answer["other"])
            start = ladder.start_of(answer["task"])
            if start["started_by"] == "L3":  # the killer came too late, and it counts anew
                hits = 0
                continue
            if killer.killed:  # after two failures it is left out for a while
                hits += 1
                [fell, *_] = start["fell_from"]
                self.assertEqual((fell["level"], fell["reason"]), ("L3", "restore_failed"))
        self.assertEqual(hits, 3)
        self.assertEqual([event["reason"] for event in retired()], ["restores failed"])
        shown = server.thaw("logs", "--starts", "--data", str(server.data)).stdout
        self.assertIn("L3 restore_failed", shown)
        self.assertGreaterEqual(self.fallbacks("restore_failed"), 3)
        ladder.restored("other", function("other").remote)  # a new one takes its place

    def test_4_fifty_restores_at_once(self):
        with open("/proc/meminfo") as file:
            available = next(int(li.split()[1]) for li in file if li.startswith("MemAvailable"))
        if available < AT_ONCE * MEMORY_OF_ONE_KB:
            self.skipTest(f"{available >> 10} MB of memory are not enough for {AT_ONCE} containers")
        crowd = ThawServer(config=f"{CONFIG}[containers]\nmax_starting = {AT_ONCE}\n").start()
        self.addCleanup(crowd.close)
        shown = Ladder(crowd)
        deploy("WORD=first", of=crowd)
        hold = modal.Function.from_name(APP, "wait", client=client_of(crowd))
        # Calls that are known to take long: each of the next ones needs a container of its own.
        shown.restored("wait", lambda: hold.remote(3.0))
        shown.end()
        started = time.monotonic()
        calls = [hold.spawn(HOLD_S) for _ in range(AT_ONCE)]
        answers = [call.get(timeout=240) for call in calls]
        took = time.monotonic() - started
        tasks = {answer["task"] for answer in answers}
        levels = [v["started_by"] for v in shown.starts() if v["container"] in tasks]
        print(f"{AT_ONCE} calls of {HOLD_S} s, each in need of a container: {took:.1f} s; "
              f"{len(tasks)} containers, {levels.count('L3')} restored")  # fmt: skip
        self.assertGreaterEqual(levels.count("L3"), 0.9 * AT_ONCE)
        self.assertEqual({answer["secret"] for answer in answers}, {"first"})
        self.assertEqual(len({answer["random"] for answer in answers}), AT_ONCE)
        self.assertEqual(len({answer["host"] for answer in answers}), len(tasks))
        shown.end()
        wait_until(lambda: not crowd.containers(), 60, "no process of a container is left")


def client_of(other):
    """A client of another server than the module's."""
    environment = other.client_environment()
    other.use()
    try:
        return modal.Client.from_credentials(environment["MODAL_TOKEN_ID"],
                                             environment["MODAL_TOKEN_SECRET"])  # fmt: skip
    finally:
        server.use()


def model_id():
    return model().hydrate().object_id


if __name__ == "__main__":
    main()
