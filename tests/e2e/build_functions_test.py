#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Image.run_function: what a function writes while the image is built is a layer of it."""
import secrets

from thaw_server import E2eTest, ThawServer, main

server = ThawServer.for_module()

import modal  # noqa: E402

NONCE = secrets.token_hex(4)  # servers on this machine share what they build


def deploy(edition="one", check=True, **settings):
    env = {"E2E_EDITION": f"{edition}-{NONCE}", **settings}
    return server.modal("deploy", "build_functions.py", env=env, check=check)


def look():
    return modal.Function.from_name("e2e-build-functions", "look").remote()


class BuildFunctions(E2eTest):
    server = server

    def test_what_it_writes_is_a_layer_and_it_runs_once_until_it_changes(self):
        first = deploy()
        self.assertIn("downloading tiny", first.stdout)
        found = look()
        self.assertEqual(found["model"], f"tiny 42 one-{NONCE} 13")
        self.assertEqual(found["after"], "yes")
        self.assertEqual(found["volume"], "tiny")
        self.assertEqual(found["words"], [])
        self.assertNotIn("thaw-build", " ".join(found["left"]))
        self.assertNotIn("downloading tiny", deploy().stdout)
        changed = deploy("two")
        self.assertIn("downloading tiny", changed.stdout)
        self.assertEqual(look()["model"], f"tiny 42 two-{NONCE} 13")

    def test_one_that_fails_fails_the_image_with_its_own_words(self):
        failed = deploy("three", check=False, E2E_FAILS="no such weights")
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn("no such weights", failed.stdout + failed.stderr)
        self.assertIn("download", failed.stdout + failed.stderr)
        # Nothing of it is kept: the next one runs.
        self.assertIn("downloading tiny", deploy("three").stdout)


if __name__ == "__main__":
    main()
