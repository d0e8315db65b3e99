# SPDX-License-Identifier: Apache-2.0
"""From no container of a function to fifty that run at once, by the real client's .map.

Run by bench/run with the client's Python: scaleout_bench.py OUT.json
Environment: SCALEOUT_ROUNDS (3), SCALEOUT_STARTING (the server's own [containers] max_starting).
"""
import os
import time

from measuring import HERE, percentile, row, run_bench

SIZE = 50
ROUNDS = int(os.environ.get("SCALEOUT_ROUNDS", "3"))
STARTING = os.environ.get("SCALEOUT_STARTING")


def one_round(server, seconds):
    """When each container of a burst began its call, in seconds since the burst."""
    import modal

    member = modal.Function.from_name("bench-scaleout", "member")
    server.wait_for_zero_of("member")
    began = time.time()
    first = {}
    for task, at in member.map([seconds] * SIZE):
        first[task] = min(first.get(task, at), at)
    return sorted(at - began for at in first.values())


def measure(server):
    rounds, used, seconds = [], [], 4.0
    one_round(server, seconds)  # what only the first start of a version does is not the point
    while len(rounds) < ROUNDS:
        cpu = server.cpu_seconds()
        began = one_round(server, seconds)
        if len(began) < SIZE and seconds < 60:
            seconds *= 2  # calls ended before all containers were there
            continue
        rounds.append(began)
        used.append((server.cpu_seconds() - cpu) / SIZE)
    starts = server.starts("member")[-SIZE * ROUNDS:]
    levels = {start.get("level_name", "") for start in starts}
    rows = [row(f"0 to 10 containers ({', '.join(sorted(levels))})", [r[9] for r in rounds]),
            row("0 to 25 containers", [r[24] for r in rounds]),
            row(f"0 to {SIZE} containers", [r[-1] for r in rounds])]
    rows.append({"what": "  processor time of Thaw for one", "unit": "ms",
                 "p50": round(percentile(used, 0.5) * 1e3, 2)})
    return rows + server.stage_rows("member")


if __name__ == "__main__":
    run_bench(measure, HERE / "apps/scaleout.py",
              f"[containers]\nmax_starting = {STARTING}\n" if STARTING else "")
