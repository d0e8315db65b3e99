#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small model behind an API, deployed and used as such programs are."""
import concurrent.futures
import json
import pathlib
import time
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

        def said():
            logs = server.thaw("logs", "e2e-everyday", "--data", str(server.data))
            return "no such word" in logs.stdout + logs.stderr

        wait_until(said, 60, "its words are in the log")

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


class Chat(E2eTest):
    """Kept warm: by a window, by a ping, and by a container that is always there."""

    server = server

    @classmethod
    def setUpClass(cls):
        cls.began = time.time()
        cls.shown = server.modal("run", "chat.py", "--prompt", "twice", cwd=FOLDER).stdout
        server.modal("deploy", "chat.py", cwd=FOLDER)

    def of(self, name, method="generate"):
        return getattr(modal.Cls.from_name("e2e-chat", name)(), method)

    def test_it_runs(self):
        self.assertIn("it says: twice, and so on", self.shown)

    def test_sixteen_at_once_share_a_container_that_loaded_once(self):
        ask = self.of("Model")
        _, task, loaded = ask.remote("first")
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: ask.remote(f"{n}", 2.0), range(16)))
        self.assertEqual([text for text, _, _ in answers], [f"{n}, and so on" for n in range(16)])
        self.assertEqual({(one, at) for _, one, at in answers}, {(task, loaded)})
        self.assertEqual(modal.Dict.from_name("e2e-chat-loads")[task], 1)

    def test_the_ping_and_the_endpoint_find_it_warm(self):
        _, task, loaded = self.of("Model").remote("first")
        text, pinged, again = modal.Function.from_name("e2e-chat", "keep_warm").remote()
        self.assertEqual((text, pinged, again), ("ping, and so on", task, loaded))
        body = json.dumps({"prompt": "hm"}).encode()
        request = urllib.request.Request(
            self.of("Model", "chat").get_web_url(), body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as reply:
            self.assertEqual(json.load(reply), {"text": "hm, and so on", "task": task})

    def test_one_that_is_always_there_has_loaded_before_it_is_called(self):
        def kept():
            return [view for view in server.running() if view["app"] == "e2e-chat"
                    and view["function"].startswith("Kept")]  # fmt: skip

        wait_until(kept, CALL_TIMEOUT, "it is there without a call")
        wait_until(lambda: kept()[0]["status"] != "starting", CALL_TIMEOUT, "it is ready")
        asked = time.time()
        text, loaded = self.of("Kept").remote("x")
        self.assertEqual(text, "x, and so on")
        self.assertTrue(self.began < loaded < asked, (self.began, loaded, asked))

    def test_its_schedules_are_told(self):
        listed = server.thaw("schedule", "list", "--json", "--data", str(server.data)).stdout
        self.assertIn("*/5 * * * *", listed)
        self.assertIn("refresh", listed)

    def test_what_is_too_slow_is_told_so_after_its_retries(self):
        too_slow = modal.Function.from_name("e2e-chat", "too_slow")
        with self.assertRaises(modal.exception.FunctionTimeoutError):
            too_slow.remote("slow")
        self.assertEqual(modal.Dict.from_name("e2e-chat-loads")["slow"], 2)


if __name__ == "__main__":
    main()
