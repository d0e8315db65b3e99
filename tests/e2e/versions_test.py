#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Other versions of the real client than the pinned one: containers get the one that asks."""
import json
import urllib.request

from older_clients import client
from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, main

server = ThawServer.for_module()

LOOK_UP = """
import modal
print(modal.Cls.from_name("e2e-versions", "Counter")().add.remote(4))
web = modal.Function.from_name("e2e-versions", "web")
print(web.get_web_url() if hasattr(web, "get_web_url") else web.web_url)
"""


class Versions(E2eTest):
    server = server

    def check(self, name):
        shown = client(name).modal(server, "run", "versions.py").stdout
        self.assertIn(f"the container has {client(name).version}", shown)
        self.assertIn("the square is 1764", shown)
        self.assertIn("[0, 1, 4, 9] 25", shown)
        self.assertIn("carried by thaw_http2 and grpclib.protocol", shown)
        self.assertIn("13 [0, 1, 2]", shown)
        self.assertIn("it failed: unsupported operand", shown)
        client(name).modal(server, "deploy", "versions.py")
        answer, url = client(name).python(server, LOOK_UP).stdout.split()
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
