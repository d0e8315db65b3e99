#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small model behind an API, deployed and used as such programs are."""
import json
import pathlib
import urllib.error
import urllib.request

from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module(config='[gpu]\nwhen_missing = "cpu"\n')

import modal  # noqa: E402

FOLDER = APPS / "everyday"
shown = ""


def setUpModule():
    global shown
    for verb in ("run", "deploy"):
        done = server.modal(verb, "serve.py", cwd=FOLDER)
        shown += done.stdout + done.stderr


def method(name):
    return getattr(modal.Cls.from_name("e2e-everyday", "Api")(), name)


def opened(name, body=None, query=""):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        method(name).get_web_url() + query, data, {"Content-Type": "application/json"}
    )
    return urllib.request.urlopen(request, timeout=CALL_TIMEOUT)


class Everyday(E2eTest):
    server = server

    def test_it_runs_from_its_folder_and_says_that_there_is_no_gpu(self):
        words = ["one", "two", "three", "four", "five"]
        self.assertIn(f"of the Dockerfile 1,234,567 {words}", shown)
        self.assertIn("said say: the sea is blue", shown)
        told = " ".join(shown.split())
        self.assertIn("asks for GPU T4, and this server has none: it runs on the CPU", told)
        self.assertIn("asks for the GPU's memory in its snapshots", told)

    def test_a_class_that_is_restored_has_loaded_once(self):
        Model = modal.Cls.from_name("e2e-everyday", "Model")
        self.assertEqual(Model().generate.remote("a"), ("a the sea is blue", 1, 1))

    def test_a_body_of_a_model_and_a_query(self):
        with opened("complete", {"text": "hm", "repeat": 2}, "?limit=3") as reply:
            self.assertEqual(json.load(reply), {"text": "hm hm the sea is"})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            opened("complete", {"repeat": 2})
        self.assertEqual(refused.exception.code, 422)

    def test_the_first_token_comes_before_the_last_is_made(self):
        files = server.data / "volumes"
        (place,) = [p for p in files.iterdir() if (p / "files" / "model.txt").exists()]
        with opened("stream") as reply:
            self.assertEqual(reply.readline(), b"the\n")
            pathlib.Path(place, "files", "go").touch()
            self.assertEqual(reply.read(), b"sea\nis\nblue\n")

    def test_an_exception_is_an_answer(self):
        with self.assertRaises(urllib.error.HTTPError) as failed:
            opened("broken")
        self.assertEqual(failed.exception.code, 500)
        wait_until(
            lambda: "no such word" in server.thaw("logs", "e2e-everyday", "--data",
                                                  str(server.data)).stdout,
            60, "its words are in the log",
        )  # fmt: skip

    def test_a_batch_and_a_spawn_and_a_map(self):
        embed = modal.Function.from_name("e2e-everyday", "embed")
        found = list(embed.map(["a", "bb", "ccc", "dddd"]))
        self.assertEqual([value // 100 for value in found], [1, 2, 3, 4])
        self.assertGreater(max(value % 100 for value in found), 1)
        call = modal.Function.from_name("e2e-everyday", "read_words").spawn(1000)
        again = modal.FunctionCall.from_id(call.object_id)
        self.assertEqual(again.get(timeout=600)[0], "1,000")
        self.assertEqual(again.get(timeout=600)[0], "1,000")

    def test_what_runs_every_night_is_known(self):
        listed = server.thaw("schedule", "list", "--json", "--data", str(server.data)).stdout
        self.assertIn("0 2 * * *", listed)


if __name__ == "__main__":
    main()
