#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions that the server calls by the clock: deployed by the real client, and pushed."""
import json
import pathlib
import tempfile
import textwrap
import time
import urllib.error
import urllib.request

from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402

APP = """
import modal

app = modal.App("{name}", image=modal.Image.debian_slim())
ticks = modal.Volume.from_name("{name}-ticks", create_if_missing=True)

@app.function(schedule={schedule}, volumes={{"/ticks": ticks}})
def tick():
    import os, uuid
    open("/ticks/" + uuid.uuid4().hex, "w").write(modal.current_function_call_id())
    ticks.commit()
    return "ticked"
"""


def deploy(name, schedule):
    path = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-schedule-")) / f"{name}.py"
    path.write_text(APP.format(name=name.replace("_", "-"), schedule=schedule))
    server.modal("deploy", path)


def schedules():
    done = server.thaw("schedule", "list", "--json", "--data", str(server.data))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["schedules"]


def one(app):
    return next((each for each in schedules() if each["app"] == app), None)


def calls_in(app):
    """The calls that left their mark: one file for each run of the function."""
    volume = modal.Volume.from_name(f"{app}-ticks")
    return [b"".join(volume.read_file(entry.path)).decode() for entry in volume.listdir("/")]


class Ticks(E2eTest):
    server = server

    def test_a_period_calls_again_and_again_and_its_runs_are_told(self):
        deploy("e2e_period", "modal.Period(seconds=2)")
        wait_until(lambda: len(one("e2e-period")["runs"]) >= 3, CALL_TIMEOUT, "three ticks")
        view = one("e2e-period")
        self.assertEqual(view["schedule"], "every 2 seconds")
        self.assertEqual(len(view["next"]), 3)
        self.assertAlmostEqual(view["next"][1] - view["next"][0], 2, places=3)
        ticks = [run["tick"] for run in view["runs"]]
        self.assertEqual(len(set(ticks)), len(ticks))
        for run in view["runs"][1:]:
            call = modal.FunctionCall.from_id(run["call"])
            self.assertEqual(call.get(timeout=CALL_TIMEOUT), "ticked")
        table = server.thaw("schedule", "list", "--data", str(server.data)).stdout
        self.assertIn("every 2 seconds", table)

        server.modal("app", "stop", "e2e-period", "--yes")
        self.assertIsNone(one("e2e-period"))

    def test_across_a_death_of_the_server_no_tick_is_called_twice(self):
        deploy("e2e_deaths", "modal.Period(seconds=2)")
        call_of = {}

        def look():
            for run in one("e2e-deaths")["runs"]:
                if "call" in run:
                    self.assertEqual(call_of.setdefault(run["tick"], run["call"]), run["call"])
            return len(call_of)

        for death in range(3):
            wait_until(lambda: look() > 2 * death, CALL_TIMEOUT, "ticks")
            server.kill()
            server.start()
        wait_until(lambda: look() > 7, CALL_TIMEOUT, "ticks after all deaths")
        # What waits when the app is stopped is not called: on a busy machine nearly all of it does.
        wait_until(lambda: look() > 0 and len(calls_in("e2e-deaths")) >= 3, CALL_TIMEOUT,
                   "calls have run")  # fmt: skip
        marks = set(calls_in("e2e-deaths"))
        look()
        server.modal("app", "stop", "e2e-deaths", "--yes")
        # Each mark is that of the one call of a tick.
        self.assertLessEqual(marks, set(call_of.values()))
        self.assertEqual(len(set(call_of.values())), len(call_of))
        self.assertGreaterEqual(len(marks), 3)

    def test_another_workspace_sees_no_schedule_and_runs_none(self):
        deploy("e2e_mine", "modal.Cron('0 6 * * *')")
        made = []
        for verb in (["workspace", "create", "others"],
                     ["token", "create", "other", "--workspace", "others"]):  # fmt: skip
            done = server.thaw(*verb, "--json", "--data", str(server.data))
            self.assertEqual(done.returncode, 0, done.stderr)
            made.append(json.loads(done.stdout))
        bearer = {"authorization": f"Bearer {made[1]['token']}:{made[1]['secret']}"}

        def ask(path, method):
            request = urllib.request.Request(f"{server.url}/api/v1/{path}", method=method,
                                             headers=bearer)  # fmt: skip
            try:
                with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as refused:
                return refused.code, json.loads(refused.read())

        self.assertEqual(ask("schedules", "GET"), (200, {"schedules": [], "next": ""}))
        theirs = ask(f"schedules/{one('e2e-mine')['function']}/runs", "POST")
        never = ask("schedules/fu-0000000000000000000000/runs", "POST")
        self.assertEqual((theirs[0], never[0]), (404, 404))
        self.assertEqual(one("e2e-mine")["runs"], [])

    def test_a_pushed_schedule_that_never_comes_is_refused(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-never-"))
        (folder / "Dockerfile").write_text("FROM python:3.11-slim\n")
        for schedule, zone, why in (
            ("61 * * * *", "", "minute: '61'"),
            ("0 0 30 2 *", "", "never comes"),
            ("0 6 * * *", "Mars/Olympus", "no time zone 'Mars/Olympus'"),
            ("every 0.1", "", "at least a second"),
        ):
            with self.subTest(schedule=schedule, zone=zone):
                words = ["--schedule", schedule] + (["--schedule-zone", zone] if zone else [])
                done = server.thaw("push", folder, "never", *words, "--server", str(server.data))
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(why, done.stderr)

    def test_a_cron_schedule_tells_its_hours_where_its_zone_is(self):
        deploy("e2e_cron", 'modal.Cron("0 6 * * *", timezone="America/New_York")')
        view = one("e2e-cron")
        self.assertEqual(view["schedule"], "0 6 * * * America/New_York")
        self.assertEqual(view["runs"], [])
        self.assertIn(time.gmtime(view["next"][0]).tm_hour, (10, 11))

        done = server.thaw("schedule", "run", "tick", "--json", "--data", str(server.data))
        self.assertEqual(done.returncode, 0, done.stderr)
        call = json.loads(done.stdout)["call"]
        self.assertEqual(modal.FunctionCall.from_id(call).get(timeout=CALL_TIMEOUT), "ticked")
        deploy("e2e_cron", "None")
        self.assertIsNone(one("e2e-cron"))

    def test_a_pushed_server_is_asked_at_its_ticks(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-nightly-"))
        (folder / "Dockerfile").write_text(
            'FROM python:3.11-slim\nCOPY server.py /\nCMD ["python", "/server.py"]\n'
        )
        (folder / "server.py").write_text(textwrap.dedent("""
            import http.server, os
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_POST(self):
                    body = f"{self.path} at {self.headers['thaw-tick']}".encode()
                    self.send_response(200)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
            http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
            """))
        done = server.thaw("push", folder, "nightly", "--schedule", "every 2", "--schedule-path",
                           "/nightly?all=1", "--server", str(server.data))  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        wait_until(lambda: len(one("nightly")["runs"]) >= 2, CALL_TIMEOUT, "two ticks")
        run = one("nightly")["runs"][-1]
        done = server.thaw("call", "result", run["call"], "--wait", "60", "--data",
                           str(server.data))  # fmt: skip
        self.assertEqual(done.stdout, f"/nightly?all=1 at {int(run['tick'])}")
        server.thaw("function", "rm", "nightly", "--data", str(server.data))
        self.assertIsNone(one("nightly"))


if __name__ == "__main__":
    main()
