# SPDX-License-Identifier: Apache-2.0
"""Load on one address by wrk, with what the server's processes used for it."""
import json
import os
import pathlib
import statistics
import subprocess
import threading
import time

import systems

SCRIPT = pathlib.Path(__file__).resolve().parent / "post.lua"


class Sampler(threading.Thread):
    """Compares a few answers under load with the right one, by value: wrk counts statuses only.
    `ask` returns the status and the output."""

    def __init__(self, ask, expected):
        super().__init__(daemon=True)
        self.ask, self.expected = ask, expected
        self.right, self.refused, self.wrong = 0, 0, []
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.25):
            try:
                status, output = self.ask()
            except OSError:
                status, output = 0, None
            if status != 200:
                self.refused += 1  # as wrk counts it too
            elif output == self.expected:
                self.right += 1
            else:
                self.wrong.append(output)

    def finish(self):
        """How many were compared; all of them were right. None is enough only where a server that
        serves one request at a time refused all that came beside the load."""
        self.over.set()
        self.join()
        if self.wrong or not (self.right or self.refused):
            raise RuntimeError(f"under load {self.right} answers were right, wrong: {self.wrong}")
        return self.right


def run_wrk(port, path, body, connections, seconds, pids, sampler=None):
    """One row's worth: latencies, rates, processor time of `pids`, their memory under load."""
    environment = {**os.environ, "PEER_BODY": json.dumps(body)}
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
               "-s", str(SCRIPT), f"http://127.0.0.1:{port}{path}"]
    if sampler:
        sampler.start()
    before = systems.cpu_seconds(pids())
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True,
                          timeout=seconds + 60)
    used = systems.cpu_seconds(pids()) - before
    compared = sampler.finish() if sampler else 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    result = json.loads(line[len("RESULT "):])
    good = result["requests"] - result["bad_status"]
    rss, pss = systems.memory_mb(pids())
    return {"requests": good, "bad": result["bad_status"] + result["broken"],
            "per_s": good / result["seconds"], "per_cpu_s": good / used if used else 0,
            "p50_ms": result["p50_us"] / 1e3, "p99_ms": result["p99_us"] / 1e3,
            "max_ms": result["max_us"] / 1e3, "compared": compared, "rss_mb": rss, "pss_mb": pss}


def watch_idle(seconds, pids):
    """What the processes cost while nobody asks anything."""
    before = systems.cpu_seconds(pids())
    time.sleep(seconds)
    used = systems.cpu_seconds(pids()) - before
    rss, pss = systems.memory_mb(pids())
    return {"cpu_ms_per_s": used / seconds * 1e3, "rss_mb": rss, "pss_mb": pss}


def idle_row(workload, system, level, runs):
    return {"workload": workload, "system": system, "level": level, "n": len(runs),
            **{name: round(statistics.median(run[name] for run in runs), 1)
               for name in ("cpu_ms_per_s", "rss_mb", "pss_mb")}}


def warm_row(workload, system, level, runs):
    """The median of the rounds; of the maxima the largest."""
    def middle(name, digits):
        return round(statistics.median(run[name] for run in runs), digits)

    return {"workload": workload, "system": system, "level": level,
            "n": sum(run["requests"] for run in runs), "rounds": len(runs),
            "p50_ms": middle("p50_ms", 3), "p99_ms": middle("p99_ms", 3),
            "max_ms": round(max(run["max_ms"] for run in runs), 3),
            "requests_per_s": middle("per_s", 0), "requests_per_cpu_s": middle("per_cpu_s", 0),
            "rss_mb": middle("rss_mb", 1), "pss_mb": middle("pss_mb", 1),
            "errors": sum(run["bad"] for run in runs),
            "outputs_compared": sum(run["compared"] for run in runs), "output_equals_oracle": True}
