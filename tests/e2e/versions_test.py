#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other versions of the real client than the pinned one: containers get the one that asks."""
import json
import os
import re
import subprocess
import urllib.request

from thaw_server import APPS, BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, E2eTest, ThawServer, main

server = ThawServer.for_module()


def client(name):
    """The bin folder of the environment with a client, and the version of that."""
    listing = ROOT / "tests/clients" / name
    version = re.search(r"^modal==(.+)$", listing.read_text(), re.M).group(1)
    found = subprocess.run([ROOT / "tools/client", listing], check=True, text=True,
                           stdout=subprocess.PIPE)  # fmt: skip
    return found.stdout.strip().splitlines()[-1], version


def run(*command):
    done = subprocess.run(command, cwd=APPS, text=True, capture_output=True, timeout=BUILD_TIMEOUT,
                          env={**os.environ, **server.client_environment()},
                          stdin=subprocess.DEVNULL)  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout}{done.stderr}\n{server.log_tail()}")
    return done.stdout


LOOK_UP = """
import modal
print(modal.Cls.from_name("e2e-versions", "Counter")().add.remote(4))
web = modal.Function.from_name("e2e-versions", "web")
print(web.get_web_url() if hasattr(web, "get_web_url") else web.web_url)
"""


class Versions(E2eTest):
    server = server

    def check(self, name):
        folder, version = client(name)
        shown = run(f"{folder}/modal", "run", "versions.py")
        self.assertIn(f"the container has {version}", shown)
        self.assertIn("the square is 1764", shown)
        self.assertIn("[0, 1, 4, 9] 25", shown)
        self.assertIn("carried by thaw_http2 and grpclib.protocol", shown)
        self.assertIn("13 [0, 1, 2]", shown)
        self.assertIn("it failed: unsupported operand", shown)
        run(f"{folder}/modal", "deploy", "versions.py")
        answer, url = run(f"{folder}/python", "-c", LOOK_UP).split()
        self.assertEqual(answer, "14")
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as reply:
            self.assertEqual(json.load(reply), {"six": "1.17.0", "humanize": "4.13.0"})

    def test_the_pinned_client_and_what_carries_its_containers_rpcs(self):
        self.check("modal.txt")

    def test_a_client_of_1_2(self):
        self.check("modal-1.2.txt")

    def test_a_client_of_1_0_whose_images_hold_what_it_needs(self):
        self.check("modal-1.0.txt")

    def test_a_client_of_0_77(self):
        self.check("modal-0.77.txt")

    def test_a_client_of_0_73(self):
        self.check("modal-0.73.txt")


if __name__ == "__main__":
    main()
