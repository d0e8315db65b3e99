#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A day of `modal run` in a loop, as a developer or a CI does it: each time with other code.

The day is short: what the server keeps for minutes or days it keeps for a second here. What is
counted is everything that could stay: rows of every table, files of every folder, and memory.
"""
import collections
import contextlib
import os
import pathlib
import sqlite3
import tempfile
import time

from thaw_server import APPS, E2eTest, ThawServer, main, wait_until

RUNS = int(os.environ.get("DAY_RUNS", "4"))
FIRST_RUNS = 2  # what is made once and for all, such as the image, is there afterwards
MOST_GROWTH = 8 << 20  # bytes of memory: nothing that one run leaves may take so much

server = ThawServer.for_module(
    config="""
[catalog]
keep_stopped_s = 1
keep_unused_s = 8
[storage]
sweep_every_s = 1
look_every_s = 1
keep_unused_s = 1
keep_unused_mounts_s = 5
"""
)


def rows():
    """How many of each table of each database, but the ledger, which keeps what was used."""
    found = {}
    for path in sorted(set(server.data.glob("*.db")) - {server.data / "ledger.db"}):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                count = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
                found[f"{path.name} {table}"] = count
        database.close()
    return found


def files():
    """How many below each folder of the data folder."""
    found = collections.Counter()
    for path in server.data.rglob("*"):
        place = path.relative_to(server.data).parts
        if len(place) > 1 and not path.is_dir():
            found[place[0]] += 1
    return dict(found)


def memory():
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def differences(before, after):
    """What has grown. Of what was there before, some may have been on its way out."""
    return {name: (before.get(name, 0), count) for name, count in sorted(after.items())
            if count > before.get(name, 0)}  # fmt: skip


class Day(E2eTest):
    server = server

    def run_once(self, folder, number):
        """Other code, another file beside it, and another large argument than the run before."""
        program = (APPS / "day.py").read_text().replace("NUMBER = 0", f"NUMBER = {number}")
        (folder / "day.py").write_text(program)
        (folder / "beside.txt").write_text(f"{number}\n" * 1000)
        done = server.modal("run", "day.py", cwd=folder)
        self.assertIn(f"run {number} is done", done.stdout)

    def settled(self):
        """When nothing has gone for a while: the rows and files, and the memory then."""
        server.wait_for_zero(120)
        seen = []

        def is_quiet():
            seen.append((rows(), files()))
            return len(seen) > 5 and all(one == seen[-1] for one in seen[-6:])

        wait_until(is_quiet, 180, "what ended has gone", pause=2)
        return *seen[-1], memory()

    def test_runs_leave_disk_and_memory_where_they_were(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for number in range(FIRST_RUNS):
                self.run_once(folder, number)
            rows_before, files_before, memory_before = self.settled()
            started = time.monotonic()
            for number in range(FIRST_RUNS, FIRST_RUNS + RUNS):
                self.run_once(folder, number)
            took = time.monotonic() - started
            server.wait_for_zero(120)
            try:
                wait_until(
                    lambda: not differences(rows_before, rows())
                    and not differences(files_before, files()),
                    300, "what the runs made has gone", pause=1,
                )  # fmt: skip
            finally:
                print("rows", differences(rows_before, rows()),
                      "files", differences(files_before, files()))
            # What is freed goes back to the system a little later.
            with contextlib.suppress(AssertionError):
                wait_until(lambda: memory() - memory_before < MOST_GROWTH, 60, "memory is back")
            memory_after = memory()
        print(f"{RUNS} runs in {took:.0f} s; memory {memory_before >> 20} -> "
              f"{memory_after >> 20} MB; rows {rows_before}")  # fmt: skip
        self.assertLess(memory_after - memory_before, MOST_GROWTH)


if __name__ == "__main__":
    main()
