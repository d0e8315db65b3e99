#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Thaw beside Ray Serve, BentoML, LitServe, cog's server and plain uvicorn: one handler, one model.

    make bench-peers           python3 bench/peers/measure.py [--rounds 3] [--systems uvicorn,cog]

In each round every system is started (to its first correct response), loaded at 1 and at 32
connections, and ended, in turn. Loopback only. Results: build/bench/peers.json.
"""
import argparse
import json
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "cold")]

import on_thaw  # noqa: E402  (measuring, which it imports, enters the client's environment)
import ladder  # noqa: E402
import load  # noqa: E402
import report  # noqa: E402
import systems  # noqa: E402
import workloads  # noqa: E402

OUT = HERE.parents[1] / "build/bench"
CONNECTIONS = (1, 32)
MODEL_CALLS = 8
IDLE_SECONDS = 2
# One model answers one prompt at a time in every system here.
NOT_MEASURED = ("not measured: the language model at 32 connections. Every system has one model, "
                "which answers one prompt after the other: 31 of 32 would wait for it, for 4 s and "
                "more, everywhere alike, and what a system adds would be lost in that")
PRIME_TRIES = 10


def say(text):
    print(f"[{time.strftime('%H:%M:%S', time.gmtime())}] {text}", flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.starts, self.warm, self.idle = {}, {}, {}
        self.failed, self.failures = {}, {}
        self.expected = {"trivial": {"text": systems.TEXT, "length": len(systems.TEXT)},
                         "llm": {"tokens": workloads.llm_oracle()}}
        self.thaw = on_thaw.Thaw().start()

    def keep_start(self, workload, system, level, seconds, init=None):
        """Its output was compared by value before the time counted."""
        run = {"seconds": seconds, "init": init, "right": True}
        self.starts.setdefault((workload, system, level), []).append(run)

    def keep_warm(self, workload, system, level, run):
        self.warm.setdefault((workload, system, level), []).append(run)

    def keep_idle(self, workload, system, level, pids):
        run = load.watch_idle(IDLE_SECONDS, pids)
        self.idle.setdefault((f"{workload}-idle", system, level), []).append(run)

    # --- one turn of a system -----------------------------------------------------------------

    def load(self, name, system, level, port, path, body, pids, sample):
        load.run_wrk(port, path, body, 4, 1, pids)  # not measured: caches, threads, connections
        for connections in CONNECTIONS:
            sampler = load.Sampler(sample, self.expected["trivial"])
            run = load.run_wrk(port, path, body, connections, self.options.seconds, pids, sampler)
            self.keep_warm(f"{name}-warm-c{connections}", system, level, run)

    def ask_model(self, system, level, ask, pids):
        """One at a time: the model has one thread."""
        taken, before = [], systems.cpu_seconds(pids())
        for _ in range(MODEL_CALLS):
            started = time.perf_counter()
            ask()
            taken.append((time.perf_counter() - started) * 1e3)
        used = systems.cpu_seconds(pids()) - before
        rss, pss = systems.memory_mb(pids())
        self.keep_warm("llm-warm-c1", system, level, {
            "requests": len(taken), "bad": 0, "compared": len(taken),
            "per_s": len(taken) / sum(taken) * 1e3,
            "per_cpu_s": len(taken) / used if used else 0, "p50_ms": statistics.median(taken),
            "p99_ms": max(taken), "max_ms": max(taken), "rss_mb": rss, "pss_mb": pss})

    def turn_of_peer(self, name, workload, measured):
        peer = systems.Peer(name, workload)
        try:
            seconds = peer.start(self.expected[workload])
            if not measured:
                return
            self.keep_start(f"{workload}-start", name, "", seconds)
            self.keep_idle(workload, name, "", peer.processes)
            if workload == "trivial":
                self.load("trivial", name, "", peer.port, peer.path, peer.body, peer.processes,
                          lambda: self.sample_peer(peer))
            else:
                self.ask_model(name, "", lambda: self.ask_peer(peer), peer.processes)
        finally:
            peer.stop()

    @staticmethod
    def sample_peer(peer):
        status, body = systems.post(peer.port, peer.path, peer.body)
        return status, peer.output_of(body) if status == 200 else body

    def ask_peer(self, peer):
        status, body = systems.post(peer.port, peer.path, peer.body)
        if peer.output_of(body) != self.expected["llm"]:
            raise RuntimeError(f"{peer.name}: {status} {body[:200]!r}")

    def turn_of_thaw(self, workload, measured):
        expected = self.expected[workload]
        for level in ("L4", "L3", "L2"):
            if level not in self.thaw.missing:
                self.start_of_thaw(level, workload, expected, measured)
        if measured and "L1" not in self.thaw.missing:
            try:
                self.keep_start(f"{workload}-start", "thaw",
                                *self.thaw.from_frozen(workload, expected))
            except ladder.MissingLevel as problem:
                self.thaw.missing[f"L1 of {workload}"] = str(problem)
        for level in ("L3", "L2"):
            self.thaw.zero(level, workload)
        if measured and workload == "llm":
            self.thaw.ask("L4", "llm")
            self.ask_model("thaw", "L0", lambda: self.ask_thaw("llm"), self.thaw.pids)
        self.thaw.zero("L4", workload)
        if measured:
            self.keep_idle(workload, "thaw", "zero", self.thaw.pids)
        if measured and workload == "trivial":
            self.keep_start("trivial-start", "thaw, with its server", "L4",
                            self.thaw.server_and_all("trivial", expected))
            for name, system in (("trivial", "thaw"), ("web_server", "thaw web_server")):
                self.ask_thaw(name)
                self.load("trivial", system, "L0", *self.thaw.warm_address(name),
                          {"text": systems.TEXT}, self.thaw.pids,
                          lambda name=name: self.thaw.sample(name))
                self.thaw.zero("L4", name)

    def ask_thaw(self, name):
        found = self.thaw.ask("L4", name)
        if found != self.expected["llm" if name == "llm" else "trivial"]:
            raise RuntimeError(f"thaw {name}: {found!r}")

    def start_of_thaw(self, level, workload, expected, measured):
        for _ in range(1 if measured else PRIME_TRIES):
            used, seconds, init = self.thaw.from_zero(level, workload, expected)
            if used == level:
                if measured:
                    self.keep_start(f"{workload}-start", "thaw", level, seconds, init)
                return
            time.sleep(0 if measured else 1)
        if not measured:
            self.thaw.missing[f"{level} of {workload}"] = f"starts were {used}"
            say(f"thaw {workload}: {level} was never used; starts were {used}")

    # --- all ----------------------------------------------------------------------------------

    def run(self):
        names = [name for name in systems.NAMES
                 if not self.options.systems or name in self.options.systems.split(",")]
        for workload in ("trivial", "llm"):
            for number in range(self.options.rounds + 1):
                measured = number > 0  # the first fills caches of files and makes templates
                for name in ("thaw", *names):
                    self.turn(name, workload, measured)
                say(f"{workload}: round {number} of {self.options.rounds}")

    def turn(self, name, workload, measured):
        if self.failures.get(name, 0) > 1:
            return
        try:
            if name == "thaw":
                self.turn_of_thaw(workload, measured)
            else:
                self.turn_of_peer(name, workload, measured)
        except Exception as problem:
            self.failures[name] = self.failures.get(name, 0) + 1
            self.failed[name] = f"{workload}: {type(problem).__name__}: {problem}"
            say(f"{name}: failed: {self.failed[name]}")

    def rows(self):
        rows = [report.row_of(workload, level, runs, system)
                for (workload, system, level), runs in self.starts.items()]
        rows += [load.warm_row(*key, runs) for key, runs in self.warm.items()]
        rows += [load.idle_row(*key, runs) for key, runs in self.idle.items()]
        judge(rows, json.loads((HERE / "whys.json").read_text()))
        return sorted(rows, key=lambda row: (row["workload"], "thaw" not in row["system"],
                                             row.get("p50_ms", 0)))


# What is better when larger; of the others the smaller is better.
LARGER = ("requests_per_s", "requests_per_cpu_s")
METRICS = ("p50_ms", "p99_ms", *LARGER, "pss_mb", "cpu_ms_per_s")


def judge(rows, whys):
    """Of each row of a peer: is Thaw's best row of the same workload ahead, by which metric?"""
    for row in rows:
        mine = [other for other in rows if other["workload"] == row["workload"]
                and other["system"].startswith("thaw") and other["level"] != "L1"]
        if row["system"].startswith("thaw") or not mine:
            continue
        row["against_thaw"] = {}
        for metric in METRICS:
            if metric in row:
                row["against_thaw"][metric] = verdict_on(row, metric, mine, whys)


def verdict_on(row, metric, mine, whys):
    with_it = [other for other in mine if metric in other]
    if not with_it:
        return {"ahead": False, "thaw": None, "why": "not measured of Thaw"}
    best = (max if metric in LARGER else min)(with_it, key=lambda other: other[metric])
    ahead = best[metric] >= row[metric] if metric in LARGER else best[metric] <= row[metric]
    verdict = {"thaw": best[metric], "by": f"{best['system']} {best['level']}", "ahead": ahead}
    if not ahead:
        found = whys.get(row["workload"], {})
        verdict["why"] = found.get(f"{row['system']} {metric}", found.get(metric, ""))
    return verdict


def unproved(rows):
    """What rows claim without showing it: [text]."""
    found = []
    for row in rows:
        name = f"{row['workload']}, {row['system']} {row['level']}".rstrip()
        if "p50_ms" in row and not row.get("output_equals_oracle"):
            found.append(f"{name}: no output was compared")
        if row["workload"].endswith("-start") and row["level"] == "L3" and row["init_runs"] != 1:
            found.append(f"{name}: {row['init_runs']} starts ran the user's init, not one")
        for metric, verdict in row.get("against_thaw", {}).items():
            if not verdict["ahead"] and not verdict["why"]:
                found.append(f"{name}: behind in {metric}, and no reason is written in whys.json")
    return found


def print_table(rows):
    head = ("workload", "system", "level", "n", "p50 ms", "p99 ms", "max ms", "req/s", "req/cpu-s",
            "PSS MB", "cpu ms/s", "errors", "behind in")
    lines = [head]
    for row in rows:
        behind = [metric for metric, verdict in row.get("against_thaw", {}).items()
                  if not verdict["ahead"]]
        shown = [row["workload"], row["system"], row["level"], row["n"]]
        shown += [f"{row[name]:.2f}" if name in row else ""
                  for name in ("p50_ms", "p99_ms", "max_ms")]
        shown += [f"{row[name]:.0f}" if name in row else ""
                  for name in ("requests_per_s", "requests_per_cpu_s", "pss_mb", "cpu_ms_per_s",
                               "errors")]
        lines.append(tuple(map(str, [*shown, ", ".join(behind)])))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [f"{cell:<{w}}" if i in (0, 1, 2, 12) else f"{cell:>{w}}"
                 for i, (cell, w) in enumerate(zip(line, widths))]
        print("  " + "  ".join(cells).rstrip())
    print("\n  'behind in': where Thaw's best row is not ahead of this peer")
    for row in rows:
        for metric, verdict in row.get("against_thaw", {}).items():
            if not verdict["ahead"]:
                print(f"  {row['workload']}, {row['system']}, {metric}: thaw {verdict['thaw']}, "
                      f"peer {row[metric]}: {verdict['why'] or 'NO REASON IS WRITTEN DOWN'}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--systems", default="")
    bench = Bench(parser.parse_args())
    try:
        bench.run()
    finally:
        bench.thaw.close()
    rows = bench.rows()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "peers.json").write_text(json.dumps(rows, indent=1))
    print()
    print_table(rows)
    for what, why in {**bench.thaw.missing, **bench.failed}.items():
        print(f"  missing: {what}: {why}")
    wrong = unproved(rows)
    for text in wrong:
        print(f"  FAILED: {text}")
    print(f"  {NOT_MEASURED}")
    return 1 if bench.failed or bench.thaw.missing or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
