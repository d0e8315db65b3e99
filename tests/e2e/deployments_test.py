#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The deployments of an app: their history, going back to one, staged ones, all under load."""
import json
import os
import re
import subprocess
import threading

from older_clients import client
from thaw_server import APPS, E2eTest, ThawServer, main, wait_until

CHANGES = int(os.environ.get("DEPLOYMENTS_CHANGES", "8"))
server = ThawServer.for_module(config="[catalog]\nkeep_deployments = 12\n")

import grpclib  # noqa: E402
import modal  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

NAME = "e2e-deployed"


def deploy(version, *options):
    return server.modal(
        "deploy", *options, APPS / "deployed.py", env={"DEPLOYED_AS": str(version)}
    ).stdout


def history(name=NAME):
    """The newest first."""
    return json.loads(server.modal("app", "history", name, "--json").stdout)


def numbers():
    return [int(entry["version"].lstrip("v")) for entry in history()]


def called(name="version"):
    return modal.Function.from_name(NAME, name).remote()


def refusal(*arguments):
    done = server.modal(*arguments, check=False)
    if done.returncode == 0:
        raise AssertionError(f"{arguments} was not refused: {done.stdout}")
    # The client breaks lines where it likes.
    return " ".join((done.stdout + done.stderr).split())


class Load:
    """Calls all the time until it is left; what failed, and what the calls returned."""

    def __init__(self, threads=4):
        self.failures, self.answers, self.over = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.call) for _ in range(threads)]

    def call(self):
        function = modal.Function.from_name(NAME, "version")
        while not self.over.is_set():
            try:
                self.answers.append(function.remote())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is counted
                self.failures.append(f"{type(error).__name__}: {error}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def sees(self, version):
        """Calls that began from now on get that version."""
        seen = len(self.answers)
        wait_until(
            lambda: version in self.answers[seen:] or self.failures, 120, f"{version} answers"
        )


class Deployments(E2eTest):
    server = server

    def setUp(self):
        # Each test begins with versions 1 and 2 of an app of its own.
        server.modal("app", "stop", "--yes", NAME, check=False)
        deploy(1, "--tag", "first")
        deploy(2)

    def test_the_history_tells_who_deployed_what_and_when(self):
        second, first = history()
        self.assertEqual((first["version"], second["version"]), ("v1", "v2"))
        self.assertEqual(first["tag"], "first")
        self.assertEqual(first["client"], modal.__version__)
        self.assertTrue(first["deployed_by"])
        self.assertLessEqual(first["time_deployed"], second["time_deployed"])
        app_id = modal.App.lookup(NAME).app_id
        self.assertEqual(history(app_id), [second, first])
        lifecycle = modal.App.lookup(NAME).info(refresh=True).lifecycle
        self.assertEqual(lifecycle.version, 2)
        self.assertEqual(lifecycle.deployed_by, first["deployed_by"])
        self.assertEqual(lifecycle.created_by, first["deployed_by"])

    def test_the_commit_that_was_deployed_is_in_the_history(self):
        folder = server.folder / "repository"
        folder.mkdir()
        (folder / "deployed.py").write_text((APPS / "deployed.py").read_text())
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(folder)]
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "it"]):
            subprocess.run([*git, *command], check=True)
        told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True,
                              text=True).stdout.strip()  # fmt: skip
        server.modal("deploy", folder / "deployed.py", cwd=folder)
        self.assertEqual(history()[0]["commit"], told[:7])
        server.modal("app", "rollback", NAME, "v2")
        # Of that of the folder in which the tests run, if it is of any.
        self.assertNotIn(told[:7], history()[0]["commit"] or "")
        server.modal("app", "rollback", NAME, "v3")
        self.assertEqual(history()[0]["commit"], told[:7])

    def test_a_rollback_is_a_new_version_that_is_as_the_old_one(self):
        self.assertEqual(called(), "2")
        with self.assertRaises(modal.exception.NotFoundError):
            called("extra")
        shown = server.modal("app", "rollback", NAME).stdout
        self.assertIn("rollback successful", shown)
        self.assertEqual(numbers(), [3, 2, 1])
        # With all that it had, what the next version had dropped included.
        self.assertEqual((called(), called("extra")), ("1", "1"))
        self.assertEqual(modal.Cls.from_name(NAME, "Counter")().of.remote(7), "1 7")
        server.modal("app", "rollback", NAME, "v2")
        self.assertEqual(called(), "2")
        with self.assertRaises(modal.exception.NotFoundError):
            called("extra")
        # Also by the id of the app, and after the server was killed.
        server.kill()
        server.start()
        server.modal("app", "rollback", modal.App.lookup(NAME).app_id, "v1")
        self.assertEqual((called(), called("extra")), ("1", "1"))
        self.assertEqual(numbers(), [5, 4, 3, 2, 1])
        # And what is deployed next is what it says.
        deploy(3)
        self.assertEqual(called(), "3")

    def test_a_rollback_that_cannot_be_says_why_and_changes_nothing(self):
        self.assertIn("no version 9 of app 'e2e-deployed'", refusal("app", "rollback", NAME, "v9"))
        self.assertIn("not deployed", refusal("app", "rollback", self.ephemeral_app()))
        server.modal("app", "rollback", NAME)
        server.modal("app", "stop", "--yes", NAME)
        self.assertIn("not deployed", refusal("app", "rollback", NAME))
        # A stopped app still tells its history, by its name too.
        self.assertEqual(numbers(), [3, 2, 1])
        deploy(1)
        self.assertIn("no earlier version", refusal("app", "rollback", NAME))
        self.assertEqual(numbers(), [1])

    def ephemeral_app(self):
        made = server.rpc("AppCreate", pb.AppCreateRequest(description="x", app_state=1))
        return made.app_id

    def test_redeployments_and_rollbacks_under_load_fail_no_request(self):
        with Load() as load:
            load.sees("2")
            now = 2
            for number in range(3, 3 + CHANGES):
                if number % 2:
                    deploy(number)
                    now = number
                else:
                    server.modal("app", "rollback", NAME, "v1")
                    now = 1
                load.sees(str(now))
            server.modal("app", "rollover", NAME)
            load.sees(str(now))
        print(f"{len(load.answers)} calls while it was deployed {CHANGES + 1} times", flush=True)
        self.assertEqual(load.failures, [])
        self.assertGreater(len(load.answers), CHANGES)

    def test_a_rollback_may_end_what_runs_and_waits_for_it(self):
        old = called_in_container()
        server.modal("app", "rollback", NAME, "v1", "--strategy", "recreate")
        self.assertEqual(called(), "1")
        self.assertNotIn(old, server.task_ids())

    def test_a_deployment_may_end_what_runs(self):
        old = called_in_container()
        deploy(3, "--strategy", "recreate")
        self.assertNotIn(old, server.task_ids())
        self.assertEqual(called(), "3")

    def test_a_rollover_gives_new_containers_without_new_code(self):
        old = called_in_container()
        server.modal("app", "rollover", NAME, "--strategy", "recreate")
        self.assertNotIn(old, server.task_ids())
        self.assertEqual(called(), "2")
        self.assertEqual(numbers(), [3, 2, 1])

    def test_what_is_staged_is_live_once_it_is_promoted(self):
        deploy(3, "--staged")
        self.assertEqual(called(), "2")
        self.assertEqual(numbers(), [3, 2, 1])
        self.assertIn("was staged", refusal("app", "rollback", NAME, "v3"))
        self.assertIn("not staged", refusal("app", "promote", NAME, "v1"))
        server.kill()
        server.start()
        server.modal("app", "promote", NAME, "v3")
        self.assertEqual(called(), "3")
        self.assertEqual(numbers(), [4, 3, 2, 1])
        server.modal("app", "rollback", NAME)
        self.assertEqual(called(), "2")

    def test_nothing_is_staged_where_nothing_is_live(self):
        server.modal("app", "stop", "--yes", NAME)
        done = server.modal(
            "deploy", "--staged", APPS / "deployed.py", env={"DEPLOYED_AS": "1"}, check=False
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("deploy it first", " ".join((done.stdout + done.stderr).split()))

    def test_clients_of_before_roll_back_too(self):
        for listing in ("modal-1.0.txt", "modal-1.2.txt"):
            deploy(3)
            client(listing).modal(server, "app", "rollback", NAME, "v1")
            done = client(listing).modal(server, "app", "history", NAME)
            self.assertTrue(re.search(r"v\d+", done.stdout), done.stdout)
            self.assertEqual(called(), "1")

    def test_tags_are_those_of_the_program_until_they_are_set(self):
        app = modal.App.lookup(NAME)
        self.assertEqual(app.get_tags(), {"team": "red", "made-by": "deployed.py"})
        app.set_tags({"team": "blue"})
        self.assertEqual(modal.App.lookup(NAME).get_tags(), {"team": "blue"})
        server.kill()
        server.start()
        self.assertEqual(modal.App.lookup(NAME).get_tags(), {"team": "blue"})
        app = modal.App("e2e-tagged", tags={"kind": "run"})
        with app.run():
            self.assertEqual(app.get_tags(), {"kind": "run"})
            app.set_tags({"kind": "other", "x": "1.0"})
            self.assertEqual(app.get_tags(), {"kind": "other", "x": "1.0"})

    def test_tags_hold_no_data(self):
        app_id = modal.App.lookup(NAME).app_id
        for tags in (
            {"a": "x" * 64}, {"x" * 64: "a"}, {"a": ""}, {"a b": "c"},
            {f"tag-{number}": "x" for number in range(101)},
        ):  # fmt: skip
            with self.assertRaises(grpclib.exceptions.GRPCError) as caught:
                server.rpc("AppSetTags", pb.AppSetTagsRequest(app_id=app_id, tags=tags))
            self.assertEqual(caught.exception.status, grpclib.const.Status.INVALID_ARGUMENT)
        self.assertIn("team", modal.App.lookup(NAME).get_tags())


def called_in_container():
    """The container that has answered."""
    before = server.task_ids()
    called()
    [new] = [one for one in server.task_ids() if one not in before] or sorted(before)[-1:]
    return new


if __name__ == "__main__":
    main()
