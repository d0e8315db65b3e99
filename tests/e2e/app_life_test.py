#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long apps live: as long as their client, or longer, and not shorter."""
import concurrent.futures
import json
import os
import subprocess
import sys
import time

from thaw_server import APPS, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module()
started = time.monotonic()


def run_and_kill_the_client(*options):
    """When its function's container has started."""
    environment = {**os.environ, **server.client_environment()}
    with open(server.folder / "client.log", "ab") as log:
        client = subprocess.Popen(
            [sys.executable, "-m", "modal", "run", *options, str(APPS / "sleeper.py")],
            env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        wait_until(server.containers, 300, "the function's container has started")
    finally:
        client.kill()
        client.wait()


class AppLife(E2eTest):
    server = server

    def test_an_ephemeral_app_dies_with_its_client(self):
        run_and_kill_the_client()
        server.wait_for_zero(180)

    def test_an_app_that_is_just_being_made_is_not_taken_for_abandoned(self):
        server.use()
        import modal

        def make_apps(until):
            made = 0
            while time.monotonic() < until:
                with modal.App(f"e2e-made-{made}").run():  # fails if it was stopped meanwhile
                    made += 1
            return made

        # Every 2 s the server looks for apps without heartbeats, in earnest when it is 60 s old.
        wait_until(lambda: time.monotonic() > started + 62, 70, "the server is old enough")
        until = time.monotonic() + 7
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            self.assertGreater(min(pool.map(make_apps, [until] * 3)), 0)

    def test_a_deployed_app_and_its_autoscaler_tell_what_they_are(self):
        server.use()
        import modal

        before = time.time() - 1
        server.modal("deploy", APPS / "scaling.py")
        app = modal.App.lookup("e2e-scaling")
        for info in (app.info(), app.info(refresh=True)):
            self.assertEqual(info.lifecycle.state.value, "deployed")
            self.assertGreater(info.lifecycle.created_at.timestamp(), before)
            self.assertGreater(info.lifecycle.deployed_at.timestamp(), before)
            self.assertIsNone(info.lifecycle.stopped_at)
            self.assertEqual(info.lifecycle.version, 1)
            self.assertTrue(info.functions["short_window"].startswith("fu-"))
        settings = modal.Function.from_name("e2e-scaling", "alone").autoscaler.settings()
        self.assertEqual(settings.max_containers, 1)
        modal.Function.from_name("e2e-scaling", "alone").autoscaler.update(scaledown_window=77)
        settings = modal.Function.from_name("e2e-scaling", "alone").autoscaler.settings()
        self.assertEqual((settings.max_containers, settings.scaledown_window), (1, 77))
        server.modal("app", "stop", "--yes", "e2e-scaling")

    def test_a_detached_app_outlives_its_client(self):
        run_and_kill_the_client("--detach")
        listed = json.loads(server.modal("app", "list", "--json").stdout)
        [app] = [one for one in listed if "detached" in json.dumps(one).lower()]
        identity = next(value for value in app.values() if str(value).startswith("ap-"))
        self.assertTrue(server.containers(), "it ended with its client")
        server.modal("app", "stop", "--yes", identity)
        server.wait_for_zero(60)


if __name__ == "__main__":
    main()
