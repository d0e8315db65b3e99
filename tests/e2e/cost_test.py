#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ledger: what the real client's calls and requests to a pushed folder are charged, over deaths
of the server too; bills of two workspaces; prices, estimates and other clouds' prices."""
import csv
import http.client
import io
import json
import pathlib
import sqlite3
import tempfile
import textwrap
import urllib.error
import urllib.request

from thaw_server import APPS, BUILD_TIMEOUT, CALL_TIMEOUT, E2eTest, ThawServer, main, wait_until

CONFIG = """
[prices]
currency = "EUR"
per_call = 0.001
cpu_second = 0.01
gb_second = 0.0001
keep_warm_hour = 0.01
"""
server = ThawServer.for_module(config=CONFIG)

import modal  # noqa: E402

APP = """
import modal

app = modal.App("e2e-cost", image=modal.Image.debian_slim())

@app.function(scaledown_window=2)
def square(x):
    return x**2

@app.function(scaledown_window=60)
def sleeps(seconds):
    import time
    time.sleep(seconds)
    return seconds

@app.function(scaledown_window=2)
def burns(seconds):
    import time
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    with open("/proc/self/cgroup") as file:
        return file.read()
"""


def thaw(*arguments, timeout=CALL_TIMEOUT):
    done = server.thaw(*map(str, arguments), "--data", str(server.data), timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def bill(by="function", *more):
    return json.loads(thaw("cost", "--by", by, *more, "--json"))


def row_of(name, by="function"):
    return next((row for row in bill(by)["rows"] if row.get("name") == name), None)


def calls_of(name):
    row = row_of(name)
    return row["calls"] if row else 0


def ledger(query, *values):
    """Rows of the server's ledger, as they are on disk."""
    connection = sqlite3.connect(f"file:{server.data}/ledger.db?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def assert_all_is_charged(test):
    """The parts of all spans are their time, and the shares of lines are the part of calls."""
    def compare():
        lived, shared, started = ledger(
            "SELECT SUM(starting_us + busy_us + idle_us + frozen_us + ending_us),"
            " SUM(shared_us), SUM(charged_start_us) FROM spans")[0]  # fmt: skip
        of_parts, = ledger("SELECT SUM(us) FROM minute_parts")[0]
        of_lines = ledger("SELECT SUM(share_us), SUM(cold_us) FROM lines")[0]
        of_minutes = ledger("SELECT SUM(share_us), SUM(cold_us) FROM minute_calls")[0]
        return (lived, (shared, started)) == (of_parts, of_lines) and of_lines == of_minutes
    wait_until(compare, CALL_TIMEOUT, "the ledger adds up")  # between two groups


class Bills(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        path = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-cost-")) / "cost_app.py"
        path.write_text(APP)
        server.modal("deploy", path)

    def of(self, name):
        return modal.Function.from_name("e2e-cost", name)

    def test_1_the_bill_is_all_that_containers_lived(self):
        square = self.of("square")
        self.assertEqual([square.remote(x) for x in (2, 3)], [4, 9])
        self.assertEqual(square.spawn(5).get(timeout=CALL_TIMEOUT), 25)
        wait_until(lambda: calls_of("square") == 3, CALL_TIMEOUT, "three lines")
        wait_until(lambda: ledger("SELECT 1 FROM spans WHERE is_over = 1"), CALL_TIMEOUT, "its end")
        row = row_of("square")
        self.assertEqual(row["failures"], 0)
        self.assertGreaterEqual(row["cold_calls"], 1)
        self.assertGreater(row["cold_us"], 0)
        self.assertGreater(row["parts"]["kept_warm"]["us"], 1_000_000)
        self.assertEqual(row["parts"]["calls"]["us"], row["share_us"])
        self.assertEqual(row["tokens"]["calls_not_counted"], 3)
        self.assertGreaterEqual(float(row["cost"]["calls"]), 0.003)
        fronts = {row.get("front"): row["calls"] for row in bill("front")["rows"]}
        self.assertEqual(fronts["modal"], 3)
        tokens = [row for row in bill("token")["rows"] if row["calls"] == 3]
        self.assertEqual(tokens[0]["name"], "thaw env")
        # The same money whatever the rows are.
        ways = ("function", "token", "front", "day", "level")
        wait_until(lambda: len({bill(by)["cost"] for by in ways}) == 1, CALL_TIMEOUT, "one sum")
        assert_all_is_charged(self)

    def test_2_processor_time_is_the_cgroups_own(self):
        words = self.of("burns").remote(0.5)
        self.assertTrue(words)
        wait_until(lambda: ledger("SELECT 1 FROM spans WHERE is_over = 1 AND function IN"
                                  " (SELECT function FROM function_names WHERE name = 'burns')"),
                   CALL_TIMEOUT, "the end of its container")  # fmt: skip
        cpu, = ledger("SELECT cpu_us FROM spans WHERE function IN"
                      " (SELECT function FROM function_names WHERE name = 'burns')")[0]  # fmt: skip
        self.assertGreater(cpu, 500_000)
        row = row_of("burns")
        self.assertEqual(sum(part["cpu_us"] for part in row["parts"].values()), cpu)

    def test_3_a_pushed_folder_is_charged_by_exchange_and_token(self):
        thaw("push", APPS / "pushed" / "odd", "e2e-cost-odd", "--idle", "2", timeout=BUILD_TIMEOUT)
        made = json.loads(thaw("token", "create", "payer", "--scope", "invoke", "--json"))
        headers = {"authorization": f"Bearer {made['token']}:{made['secret']}"}
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
            connection.request("GET", "/fn/e2e-cost-odd/", headers=headers)
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()
        wait_until(lambda: (row_of("payer", "token") or {}).get("calls") == 3, CALL_TIMEOUT,
                   "three lines")  # fmt: skip
        self.assertEqual(
            {kind for kind, in ledger("SELECT kind FROM lines WHERE token = ?", made["token"])}, {1}
        )
        assert_all_is_charged(self)

    def test_4_a_killed_server_bills_nothing_twice(self):
        sleeps = self.of("sleeps")
        call = sleeps.spawn(0.1)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), 0.1)
        first = call.object_id
        running = sleeps.spawn(3)
        # What has no span on disk yet when its server is killed is charged by its line alone.
        wait_until(lambda: ledger("SELECT 1 FROM spans WHERE is_over = 0 AND container IN"
                                  " (SELECT container FROM lines WHERE call = ?)", first),
                   CALL_TIMEOUT, "the span of its container")  # fmt: skip
        server.kill()
        # What a bad disk leaves beside it: a record that makes no sense, in both places.
        with sqlite3.connect(server.data / "ledger.db") as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(spans)")]
            values = ["ta-bad" if name == "container" else 0 if name == "is_over" else "bad"
                      for name in columns]  # fmt: skip
            database.execute(f"INSERT INTO spans VALUES ({','.join('?' * len(values))})", values)
        with sqlite3.connect(server.data / "thaw.db") as database:
            database.execute("INSERT INTO owed_lines VALUES ('bad#1', 'garbage')")
        server.start()
        self.assertEqual(running.get(timeout=CALL_TIMEOUT), 3)
        wait_until(lambda: calls_of("sleeps") >= 2, CALL_TIMEOUT, "both calls")
        cut_off = ledger("SELECT ending FROM spans WHERE is_cut_off = 1")
        self.assertIn(("its server ended",), cut_off)
        self.assertEqual(ledger("SELECT COUNT(*) FROM spans WHERE container = 'ta-bad'")[0][0], 0)
        once = ledger("SELECT COUNT(*), COUNT(DISTINCT id) FROM lines")[0]
        self.assertEqual(once[0], once[1])
        # The first attempt ended with its server: nobody is charged, and the second one is.
        succeeded = ledger("SELECT call, COUNT(*) FROM lines WHERE outcome = 'success'"
                           " AND call <> '' GROUP BY call")  # fmt: skip
        self.assertEqual({count for _, count in succeeded}, {1})
        assert_all_is_charged(self)
        self.assertEqual(server.told("/admin/aside").get("ledger.spans"), 1)

    def test_5_a_damaged_ledger_is_moved_away_and_the_server_goes_on(self):
        server.stop()
        path = server.data / "ledger.db"
        path.write_bytes(b"this is no database, it is a text of some length" * 100)
        server.start()
        self.assertTrue((server.data / "ledger.db.damaged").exists())
        self.assertIn("the ledger cannot be read", server.log_path.read_text())
        self.assertEqual(self.of("square").remote(7), 49)
        wait_until(lambda: calls_of("square") == 1, CALL_TIMEOUT, "a line of the new one")

    def test_6_a_workspace_sees_its_own_bill_and_no_other(self):
        thaw("workspace", "create", "elsewhere")
        made = json.loads(thaw("token", "create", "its", "--workspace", "elsewhere", "--json"))

        def ask(path, token=made):
            headers = {"authorization": f"Bearer {token['token']}:{token['secret']}"}
            request = urllib.request.Request(f"{server.url}/api/v1/{path}", headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as refused:
                return refused.code, json.loads(refused.read())

        status, own = ask("cost")
        self.assertEqual((status, own["rows"]), (200, []))
        theirs = ask("cost?workspace=thaw")
        never = ask("cost?workspace=no-such-workspace")
        self.assertEqual(theirs, never)
        self.assertEqual(theirs[0], 403)
        self.assertEqual(ask("cost?by=secret")[0], 400)
        self.assertEqual(ask("cost?from=yesterday")[0], 400)
        narrow = json.loads(thaw("token", "create", "narrow", "--function", "shop", "--json"))
        invoke = json.loads(thaw("token", "create", "calls", "--scope", "invoke", "--json"))
        self.assertEqual((ask("cost", narrow)[0], ask("cost", invoke)[0]), (403, 403))

    def test_7_tables_and_other_clouds(self):
        table = thaw("cost")
        self.assertIn("KEPT WARM", table)
        self.assertIn("EUR in all", table)
        rows = list(csv.DictReader(io.StringIO(thaw("cost", "--csv"))))
        self.assertIn("square", {row["function"] for row in rows})
        prices = server.folder / "prices.yaml"
        prices.write_text(textwrap.dedent("""\
            clouds:
              - name: by the call
                per_call: 1
                round_to_s: 1
              - name: free
            """))
        compared = json.loads(thaw("cost", "compare", prices, "--json"))
        self.assertEqual([one["name"] for one in compared], ["this server", "by the call", "free"])
        self.assertEqual(float(compared[1]["cost"]), compared[1]["calls"])
        self.assertEqual(float(compared[2]["cost"]), 0)
        prices.write_text("clouds:\n  - name: a\n    second: much\n")
        refused = server.thaw("cost", "compare", str(prices), "--data", str(server.data))
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("line 3", refused.stderr)

    def test_8_an_estimate_asks_no_server(self):
        def estimate(*options):
            done = server.thaw("cost", "estimate", *options, "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            return json.loads(done.stdout)

        gpu = ("--calls", "1000", "--seconds", "5", "--dedicated", "32")
        plain = estimate(*gpu, "--price", "0.001")
        self.assertEqual((plain["serverless"], plain["dedicated"]), ("150.00", "23040.00"))
        self.assertEqual(plain["crossover_calls_a_day"], 153_600)
        cold = estimate(*gpu, "--price", "0.001", "--cold-share", "1/3")
        self.assertEqual((cold["cold"], cold["crossover_calls_a_day"]), ("50.00", 115_200))
        dear = estimate(*gpu, "--price", "0.0023")
        self.assertEqual((dear["serverless"], dear["crossover_calls_a_day"]), ("345.00", 66_782))
        small = estimate("--calls-a-month", "10000", "--seconds", "2", "--price", "0.0005",
                         "--fee", "0.0001", "--dedicated", "0.5")  # fmt: skip
        self.assertEqual((small["serverless"], small["dedicated"]), ("11.00", "360.00"))
        many = estimate("--calls-a-month", "10000000", "--seconds", "2", "--price", "0.0005",
                        "--dedicated", "0.5", "--machines", "5")  # fmt: skip
        self.assertEqual((many["serverless"], many["dedicated"]), ("10000.00", "1800.00"))

    def test_9_nothing_was_lost(self):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        self.assertRegex(text, r"(?m)^thaw_usage_lost_total 0$")


if __name__ == "__main__":
    main()
