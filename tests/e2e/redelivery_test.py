#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Acknowledged calls that last up to 3 s, while servers, containers and templates are killed at
random moments: none is lost, none has two results, all end, and attempts are counted right.

The large one: REDELIVERY_CALLS=10000 REDELIVERY_KILLS=50 python3 tests/e2e/redelivery_test.py
REDELIVERY_SEED repeats a run's choices; REDELIVERY_KINDS=server,container,template,spawner chooses
what is killed.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import threading
import time

from thaw_server import E2eTest, ThawServer, deploy, descendants_of, main, parent_of

CALLS = int(os.environ.get("REDELIVERY_CALLS", "300"))
KILLS = int(os.environ.get("REDELIVERY_KILLS", "4"))
SEED = int(os.environ.get("REDELIVERY_SEED", random.SystemRandom().randrange(10**6)))
KINDS = os.environ.get("REDELIVERY_KINDS", "server,container,template").split(",")
LONGEST_S = 3.0
PAUSE_S = 2.5  # between kills, about
PATIENCE = 300 + CALLS / 5

server = ThawServer.for_module()

import modal  # noqa: E402


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def victims(kind):
    if kind == "server":
        return [server.process.pid]
    if kind == "container":
        return [container.pid for container in server.containers()]
    below = descendants_of(server.process.pid)
    if kind == "template":
        return [pid for pid in below if b"/run/thaw/template.py" in command_of(pid)]
    return [pid for pid in below if parent_of(pid) == server.process.pid]  # the spawner


class Killer(threading.Thread):
    """Kills at random moments until told to end; the server is started again each time."""

    def __init__(self, chance):
        super().__init__(daemon=True)
        self.chance = chance
        self.killed = collections.Counter()
        self.enough = threading.Event()
        self.failure = None

    def run(self):
        try:
            while sum(self.killed.values()) < KILLS:
                if self.enough.wait(self.chance.uniform(0.3, PAUSE_S)):
                    return
                self.kill_one()
        except Exception as failure:  # noqa: BLE001  (the test reads it)
            self.failure = failure

    def kill_one(self):
        # The first kills are one of each kind, so that a short run has them all.
        done = sum(self.killed.values())
        kind = KINDS[done] if done < len(KINDS) else self.chance.choice(KINDS)
        found = sorted(victims(kind))
        if not found:
            kind, found = "server", victims("server")
        if kind == "server":
            server.kill()
            server.start()
        else:
            try:
                os.kill(self.chance.choice(found), signal.SIGKILL)
            except ProcessLookupError:
                return  # it ended by itself meanwhile
        self.killed[kind] += 1


def spawn(number, seconds, moment):
    """Until it is acknowledged: a client whose server is away for long gives up and asks again."""
    time.sleep(max(0.0, moment - time.monotonic()))  # so that some are there for every kill
    while True:
        try:
            return modal.Function.from_name("e2e-redelivery", "work").spawn(number, seconds)
        except Exception as failure:  # noqa: BLE001
            if time.monotonic() > STARTED + PATIENCE:
                raise
            print(f"spawn {number} is asked for again: {failure!r:.100}")
            time.sleep(1)


def result_of(call):
    while True:
        try:
            return call.get(timeout=60)
        except (modal.exception.ConnectionError, modal.exception.ServiceError, TimeoutError) as why:
            if time.monotonic() > STARTED + PATIENCE:
                return f"no result: {why!r}"
        except Exception as failure:  # noqa: BLE001
            return f"failed: {failure!r}"


def record_of(call):
    shown = server.thaw("ps", "--call", call.object_id, "--json", "--data", str(server.data))
    return json.loads(shown.stdout)


STARTED = time.monotonic()


class Redelivery(E2eTest):
    server = server

    def test_no_acknowledged_call_is_lost_or_ends_twice(self):
        print(f"seed {SEED}: {CALLS} calls, {KILLS} kills of {', '.join(KINDS)}", flush=True)
        deploy(server, "redelivery.py")
        chance = random.Random(SEED)
        times = [chance.uniform(0, LONGEST_S) for _ in range(CALLS)]
        killer = Killer(random.Random(SEED + 1))
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            modal.Function.from_name("e2e-redelivery", "work").remote(-1, 0)
            killer.start()
            begin = time.monotonic()
            moments = [begin + number * KILLS * PAUSE_S / CALLS for number in range(CALLS)]
            calls = list(pool.map(spawn, range(CALLS), times, moments))
            results = list(pool.map(result_of, calls))
            killer.join(PATIENCE if sum(killer.killed.values()) < KILLS else 0)
            killer.enough.set()
            killer.join()
            self.assertIsNone(killer.failure, killer.failure)
            records = list(pool.map(record_of, calls))
        begun = collections.Counter(modal.Function.from_name("e2e-redelivery", "begun").remote())
        outputs = [record["outputs"] for record in records]
        attempts = [sum(one["attempts"] for one in ends) for ends in outputs]
        wrong = [n for n, result in enumerate(results) if result != n * 7 + 1]
        counts = {
            "acknowledged": len(calls),
            "killed": dict(killer.killed),
            "wrong or without result": len(wrong),
            "unfinished": sum(record["unfinished"] for record in records),
            "with another number of results than one": sum(len(ends) != 1 for ends in outputs),
            "delivered again": sum(number > 1 for number in attempts),
            "most attempts": max(attempts),
            # A delivery that was cut off before its first line is an attempt and has not begun.
            "begun more often than attempted": sum(
                begun[call.object_id] > made for call, made in zip(calls, attempts)
            ),
            "never begun": sum(begun[call.object_id] == 0 for call in calls),
        }
        print(json.dumps(counts), flush=True)
        self.assertEqual(wrong[:5], [], [results[n] for n in wrong[:5]])
        for name in ("unfinished", "with another number of results than one",
                     "begun more often than attempted", "never begun"):  # fmt: skip
            self.assertEqual(counts[name], 0, name)
        self.assertEqual(sum(killer.killed.values()), KILLS)
        self.assertGreater(counts["delivered again"], 0, "no kill has hit a call")


if __name__ == "__main__":
    main()
