# SPDX-License-Identifier: Apache-2.0
"""What the benches with a real client share: rows of a table, and a server to measure."""
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/e2e"))

from thaw_server import (  # noqa: E402,F401  (enters the environment)
    BUILD_TIMEOUT, ThawServer, command_of, descendants_of,
)  # fmt: skip

STAGES = ("queue", "sandbox", "interpreter", "imports", "user_code", "call")
SCALE = {"s": 1, "ms": 1e3, "us": 1e6}


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(what, seconds, unit="ms", baseline=None):
    line = {"what": what, "unit": unit}
    for share in (50, 99):
        line[f"p{share}"] = round(percentile(seconds, share / 100) * SCALE[unit], 2)
    if baseline:
        base = percentile(baseline, 0.5)
        line["baseline"] = round(base * SCALE[unit], 2)
        line["ratio"] = round(percentile(seconds, 0.5) / base, 2)
    return line


def single(what, seconds, unit="us"):
    return {"what": what, "p50": round(seconds * SCALE[unit], 2), "unit": unit}


def timed(function, times):
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started)
    return taken


class BenchServer(ThawServer):
    def cpu_seconds(self):
        """What the server itself has used: no container, no client."""
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def starts(self, function):
        """The finished and the living containers of a function, with the stages of their start."""
        shown = self.thaw("logs", "--starts", "--json", "--data", str(self.data)).stdout
        return [start for start in json.loads(shown) if start["function"].startswith(function)]

    def stage_rows(self, function):
        rows = []
        starts = [start["stages_ms"] for start in self.starts(function)]
        for name in STAGES:
            values = [stages[name] / 1e3 for stages in starts if stages.get(name, -1) >= 0]
            if values:
                rows.append(row(f"  {name.replace('_', ' ')}", values))
        return rows

    def wait_for_zero_of(self, function):
        """Until `thaw ps` shows no container of it: here its word is enough."""
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            shown = json.loads(self.thaw("ps", "--data", str(self.data), "--json").stdout)
            if not any(view["function"].startswith(function) for view in shown):
                return
            time.sleep(0.2)
        raise RuntimeError(f"{function} did not go to zero")

    def container_address(self, word):
        for pid in descendants_of(self.process.pid):
            if any(word in one for one in command_of(pid)):
                shown = subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", "-j", "-4",
                                        "addr", "show", "dev", "eth0"], check=True,
                                       capture_output=True, text=True).stdout
                return json.loads(shown)[0]["addr_info"][0]["local"]
        raise RuntimeError(f"no container runs {word}")


def run_bench(measure, app, config="", env=None):
    """Starts a server, deploys `app`, writes the rows of measure(server) to argv[1]."""
    server = BenchServer(config=config).start().use()
    try:
        server.modal("deploy", app, env=env)
        pathlib.Path(sys.argv[1]).write_text(json.dumps({"rows": measure(server)}, indent=1))
    finally:
        server.close()
