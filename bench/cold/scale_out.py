# SPDX-License-Identifier: Apache-2.0
"""From zero to fifty containers of one function: until the last of them runs its first line."""
import time

import modal

import ladder

CONTAINERS = 50
HOLD_S = 6.0
ENOUGH = 0.9


class ScaleOut:
    """What ladder.py calls a workload."""

    name, app, function = "trivial-50-at-once", "bench-cold-trivial", "hold"


def one_run(server, level):
    """One run; all inputs are answered. It is right when nearly all containers are of the level:
    each was made anew, or all come from one start."""
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
    inits = {answer["task"]: answer["init"] for answer in answers}
    at_level = levels.count(level)
    # What a start of another level takes is part of the time all the same.
    expected = 1 + len(tasks) - at_level if level == "L3" else len(tasks)
    return {"seconds": max(answer["entered"] for answer in answers) - started,
            "containers": len(tasks), "at_level": at_level,
            "right": (len(tasks) >= ENOUGH * CONTAINERS and at_level >= ENOUGH * len(tasks)
                      and len(set(inits.values())) == expected)}


def prime(server, level, tries=20):
    hold = modal.Function.from_name(ScaleOut.app, ScaleOut.function, client=server.client)
    for _ in range(tries):
        server.bring_to_zero(ScaleOut)
        hold.remote(0, 0)
        if ladder.level_of(server.last_start(ScaleOut)) == level:
            return True
        time.sleep(1)
    return False
