#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The next start: whatever is wrong with what was stored costs that thing and never the server."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import urllib.request

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

# Short times, so that a test sees what is forgotten.
CONFIG = "[catalog]\nkeep_stopped_s = 0\nkeep_unused_s = 15\n[server]\ndrain_s = 1\n"
server = ThawServer.for_module(config=CONFIG)

import modal  # noqa: E402
import modal_proto.api_pb2 as pb  # noqa: E402

KEPT = ("thaw.db", "thaw.db-commits", "logs.db", "env.token", "secret.key")


def setUpModule():
    deploy(server, "calls.py")
    deploy(server, "sleeper.py")
    modal.Volume.from_name("e2e-kept", create_if_missing=True).hydrate()
    server.modal("secret", "create", "e2e-secret", "KEY=value")
    assert square().remote(3) == 9
    assert square().spawn(4).get(timeout=CALL_TIMEOUT) == 16
    # One that has not ended; the server is stopped before it does.
    modal.Function.from_name("e2e-sleeper", "sleep").spawn(60, "left")


def square():
    return modal.Function.from_name("e2e-calls", "square")


def damage(statement):
    with contextlib.closing(sqlite3.connect(server.data / "thaw.db")) as connection, connection:
        connection.execute(statement)


def rows(name, query):
    # Closed at once: who has the database open keeps the server from being its last user.
    uri = f"file:{server.data / name}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        return connection.execute(query).fetchall()


def bad_json(kind, which=""):
    return f"""UPDATE catalog_objects SET json = '{{"id": 5' WHERE kind = '{kind}' {which}"""


SLEEPER = "AND id IN (SELECT id FROM catalog_objects WHERE json LIKE '%e2e-sleeper%')"
SLEEP = "AND id NOT IN (SELECT id FROM catalog_objects WHERE json LIKE '%\"tag\":\"square\"%')"
DAMAGES = {
    "the workspace": bad_json("workspace"),
    "the environment": bad_json("environment"),
    "all tokens": bad_json("token"),
    "an app": bad_json("app", SLEEPER),
    "functions": bad_json("function", SLEEP),
    "the volume": bad_json("volume"),
    "what a secret holds": "UPDATE catalog_objects SET bytes = x'01' WHERE kind = 'secret'",
    "a number": "UPDATE catalog_objects SET json = replace(json, '\"retry_backoff\":',"
                " '\"retry_backoff\":null,\"x\":') WHERE kind = 'function' " + SLEEP,
    "an app's row": f"DELETE FROM catalog_objects WHERE kind = 'app' {SLEEPER}",
    "rows of functions": f"DELETE FROM catalog_objects WHERE kind = 'function' {SLEEP}",
    "calls": "UPDATE calls SET max_retries = 1e300, backoff = 'x', created_us = -1, function = ''",
    "inputs": "UPDATE OR IGNORE inputs SET idx = 'x', attempts = -5, payload = NULL",
    "rows of calls": "DELETE FROM calls",
    "call logs": "UPDATE call_log SET kind = 99, number = number + 9223372036854770000",
    "measurements": "UPDATE measurement SET record = '[1e300]'",
}  # fmt: skip


class NextStart(E2eTest):
    server = server

    def test_1_a_number_that_is_none_is_refused_by_its_name(self):
        apps = server.rpc("AppList", pb.AppListRequest()).apps
        [app] = [one for one in apps if one.name == "e2e-calls"]
        image = rows("thaw.db", "SELECT id FROM catalog_objects WHERE kind = 'image'")[0][0]
        function = pb.Function(function_name="f", module_name="m", image_id=image)
        function.retry_policy.backoff_coefficient = float("inf")
        with self.assertRaisesRegex(Exception, "retry_policy.backoff_coefficient is inf"):
            server.rpc("FunctionCreate", pb.FunctionCreateRequest(
                app_id=app.app_id, function=function))  # fmt: skip
        settings = pb.AutoscalerSettings(scaledown_window=4294967295)
        with self.assertRaisesRegex(Exception, "scaledown_window is 4294967295"):
            server.rpc("FunctionUpdateSchedulingParams", pb.FunctionUpdateSchedulingParamsRequest(
                function_id=square().hydrate().object_id, settings=settings))  # fmt: skip

    def left_over(self):
        """Rows of what is gone: nobody can reach them any more."""
        objects = rows("thaw.db", "SELECT kind, id, json FROM catalog_objects")
        apps = {id for kind, id, _ in objects if kind == "app"}
        functions = " ".join(record for kind, _, record in objects if kind == "function")
        names = apps | {id for kind, id, _ in objects if kind == "image"}
        left = [id for kind, id, _ in objects if kind == "image" and id not in functions]
        left += [id for kind, id, record in objects if kind in ("function", "class")
                 and not any(app in record for app in apps)]  # fmt: skip
        left += [name for (name,) in rows("logs.db", "SELECT name FROM streams")
                 if name not in names]  # fmt: skip
        return left + sorted(apps)[2:]

    def test_2_what_an_app_has_left_is_forgotten_with_it(self):
        for _ in range(3):
            app = modal.App("e2e-run", image=modal.Image.debian_slim())

            class Named:
                @modal.method()
                def name(self):
                    print("said")
                    return "named"

            remote = app.cls(serialized=True)(Named)
            with app.run():
                self.assertEqual(remote().name.remote(), "named")
        self.assertTrue(self.left_over())
        wait_until(lambda: not self.left_over(), 120, "nothing of the runs is left", pause=0.5)
        self.assertEqual(square().remote(2), 4)

    def test_3_damage_costs_what_it_hits(self):
        server.stop()
        kept = server.folder / "kept"
        kept.mkdir()
        for name in KEPT:
            shutil.copy(server.data / name, kept / name)
        for what, statement in DAMAGES.items():
            with self.subTest(what):
                damage(statement)
                server.start(timeout=60)
                server.use()
                apps = {app.name for app in server.rpc("AppList", pb.AppListRequest()).apps}
                self.assertIn("e2e-calls", apps)
                if what in ("the environment", "functions", "calls", "call logs"):
                    self.assertEqual(square().remote(5), 25)
                if statement.startswith("UPDATE catalog_objects"):
                    aside = server.thaw("doctor", "--data", str(server.data)).stdout
                    self.assertIn("could not be read", aside)
                    self.assertIn("thaw_records_set_aside", self.metrics())
                server.kill()
                for name in ("thaw.db-wal", "thaw.db-shm", "logs.db-wal", "logs.db-shm"):
                    (server.data / name).unlink(missing_ok=True)
                for name in KEPT:
                    shutil.copy(kept / name, server.data / name)
        for name in ("env.token", "logs.db"):
            with self.subTest(name):
                (server.data / name).write_bytes(b"garbage" * 1000)
                (server.data / "logs.db-wal").unlink(missing_ok=True)
                server.start(timeout=60)
                server.use()
                self.assertEqual(square().remote(6), 36)
                server.stop()

    def test_3_what_is_no_file_is_not_waited_for(self):
        if server.process.poll() is None:
            server.stop()
        names = ("env.token", "secret.key", "thaw.db")
        token, key, database = (server.data / name for name in names)
        logs = server.data / "logs.db-journal"
        for make in (
            lambda: os.mkfifo(token),
            lambda: os.truncate(os.open(token, os.O_CREAT | os.O_WRONLY), 50 << 30),
            lambda: os.mkfifo(logs),
            lambda: (logs.mkdir(), (logs / "x").touch()),
        ):
            token.unlink(missing_ok=True)
            make()
            server.start(timeout=60)
            server.use()
            self.assertEqual(square().remote(7), 49)
            server.stop()
        # A link to a file elsewhere is somebody's choice, and stays.
        logs = server.data / "logs.db"
        logs.symlink_to(logs.rename(server.folder / "logs elsewhere"))
        server.start(timeout=60)
        self.assertTrue(logs.is_symlink())
        server.stop()
        for path, make, reason in (
            (token, lambda: (token.mkdir(), (token / "x").touch()), "cannot write .*env.token"),
            (key, lambda: key.symlink_to(key.name), "cannot open .*secret.key"),
            (key, lambda: os.mkfifo(key, 0o600), "secret.key does not hold 32 bytes"),
            (database, lambda: os.mkfifo(database), "thaw.db is damaged: it is empty"),
        ):
            with self.subTest(reason):
                kept = path.rename(server.folder / "away")
                make()
                self.assertRegex(self.refusal(), reason)
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                kept.rename(path)
        server.start()
        server.use()

    def metrics(self):
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
            return answer.read().decode()

    def refusal(self):
        """Why it does not start."""
        done = subprocess.run(server.command(), capture_output=True, text=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_4_a_lost_log_or_key_is_told_and_not_passed_over(self):
        if server.process.poll() is None:
            server.stop()
        key = server.data / "secret.key"
        kept = key.read_bytes()
        key.unlink()
        self.assertRegex(self.refusal(), "secret.key is missing, and .* stored secrets")
        key.write_bytes(b"x" * 32)
        key.chmod(0o600)
        self.assertRegex(self.refusal(), "secret.key is not the key")
        key.write_bytes(kept)
        server.start()
        server.use()
        server.modal("volume", "create", "e2e-acknowledged")
        server.kill()
        wal = server.data / "thaw.db-wal"
        away = server.folder / "wal"
        shutil.move(wal, away)
        self.assertIn("commits that were acknowledged", self.refusal())
        shutil.move(away, wal)
        server.start()
        server.use()
        self.assertIn("e2e-acknowledged", server.modal("volume", "list").stdout)


if __name__ == "__main__":
    main()
