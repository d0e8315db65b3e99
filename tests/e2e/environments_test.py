#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Environments are made, changed and deleted, and a deleted one goes with all that is in it."""
import json
import threading
import time

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, main, wait_until

# A domain of its own: the names of pages are in their addresses, whatever the machine knows.
server = ThawServer.for_module(config='[web]\ndomain = "thaw.test"\n')

import grpclib  # noqa: E402
import modal  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402


def environments():
    listed = json.loads(server.modal("environment", "list", "--json").stdout)
    return {one["name"]: one for one in listed}


def refusal(*arguments):
    done = server.modal(*arguments, check=False)
    if done.returncode == 0:
        raise AssertionError(f"{arguments} was not refused: {done.stdout}")
    return " ".join((done.stdout + done.stderr).split())


def deploy(environment, name="e2e-in-environment"):
    app = modal.App(name, image=modal.Image.debian_slim())

    def where():
        return "here"

    app.function(name="where", serialized=True, min_containers=1)(where)
    app.deploy(environment_name=environment)
    return modal.Function.from_name(name, "where", environment_name=environment)


class Environments(E2eTest):
    server = server

    def test_one_is_made_listed_renamed_and_deleted(self):
        server.modal("environment", "create", "first")
        self.assertIn("first", environments())
        self.assertEqual(environments()["first"]["web_suffix"], "first")
        self.assertIn("exists already", refusal("environment", "create", "first"))
        server.modal("environment", "update", "first", "--set-name", "second")
        self.assertNotIn("first", environments())
        self.assertIn("second", environments())
        self.assertIn(
            "does not exist", refusal("environment", "update", "first", "--set-name", "x")
        )
        server.modal("environment", "create", "third")
        self.assertIn(
            "exists already", refusal("environment", "update", "third", "--set-name", "second")
        )
        server.modal("environment", "delete", "second", "--yes")
        server.modal("environment", "delete", "third", "--yes")
        self.assertEqual(set(environments()), {"main"})
        self.assertIn("does not exist", refusal("environment", "delete", "second", "--yes"))

    def test_what_is_deployed_under_the_old_name_is_there_under_the_new_one(self):
        server.modal("environment", "create", "before")
        deploy("before")
        server.modal("environment", "update", "before", "--set-name", "after")
        found = modal.Function.from_name("e2e-in-environment", "where", environment_name="after")
        self.assertEqual(found.remote(), "here")
        server.modal("environment", "delete", "after", "--yes")

    def test_the_default_one_keeps_its_name_and_stays(self):
        self.assertIn("cannot be deleted", refusal("environment", "delete", "main", "--yes"))
        self.assertIn(
            "cannot be renamed", refusal("environment", "update", "main", "--set-name", "other")
        )

    def test_names_are_checked_by_the_server_too(self):
        for name in ("", "en-abc", "EN-abc", "a b", "-a", "a.b", "a/b", "x" * 65, "ü"):
            with self.subTest(name=name), self.assertRaises(grpclib.exceptions.GRPCError) as caught:
                server.rpc("EnvironmentCreate", pb.EnvironmentCreateRequest(name=name))
            self.assertEqual(caught.exception.status, grpclib.const.Status.INVALID_ARGUMENT)
        self.assertEqual(set(environments()), {"main"})

    def test_what_needs_users_with_roles_is_refused_and_says_why(self):
        self.assertIn("tokens only", refusal("environment", "create", "r", "--restricted"))
        self.assertIn("tokens only", refusal("environment", "create", "p", "--public"))
        self.assertEqual(set(environments()), {"main"})

    def test_web_suffix_and_image_builder_version_are_kept_and_told(self):
        server.modal("environment", "create", "web")
        server.modal("environment", "update", "web", "--set-web-suffix", "www")
        server.modal("environment", "update", "web", "--set-image-builder-version", "2025.06")
        server.kill()
        server.start()
        self.assertEqual(environments()["web"]["web_suffix"], "www")
        self.assertEqual(environments()["web"]["image_builder_version"], "2025.06")
        answer = server.rpc(
            "EnvironmentGetOrCreate", pb.EnvironmentGetOrCreateRequest(deployment_name="web")
        )
        self.assertEqual(answer.metadata.settings.image_builder_version, "2025.06")
        self.assertIn(
            "no image builder version",
            refusal("environment", "update", "web", "--set-image-builder-version", "1999.01"),
        )
        self.assertIn(
            "web suffix is", refusal("environment", "update", "web", "--set-web-suffix", "A b")
        )
        app = modal.App("e2e-suffix", image=modal.Image.debian_slim().pip_install("fastapi"))

        def page():
            return "page"

        app.function(name="page", serialized=True)(modal.fastapi_endpoint()(page))
        app.deploy(environment_name="web")
        found = modal.Function.from_name("e2e-suffix", "page", environment_name="web")
        self.assertIn("www--e2e-suffix-page", found.get_web_url())
        server.modal("environment", "delete", "web", "--yes")

    def fill(self, name):
        server.modal("environment", "create", name)
        function = deploy(name)
        self.assertEqual(function.remote(), "here")
        modal.Secret.objects.create("key", {"A": "b"}, environment_name=name)
        modal.Volume.objects.create("data", environment_name=name)
        modal.Dict.objects.create("notes", environment_name=name)
        modal.Queue.objects.create("line", environment_name=name)
        modal.Dict.from_name("notes", environment_name=name)["a"] = 1

    def assert_empty(self, name):
        for kind in (modal.Secret, modal.Volume, modal.Dict, modal.Queue):
            self.assertEqual(kind.objects.list(environment_name=name), [], kind)
        self.assertEqual(
            json.loads(server.modal("app", "list", "--json", "--env", name).stdout), []
        )

    def test_one_is_deleted_with_all_that_is_in_it_and_its_apps_are_stopped_first(self):
        kept = deploy("main", "e2e-kept")
        self.fill("doomed")
        before = server.task_ids()
        server.modal("environment", "delete", "doomed", "--yes")
        self.assertNotIn("doomed", environments())
        running = {view["app"] for view in server.running()}
        self.assertEqual(running, {"e2e-kept"})
        self.assertLess(len(server.task_ids()), len(before))
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Function.from_name(
                "e2e-in-environment", "where", environment_name="doomed"
            ).remote()
        # Who makes one of the same name finds nothing of the old one.
        server.modal("environment", "create", "doomed")
        self.assert_empty("doomed")
        server.modal("environment", "delete", "doomed", "--yes")
        self.assertEqual(kept.remote(), "here")
        server.modal("app", "stop", "--yes", "e2e-kept")

    def test_what_a_killed_server_has_begun_to_delete_goes_with_its_next_start(self):
        self.fill("torn")
        asked = threading.Thread(
            target=lambda: server.modal("environment", "delete", "torn", "--yes", check=False)
        )
        asked.start()
        wait_until(lambda: self.is_unknown("torn"), CALL_TIMEOUT, "it is deleted", pause=0.01)
        server.kill()
        server.start()
        asked.join()
        self.assertNotIn("torn", environments())
        wait_until(
            lambda: "e2e-in-environment" not in {view["app"] for view in server.running()},
            CALL_TIMEOUT, "its app has ended",
        )  # fmt: skip
        server.modal("environment", "create", "torn")
        self.assert_empty("torn")
        server.modal("environment", "delete", "torn", "--yes")

    def is_unknown(self, name):
        try:
            server.rpc("AppList", pb.AppListRequest(environment_name=name))
        except grpclib.exceptions.GRPCError as error:
            return error.status == grpclib.const.Status.NOT_FOUND
        return False

    def test_two_who_delete_one_at_once_both_see_it_gone(self):
        self.fill("twice")
        outcomes = []

        def delete():
            done = server.modal("environment", "delete", "twice", "--yes", check=False)
            outcomes.append(done.returncode == 0 or "does not exist" in done.stdout + done.stderr)

        threads = [threading.Thread(target=delete) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(outcomes, [True] * 3)
        self.assertNotIn("twice", environments())

    def test_nothing_is_made_in_one_that_is_deleted(self):
        self.fill("closing")
        begun = time.monotonic()
        server.modal("environment", "delete", "closing", "--yes")
        self.assertLess(time.monotonic() - begun, 60)
        for request, name in (
            (pb.AppCreateRequest(description="x", environment_name="closing"), "AppCreate"),
            (
                pb.VolumeGetOrCreateRequest(
                    deployment_name="v", environment_name="closing", object_creation_type=1
                ),
                "VolumeGetOrCreate",
            ),
        ):
            with self.assertRaises(grpclib.exceptions.GRPCError) as caught:
                server.rpc(name, request)
            self.assertEqual(caught.exception.status, grpclib.const.Status.NOT_FOUND)


if __name__ == "__main__":
    main()
