#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is used while a program is written: served and changed, run, its hooks in their order."""
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request

from thaw_server import APPS, BUILD_TIMEOUT, CALL_TIMEOUT, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402


def answer_of(url):
    try:
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as reply:
            return json.load(reply)
    except (urllib.error.URLError, ConnectionError):
        return None


class Served:
    """`modal serve` of a file, as long as it is entered."""

    def __init__(self, file):
        self.text = ""
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "modal", "serve", str(file)], text=True,
            env={**os.environ, **server.client_environment()}, cwd=file.parent,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while piece := os.read(self.process.stdout.fileno(), 4096):
            self.text += piece.decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(2)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def url(self):
        found = wait_until(
            lambda: re.search(r"Created Function page\W+(http://\S+)\s", self.text)
            or (self.process.poll() is not None and self.fail()),
            180, "the address of the page",
        )  # fmt: skip
        return found[1]

    def fail(self):
        raise AssertionError(f"modal serve ended with {self.process.returncode}: {self.text}")


class Development(E2eTest):
    server = server

    def copy(self, folder):
        made = server.folder / folder
        made.mkdir()
        file = made / "served.py"
        file.write_text((APPS / "served.py").read_text())
        return file

    def test_a_program_that_is_served_answers_as_it_is_written_now(self):
        file = self.copy("written")
        with Served(file) as served:
            url = served.url()
            self.assertEqual(answer_of(url), "the first answer")
            for word in ("second", "third"):
                text = re.sub('ANSWER = ".*"', f'ANSWER = "the {word} answer"', file.read_text())
                file.write_text(text)
                wait_until(lambda: answer_of(url) == f"the {word} answer", BUILD_TIMEOUT,
                           f"the {word} answer", pause=0.5)  # fmt: skip
            # What cannot be imported leaves what was there, until it can.
            good = file.read_text()
            file.write_text(good + "\nthis is no program\n")
            wait_until(lambda: "SyntaxError" in served.text, CALL_TIMEOUT, "the client says so")
            self.assertEqual(answer_of(url), "the third answer")
            file.write_text(good.replace("third", "last"))
            wait_until(lambda: answer_of(url) == "the last answer", BUILD_TIMEOUT,
                       "the last answer", pause=0.5)  # fmt: skip
        server.wait_for_zero(60)

    def test_what_a_function_returns_is_written_to_a_file(self):
        path = server.folder / "result.txt"
        server.modal("run", "-w", path, f"{APPS / 'served.py'}::told", "--times", "2")
        self.assertEqual(path.read_text(), "the first answer" * 2)

    def test_the_hooks_of_a_class_run_in_their_order(self):
        shown = server.modal("run", f"{APPS / 'served.py'}::main").stdout
        found = re.findall(r"order (\d)", shown)
        self.assertEqual(found, sorted(found))
        self.assertGreaterEqual(set(found), set("1234"))

    def test_an_app_is_stopped_from_a_program(self):
        app = modal.App("e2e-stopped", image=modal.Image.debian_slim())
        app.function(serialized=True, name="f", min_containers=1)(lambda: 1)
        app.deploy()
        self.assertEqual(modal.Function.from_name("e2e-stopped", "f").remote(), 1)
        found = modal.App.lookup("e2e-stopped")
        found.stop()
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Function.from_name("e2e-stopped", "f").remote()
        server.wait_for_zero(60)
        lifecycle = found.info(refresh=True).lifecycle
        self.assertEqual(lifecycle.state.value, "stopped")
        self.assertTrue(lifecycle.stopped_by)


if __name__ == "__main__":
    main()
