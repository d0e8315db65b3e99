#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Calls that arrive while their function is frozen, thawed and scaled down: none is lost or late.

What is judged is the slowest call, not a percentile: one that falls between a container that goes
and one that comes would wait for a lease or a lost poll, which takes far longer than a start.
"""
import concurrent.futures
import json
import os
import random
import time
import urllib.request

from ladder import Ladder
from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main

WINDOW = 2.0
CALLS = int(os.environ.get("CHURN_CALLS", "15"))  # of each function
SEED = int(os.environ.get("CHURN_SEED", "1"))
LONGEST_S = 10.0  # or five times the slowest start from zero, on a slow machine


# Frozen a moment after each call, so that thaws are part of it.
server = ThawServer.for_module(config="[cold_start]\nfreeze_after_s = 0.3\nstandby_s = 3\n")

import modal  # noqa: E402


def remote(name):
    function = modal.Function.from_name("e2e-churn", name)
    return lambda number: function.remote(number)


def over_http():
    url = modal.Function.from_name("e2e-churn", "web").get_web_url()

    def call(number):
        with urllib.request.urlopen(f"{url}?number={number}", timeout=CALL_TIMEOUT) as answer:
            return json.loads(answer.read())

    return call


class Churn(E2eTest):
    server = server

    def churn(self, name, call, chance):
        """(seconds of each call, containers that answered)"""
        taken, tasks = [], set()
        for number in range(CALLS):
            # Around the end of the window: a little before, at, and after it.
            time.sleep(chance.uniform(WINDOW - 0.4, WINDOW + 0.4) if number else 0)
            started = time.monotonic()
            answer = call(number)
            taken.append(time.monotonic() - started)
            self.assertEqual(answer["number"], number, name)
            tasks.add(answer["task"])
        return taken, tasks

    def test_no_call_is_lost_or_late_while_functions_scale_down(self):
        deploy(server, "churn.py")
        calls = {name: remote(name) for name in ("first", "second", "third")}
        calls["web"] = over_http()
        starts = []
        for call in calls.values():
            started = time.monotonic()
            call(-1)
            starts.append(time.monotonic() - started)
        limit = max(LONGEST_S, 5 * max(starts))
        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            runs = {name: pool.submit(self.churn, name, call, random.Random(f"{SEED} {name}"))
                    for name, call in calls.items()}  # fmt: skip
            for name, run in runs.items():
                taken, tasks = run.result()
                print(f"{name}: {len(taken)} calls, {len(tasks)} containers, "
                      f"slowest {max(taken):.3f} s (limit {limit:.1f})")  # fmt: skip
                self.assertGreater(len(tasks), 1, "nothing was scaled down: no churn")
                self.assertLess(max(taken), limit, name)
        freezes = Ladder(server).metric("thaw_freezes_total")
        print(f"{freezes:.0f} freezes")
        self.assertGreaterEqual(freezes, CALLS, "hardly any of the pauses was spent frozen")


if __name__ == "__main__":
    main()
