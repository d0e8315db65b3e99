#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The cold-start ladder by the real client: from zero to an answer, at every level.

    make bench-cold            python3 bench/cold/measure.py [--rounds 5] [--only trivial,llm]

Each round takes every level of a workload once, in turn. Results: build/bench/cold.json, a list of
rows, and build/bench/cold-context.json: the machine, the bars, and what was missing. Ends with 1 if
a bar is missed, something that was asked for is not measured, or a row does not prove its level.
"""
import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import ladder  # noqa: E402  (measuring, which it imports, enters the client's environment)
import plain_criu  # noqa: E402
import report  # noqa: E402
import scale_out  # noqa: E402
import workloads  # noqa: E402

OUT = HERE.parents[1] / "build/bench"
WARM_CALLS = 5  # of each round
PRIME_TRIES = 20
SCALE_OUTS = 3
RESTED = "trivial"  # once more in each round, restored after nothing was for a while
REST_S = 3
AFTER_REST = "after 3 s of rest"


def say(text):
    print(f"[{time.strftime('%H:%M:%S', time.gmtime())}] {text}", flush=True)


class Bench:
    def __init__(self, options):
        self.options, self.interrupted = options, False
        self.servers, self.missing, self.rows, self.oracles = {}, {}, [], {}
        self.runs, self.strays, self.criu = {}, {}, None
        self.asked, self.failures = {}, []

    def start_servers(self):
        for level in ("L4", "L2", "L3"):
            server, unknown = ladder.start_server(level)
            self.servers[level] = server
            for key, of in (("forked", "L2"), ("restored", "L3"), ("frozen", "L1")):
                if key in unknown:
                    self.missing[of] = f"this build has no setting [cold_start] {key}"
            server.connect()
        for level in self.missing:
            say(f"{level} {report.NAMES[level]}: missing: {self.missing[level]}")

    def deploy(self, workload):
        for level, server in self.servers.items():
            if level not in workload.levels and level != "L4":
                continue  # the booted one is everybody's oracle
            if level not in self.missing or level == "L2":
                server.modal("deploy", workloads.APPS / workload.file, env={"BENCH_WINDOW": "120"})

    # --- one run ------------------------------------------------------------------------------

    def timed(self, workload, level, call):
        started = time.perf_counter()
        reply = call()
        run = {"seconds": time.perf_counter() - started, "init": reply["init"],
               "inside_s": reply.get("inside_s")}
        run["right"] = self.is_right(workload, self.server(level), reply)
        return run

    def server(self, level):
        return self.servers[ladder.SERVER_OF[level]]

    def is_right(self, workload, server, reply):
        if workload.check:
            checked = server.call(workload, workload.check)()
            same_process = checked["init"] == reply["init"] if isinstance(checked, dict) else True
            output = checked["output"] if isinstance(checked, dict) else checked
        else:
            same_process, output = True, reply["output"]
        right = same_process and output == self.oracles[workload.name]
        if not right:
            say(f"{workload.name}: output {output!r}, oracle {self.oracles[workload.name]!r}")
        return right

    def from_zero(self, workload, level, rest=0):
        server = self.server(level)
        server.bring_to_zero(workload)
        time.sleep(rest)
        run = self.timed(workload, level, server.call(workload, workload.call))
        start = server.last_start(workload)
        run["stages"] = start["stages_ms"]
        return ladder.level_of(start), run

    def keep(self, workload, level, run):
        self.runs.setdefault((workload.name, level), []).append(run)

    # --- a workload ---------------------------------------------------------------------------

    def find_oracle(self, workload):
        booted = self.servers["L4"]
        reply = booted.call(workload, workload.call)()
        checked = booted.call(workload, workload.check)() if workload.check else reply
        found = checked["output"] if isinstance(checked, dict) else checked
        if workload.name in workloads.OUTSIDE:
            outside = workloads.OUTSIDE[workload.name]()
            if outside != found:
                raise RuntimeError(f"{workload.name}: {found!r}, outside Thaw {outside!r}")
        self.oracles[workload.name] = found

    def prime(self, workload, level):
        """Starts until the level is used: its template or its snapshot is made meanwhile."""
        seen = []
        for _ in range(PRIME_TRIES):
            used, _ = self.from_zero(workload, level)
            seen.append(used)
            if used == level:
                return
            time.sleep(1)
        self.missing[f"{workload.name} {level}"] = f"{PRIME_TRIES} starts were {set(seen)}"
        say(f"{workload.name} {level}: never used: {PRIME_TRIES} starts were {set(seen)}")

    def absent(self, workload, level):
        return (level not in workload.levels or level in self.missing or
                f"{workload.name} {level}" in self.missing)

    def round(self, workload):
        for level in ("L4", "L3", "L2"):
            if not self.absent(workload, level):
                used, run = self.from_zero(workload, level)
                if used == level:
                    self.keep(workload, level, run)
                else:
                    key = f"{workload.name} {level}"
                    self.strays.setdefault(key, []).append(used)
        if workload.name == RESTED and not self.absent(workload, "L3"):
            used, run = self.from_zero(workload, "L3", rest=REST_S)
            if used == "L3":
                self.keep(workload, AFTER_REST, run)
        if self.criu:
            self.keep(workload, "", self.criu.restore(workload.beside))
        if "L0" in workload.levels:
            self.warm_round(workload)

    def warm_round(self, workload):
        warm = self.server("L0")
        call = warm.call(workload, workload.call)
        call()  # there is a container, whichever level has started it
        for _ in range(WARM_CALLS):
            self.keep(workload, "L0", self.timed(workload, "L0", call))
        if not self.absent(workload, "L1"):
            try:
                warm.wait_until_frozen(workload)
                self.keep(workload, "L1", self.timed(workload, "L1", call))
            except ladder.MissingLevel as problem:
                self.missing[f"{workload.name} L1"] = str(problem)
                say(f"{workload.name} L1: {problem}")

    def measure(self, workload):
        say(f"{workload.name}: deploy")
        self.deploy(workload)
        self.find_oracle(workload)
        for level in ("L4", "L3", "L2"):
            if not self.absent(workload, level):
                self.prime(workload, level)
        if workload.app == workloads.HEAP:
            self.start_plain_criu()
        rounds = max(2, round(self.options.rounds * workload.rounds))
        for number in range(1, rounds + 1):
            self.round(workload)
            if number == rounds or number % 5 == 0:
                say(f"{workload.name}: round {number} of {rounds}")
        for server in self.servers.values():
            server.bring_to_zero(workload)
        if self.criu:
            self.rows.append(report.row_of(workload.name, "", self.runs[(workload.name, "")],
                                           "plain criu"))
            self.criu.close()
            self.criu = None
        for level in report.LEVELS:
            runs = self.runs.get((workload.name, level))
            if runs:
                self.rows.append(report.row_of(workload.name, level, runs))
                inside = [{**run, "seconds": run["inside_s"], "stages": None} for run in runs
                          if run.get("inside_s")]
                if level == "L3" and (workload.name, AFTER_REST) in self.runs:
                    rested = self.runs[(workload.name, AFTER_REST)]
                    self.rows.append(report.row_of(f"{workload.name} {AFTER_REST}", level, rested))
                if inside:
                    name = "llm-prompt-and-token-inside"
                    self.rows.append(report.row_of(name, level, inside))

    def scale_out(self):
        for level in ("L2", "L3"):
            server, name = self.servers[level], scale_out.ScaleOut.name
            if level in self.missing or not scale_out.prime(server, level):
                self.missing.setdefault(f"{name} {level}", "the level was not used")
                continue
            runs = []
            for _ in range(SCALE_OUTS):
                run = scale_out.one_run(server, level)
                say(f"{name} {level}: {run['seconds']:.2f} s, {run['containers']} containers, "
                    f"{run['at_level']} of them {report.NAMES[level]}")
                runs.append(run)
            server.bring_to_zero(scale_out.ScaleOut)
            row = report.row_of(name, level, runs)
            row["containers"] = [run["containers"] for run in runs]
            row["at_level"] = [run["at_level"] for run in runs]
            self.rows.append(row)

    def start_plain_criu(self):
        try:
            self.criu = plain_criu.PlainCriu()
        except (RuntimeError, OSError, subprocess.SubprocessError) as problem:
            self.missing["plain criu"] = str(problem)
            say(f"plain criu: {problem}")

    def write(self):
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / "cold.json").write_text(json.dumps(self.rows, indent=1))
        print()
        report.print_table(self.rows)
        print()
        report.print_stages(self.rows)
        print()
        bars = report.judge(self.rows)
        self.failures = report.failures(self.rows, bars, self.asked, self.missing)
        context = {"bars": bars, "failures": self.failures, "missing": self.missing,
                   "other_levels_used": self.strays, "machine": machine()}
        (OUT / "cold-context.json").write_text(json.dumps(context, indent=1))
        for what, why in self.missing.items():
            print(f"  missing: {what}: {why}")
        for what, levels in self.strays.items():
            print(f"  not counted: {what}: {len(levels)} starts were {sorted(set(levels))}")
        for text in self.failures:
            print(f"  FAILED: {text}")

    def close(self):
        if self.criu:
            self.criu.close()
        for server in self.servers.values():
            server.close()


def machine():
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, check=False,
                            capture_output=True, text=True).stdout.strip()
    return {"kernel": platform.release(), "cores": os.cpu_count(), "commit": commit,
            "load": [round(load, 2) for load in os.getloadavg()],
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    words = [word for word in options.only.split(",") if word]
    wanted = [w for w in workloads.ALL if not words or any(word in w.name for word in words)]
    bench = Bench(options)
    bench.asked = {w.name: w.levels for w in wanted}
    if "trivial" in bench.asked:
        bench.asked[scale_out.ScaleOut.name] = ("L2", "L3")
    try:
        bench.start_servers()
        for workload in wanted:
            if bench.interrupted:
                break
            try:
                bench.measure(workload)
                if workload.name == "trivial":
                    bench.scale_out()
            except KeyboardInterrupt:
                bench.interrupted = True  # what is there is written
                bench.missing[workload.name] = "interrupted"
            except Exception as problem:
                bench.missing[workload.name] = f"{type(problem).__name__}: {problem}"
                say(f"{workload.name}: failed: {problem}")
        bench.write()
    finally:
        bench.close()
    return 1 if bench.failures or not bench.rows else 0


if __name__ == "__main__":
    sys.exit(main())
