#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a container is kept when the user named no window, and starts ahead of a call."""
import json
import sqlite3
import time

from thaw_server import E2eTest, ThawServer, deploy, main, wait_until

# Without forks: a start ahead must be worth its memory, and a fork takes too little time for that.
server = ThawServer.for_module(
    config="[containers]\nlongest_idle_s = 6\n[cold_start]\nforked = false\n"
)

import modal  # noqa: E402


def setUpModule():
    deploy(server, "keep_alive.py")


def function(name):
    return modal.Function.from_name("e2e-keep-alive", name)


def view(name):
    answer = server.thaw("functions", "--json", "--data", str(server.data))
    for row in json.loads(answer.stdout):
        if row["function"] == name:
            return row
    return None


class KeepAlive(E2eTest):
    server = server

    def test_a_function_without_a_window_is_kept_as_the_server_says(self):
        kept = function("no_window").remote()
        short = function("window").remote()
        self.assertEqual(function("no_window").remote(), kept)
        # The one with a window of 2 s goes by it, the other stays for longer; both end at zero.
        wait_until(lambda: short not in server.task_ids(), 30, "the window is over")
        self.assertIn(kept, server.task_ids())
        wait_until(lambda: kept not in server.task_ids(), 60, "the longest time is over")
        wait_until(lambda: view("no_window")["containers"] == 0, 30, "nothing is left of it")
        rule = view("no_window")
        self.assertEqual(rule["because"], "few calls")
        self.assertLessEqual(rule["window_s"], 6)
        self.assertEqual(view("window")["because"], "asked")
        self.assertEqual(view("window")["window_s"], 2)
        self.assertEqual(list(rule["levels"]), rule["tries"][-1:])
        self.assertGreater(rule["start_ms"], 0)

    def test_a_timer_finds_a_container_that_was_started_ahead(self):
        target = function("called_by_a_timer")
        target.remote()
        wait_until(lambda: view("called_by_a_timer")["containers"] == 0, 60, "it is at zero")
        identity = view("called_by_a_timer")["id"]
        server.stop()
        # Two hours of a call every ten minutes, the next one due in 20 s, in the server's own form.
        due = time.time() + 20
        ticks = [int((due - 600 * n) * 1e6) for n in range(12, 0, -1)]
        record = {"came": [], "explained": [[216, 9.0]], "moments": ticks, "last": ticks[-1]}
        with sqlite3.connect(server.data / "thaw.db") as database:
            database.execute(
                "INSERT OR REPLACE INTO measurement VALUES ('function', ?, ?)",
                (identity, json.dumps(record)),
            )
        database.close()
        server.start()
        self.assertFalse(server.containers())
        wait_until(server.containers, 60, "a container is there before the call")
        rule = view("called_by_a_timer")
        self.assertEqual((rule["because"], rule["containers"]), ("timer", 1))
        ahead = server.containers()[0].task_id
        # Nobody calls: it is let go after the tick, and not started again at once.
        wait_until(lambda: ahead not in server.task_ids(), 60, "the prediction failed")
        wait_until(lambda: view("called_by_a_timer")["containers"] == 0, 30, "it is at zero again")
        self.assertGreater(view("called_by_a_timer")["ahead_in_s"], 500)
        self.assertFalse(server.containers())


if __name__ == "__main__":
    main()
