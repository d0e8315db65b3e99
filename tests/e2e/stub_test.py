#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of 2024 with the clients of that time: `modal.Stub` and words that have gone since."""
import json
import re
import urllib.request

from older_clients import client
from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, main

server = ThawServer.for_module(config='[gpu]\nwhen_missing = "cpu"\n')

LOOK_UP = """
import modal
from modal.exception import NotFoundError

square = modal.Function.lookup("e2e-stub", "square")
Model = modal.Cls.lookup("e2e-stub", "Model")
print("function", square.remote(6))
print("class", Model("looked", size=2).generate.remote("up"))
print("method", modal.Function.lookup("e2e-stub", "Model.generate").object_id[:3])
if not modal.__version__.startswith("0.63."):  # which raises a TypeError of its own
    print("options", Model.with_options(container_idle_timeout=3)().generate.remote("o"))
call = square.spawn(7)
print("later", modal.functions.FunctionCall.from_id(call.object_id).get(timeout=60))
sleeping = modal.Function.lookup("e2e-stub", "sleeping")
first = sleeping.remote(0)
call = sleeping.spawn(3000)
while modal.Function.lookup("e2e-stub", "sleeping").get_current_stats().backlog:
    pass
call.cancel()
print("cancelled", sleeping.remote(0) > 0)
modal.Function.lookup("e2e-stub", "together").keep_warm(0)
kept = modal.Dict.lookup("e2e-stub-dict", create_if_missing=True)
kept["a"] = {"b": 1}
print("dict", kept["a"], kept.contains("a"), kept.len(), kept.pop("a"))
line = modal.Queue.lookup("e2e-stub-queue", create_if_missing=True)
line.put(5)
print("queue", line.len(), line.get(), line.get(block=False))
for name in ("page", "asgi"):
    print("url", modal.Function.lookup("e2e-stub", name).web_url)
print("url", modal.Cls.lookup("e2e-stub", "Model")().web.web_url)
try:
    modal.Function.lookup("e2e-stub", "Model.nothing")
except NotFoundError as error:
    print("missing", error)
"""

# What a later client makes of what an older one has deployed.
LATER = """
import modal
print(modal.Function.from_name("e2e-stub", "square").remote(9))
print(modal.Cls.from_name("e2e-stub", "Model")(name="n", size=3).generate.remote("x"))
"""

NEEDY = """
import modal
stub = modal.Stub("needy")

@stub.function(gpu=modal.gpu.A100(count=1, size="40GB"))
def train():
    return 1
"""

DEPLOY = """
import modal, modal.runner, stub
modal.runner.deploy_app(stub.stub, name="e2e-stub-by-api")
print(modal.Function.lookup("e2e-stub-by-api", "square").remote(8))
"""


ENV = {"PYTHONPATH": str(APPS)}


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as reply:
        return json.load(reply)


class Stub(E2eTest):
    server = server

    def check_run(self, of, program="stub.py"):
        shown = of.modal(server, "run", program, "--number", "42", env=ENV).stdout
        self.assertIn(f"the container has {of.version}", shown)
        for line in (
            "the square is 1764",
            "[0, 1, 4, 9] 25",
            "GPU False False",
            "['n0 of 3', 'n1 of 3', 'n2 of 3']",
            "('hello', ['__init__.py', ",
            "pickled 10",
            "[0, 1, 2]",
            "none/1/1: a big/7/1: b",
            "['one', 'two']",
            "weights of the build",
            "['big/1/1: c', 'big/1/1: d']",
            "it failed: as it was then",
        ):
            self.assertIn(line, shown)
        shown = of.modal(server, "run", "stub.py::square", "--number", "7", env=ENV).stdout
        self.assertIn("App completed", shown)

    def check_deployment(self, of, program="stub.py"):
        for time in ("first", "again"):
            with self.subTest(time):
                shown = of.modal(server, "deploy", program, env=ENV).stdout
                self.assertIn("App deployed", shown)
                found = of.python(server, LOOK_UP, env=ENV).stdout
                self.assertIn("function 36", found)
                self.assertIn("class looked/2/1: up", found)
                self.assertIn("method fu-", found)
                if not of.version.startswith("0.63."):
                    self.assertIn("options none/1/1: o", found)
                self.assertIn("later 49", found)
                self.assertIn("cancelled True", found)
                self.assertIn("missing ", found)
                self.assertIn("dict {'b': 1} True 1 {'b': 1}", found)
                self.assertIn("queue 1 5 None", found)
                page, asgi, web = re.findall("^url (.*)$", found, re.M)
                self.assertEqual(ask(page + "?name=x"), {"name": "x", "six": "1.17.0"})
                self.assertEqual(ask(asgi + "/deep/5"), {"square": 25})
                self.assertEqual(ask(web, {"prompt": "p"}), {"prompt": "p", "loaded": 1})
        self.assertEqual(of.python(server, DEPLOY, env=ENV).stdout.split()[-1], "64")
        self.assertIn("e2e-stub", of.modal(server, "app", "list", "--json").stdout)
        of.modal(server, "secret", "create", f"e2e-of-{of.version}", "A=1", "B=2")
        self.assertIn("e2e-of-", of.modal(server, "secret", "list", "--json").stdout)

    def test_a_client_of_0_64(self):
        self.check_run(client("modal-0.64.txt"))
        self.check_deployment(client("modal-0.64.txt"))
        later = client("modal.txt").python(server, LATER, env=ENV).stdout
        self.assertEqual(later.splitlines(), ["81", "n/3/1: x"])

    def test_a_client_of_0_63(self):
        self.check_run(client("modal-0.63.txt"))
        self.check_deployment(client("modal-0.63.txt"))

    def test_a_client_of_0_66(self):
        # It finds an `app` by itself, and no `stub` any more.
        self.check_run(client("modal-0.66.txt"), "stub.py::stub")
        self.check_deployment(client("modal-0.66.txt"), "stub.py::stub")


class NoGpu(E2eTest):
    def test_a_call_that_needs_a_gpu_is_told_that_there_is_none(self):
        own = ThawServer().start()
        self.addCleanup(own.close)
        program = own.folder / "needy.py"
        program.write_text(NEEDY)
        with self.assertRaises(AssertionError) as failed:
            client("modal-0.64.txt").modal(own, "run", f"{program}::train")
        told = " ".join(str(failed.exception).split("--- server log")[0].split())
        self.assertIn("train asks for GPU A100-40GB and this machine has none", told)


if __name__ == "__main__":
    main()
