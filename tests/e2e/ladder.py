# SPDX-License-Identifier: Apache-2.0
"""What tests of the cold-start ladder ask of a server, from outside."""
import json
import os
import pathlib
import signal
import time
import urllib.request

import thaw_server
from thaw_server import wait_until

CRIU = pathlib.Path("/usr/local/lib/thaw/criu/criu")
NO_SNAPSHOT = "no snapshot"


def need_criu():
    if not CRIU.exists():
        thaw_server.skip_all(f"there is no {CRIU}; tools/setup installs it")


class Ladder:
    """One server and what it shows of its containers, snapshots and templates."""

    def __init__(self, server):
        self.server = server
        self._told, self._read = [], 0

    def running(self):
        return self.server.running()

    def starts(self):
        """Those that run and those that have ended."""
        return self.server.starts()

    def start_of(self, task):
        return next((view for view in self.starts() if view["container"] == task), None)

    def level_of(self, task):
        start = self.start_of(task)
        return start["started_by"] if start else None

    def wait_for_zero(self, function=None, timeout=60):
        def is_zero():
            return not [v for v in self.running() if function in (None, v["function"])]

        wait_until(is_zero, timeout, f"the containers of {function or 'all'} are gone", pause=0.02)

    def end(self, function=None):
        """Zero at once: idle containers are killed, which is quicker than their window."""
        for view in self.running():
            if function in (None, view["function"]) and view["status"] in ("warm", "frozen"):
                try:
                    os.kill(view["pid"], signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.wait_for_zero(function)

    def events(self, name, **fields):
        self._read_log()
        found = [event for event in self._told if event.get("event") == name]
        return [e for e in found if all(e.get(key) == value for key, value in fields.items())]

    def _read_log(self):
        """Goes on where it stopped: who waits for an event asks many times a second."""
        with open(self.server.log_path, "rb") as log:
            log.seek(self._read)
            lines = log.read()
        lines = lines[: lines.rfind(b"\n") + 1]  # a line that is being written comes later
        self._read += len(lines)
        self._told += [json.loads(line) for line in lines.splitlines() if b'"event":"' in line]

    def metric(self, name, **labels):
        """The sum of the samples that have these labels."""
        with urllib.request.urlopen(f"{self.server.url}/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.split()[-1]) for line in lines
            if line.startswith((name + "{", name + " ")) and all(w in line for w in wanted)
        )  # fmt: skip

    def taken(self, function):
        return len(self.events("snapshot taken", function=function))

    def wait_for_snapshot(self, function, count=1):
        def there_is():
            refused = self.events(NO_SNAPSHOT, function=function)
            if refused:
                raise AssertionError(f"{function}: {refused}")
            return self.taken(function) >= count

        wait_until(there_is, 120, f"{count} snapshots of {function} were taken", pause=0.02)

    def restored(self, function, remote, timeout=90):
        """Calls from zero until a restored container answers; returns its answer."""
        deadline = time.monotonic() + timeout
        while True:
            self.end(function)
            count = self.taken(function)
            answer = remote()
            start = self.start_of(answer["task"])
            if start["started_by"] == "L3":
                return answer
            if time.monotonic() > deadline:
                raise AssertionError(f"{function} is not restored: {start}")
            why = {fell["reason"] for fell in start["fell_from"] if fell["level"] == "L3"}
            if why & {"no_snapshot", "key_changed", "snapshot_damaged"}:
                self.wait_for_snapshot(function, count + 1)
            else:
                time.sleep(1)  # it failed lately, and is left out for a while

    def snapshot_folder(self, function_id):
        for path in (self.server.data / "snapshots").glob("*/*/manifest.json"):
            if json.loads(path.read_text())["function"] == function_id:
                return path.parent
        return None
