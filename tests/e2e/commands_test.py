#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands of the client that look at what runs, and those about its token."""
import json
import pathlib

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402

APP = "e2e-trees"


def setUpModule():
    deploy(server, "call_trees.py")


def shown(*arguments, **options):
    return server.modal(*arguments, **options).stdout


class Commands(E2eTest):
    server = server

    def test_containers_are_listed_their_output_read_and_one_stopped(self):
        call = modal.Function.from_name(APP, "slow").spawn(60)

        def containers():
            listed = json.loads(shown("container", "list", "--json"))
            return [one["container_id"] for one in listed if one["app_name"] == APP]

        [container] = wait_until(containers, CALL_TIMEOUT, "its container is listed")
        server.modal("container", "logs", container)
        server.modal("container", "stop", "--yes", container)
        wait_until(lambda: container not in containers(), CALL_TIMEOUT, "it has ended")
        call.cancel(terminate_containers=True)

    def test_the_output_of_one_function_is_read_apart(self):
        app = modal.App("e2e-talks", image=modal.Image.debian_slim())

        def talks(word):
            print(f"it says {word}")

        for name in ("one", "other"):
            app.function(serialized=True, name=name)(talks)
        app.deploy()
        for name in ("one", "other"):
            modal.Function.from_name("e2e-talks", name).remote(name)
        text = wait_until(
            lambda: (lambda out: "it says one" in out and out)(
                shown("function", "logs", "e2e-talks/one")
            ),
            CALL_TIMEOUT, "the function's line is in its log", pause=1,
        )  # fmt: skip
        self.assertNotIn("it says other", text)
        image = modal.Function.from_name("e2e-talks", "one").info().image_info.image_id
        self.assertTrue(image.startswith("im-"))
        server.modal("image", "logs", image)

    def test_an_app_tells_what_it_consists_of(self):
        told = json.loads(shown("app", "info", APP, "--json"))
        self.assertEqual(told["lifecycle"]["state"], "deployed")
        self.assertEqual(told["lifecycle"]["version"], 1)
        self.assertTrue(told["lifecycle"]["deployed_by"])
        self.assertIn("leaf", json.dumps(told))

    def test_a_token_tells_whose_it_is_and_is_stored(self):
        variables = server.client_environment()
        told = shown("token", "info")
        self.assertIn(variables["MODAL_TOKEN_ID"], told)
        self.assertIn("thaw", told)
        path = pathlib.Path(server.folder / "set.toml")
        path.write_text("")
        out = shown(
            "token", "set", "--token-id", variables["MODAL_TOKEN_ID"],
            "--token-secret", variables["MODAL_TOKEN_SECRET"],
            env={"MODAL_CONFIG_PATH": str(path)},
        )  # fmt: skip
        self.assertIn("verified successfully", out)
        self.assertIn(variables["MODAL_TOKEN_ID"], path.read_text())
        self.assertIn("thaw", path.read_text())

    def test_a_secret_is_made_listed_and_deleted(self):
        server.modal("secret", "create", "made-by-hand", "A=b")
        self.assertIn("made-by-hand", shown("secret", "list"))
        server.modal("secret", "delete", "made-by-hand", "--yes")
        self.assertNotIn("made-by-hand", shown("secret", "list"))


if __name__ == "__main__":
    main()
