# SPDX-License-Identifier: Apache-2.0
"""From zero to fifty containers of one function: until the last of them runs its first line."""
import time

import modal

import ladder

CONTAINERS = 50
HOLD_S = 6.0


class ScaleOut:
    """What ladder.py calls a workload."""

    name, app, function = "trivial-50-at-once", "bench-cold-trivial", "hold"


def one_run(server, level):
    """(seconds, containers, of them at that level); all inputs are answered."""
    server.bring_to_zero(ScaleOut)
    hold = modal.Function.from_name(ScaleOut.app, ScaleOut.function, client=server.client)
    hold.hydrate(server.client)
    started = time.time()
    answers = list(hold.map(range(CONTAINERS), kwargs={"seconds": HOLD_S}))
    if sorted(answer["number"] for answer in answers) != list(range(CONTAINERS)):
        raise RuntimeError("not every input was answered once")
    tasks = {answer["task"] for answer in answers}
    levels = [ladder.level_of(start) for start in server.starts(ScaleOut.function)
              if start["container"] in tasks]
    return max(answer["entered"] for answer in answers) - started, len(tasks), levels.count(level)


def prime(server, level, tries=20):
    hold = modal.Function.from_name(ScaleOut.app, ScaleOut.function, client=server.client)
    for _ in range(tries):
        server.bring_to_zero(ScaleOut)
        hold.remote(0, 0)
        if ladder.level_of(server.last_start(ScaleOut)) == level:
            return True
        time.sleep(1)
    return False
