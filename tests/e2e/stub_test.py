#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of 2024 with the clients of that time: `modal.Stub` and words that have gone since."""
import json
import os
import pathlib
import re
import subprocess
import urllib.request

from thaw_server import APPS, BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, E2eTest, ThawServer, main

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


def client(name):
    """The bin folder of the environment with a client, and the version of that."""
    listing = ROOT / "tests/clients" / name
    version = re.search(r"^modal==(.+)$", listing.read_text(), re.M).group(1)
    found = subprocess.run([ROOT / "tools/client", listing], check=True, text=True,
                           stdout=subprocess.PIPE)  # fmt: skip
    return pathlib.Path(found.stdout.strip().splitlines()[-1]), version


def run(*command, of=server):
    done = subprocess.run(command, cwd=APPS, text=True, capture_output=True, timeout=BUILD_TIMEOUT,
                          env={**os.environ, **of.client_environment(), "PYTHONPATH": str(APPS)},
                          stdin=subprocess.DEVNULL)  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout}{done.stderr}\n{of.log_tail()}")
    return done.stdout


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as reply:
        return json.load(reply)


class Stub(E2eTest):
    server = server

    def check_run(self, folder, version, program="stub.py"):
        shown = run(f"{folder}/modal", "run", program, "--number", "42")
        self.assertIn(f"the container has {version}", shown)
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
        shown = run(f"{folder}/modal", "run", "stub.py::square", "--number", "7")
        self.assertIn("App completed", shown)

    def check_deployment(self, folder, program="stub.py"):
        for time in ("first", "again"):
            with self.subTest(time):
                shown = run(f"{folder}/modal", "deploy", program)
                self.assertIn("App deployed", shown)
                found = run(f"{folder}/python", "-W", "ignore", "-c", LOOK_UP)
                self.assertIn("function 36", found)
                self.assertIn("class looked/2/1: up", found)
                self.assertIn("method fu-", found)
                if "modal-0.63" not in str(folder):
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
        self.assertEqual(run(f"{folder}/python", "-W", "ignore", "-c", DEPLOY).split()[-1], "64")
        self.assertIn("e2e-stub", run(f"{folder}/modal", "app", "list", "--json"))
        run(f"{folder}/modal", "secret", "create", f"e2e-of-{folder.parent.name}", "A=1", "B=2")
        self.assertIn("e2e-of-", run(f"{folder}/modal", "secret", "list", "--json"))

    def test_a_client_of_0_64(self):
        folder, version = client("modal-0.64.txt")
        self.check_run(folder, version)
        self.check_deployment(folder)
        later = run(f"{client('modal.txt')[0]}/python", "-c", LATER)
        self.assertEqual(later.splitlines(), ["81", "n/3/1: x"])

    def test_a_client_of_0_63(self):
        folder, version = client("modal-0.63.txt")
        self.check_run(folder, version)
        self.check_deployment(folder)

    def test_a_client_of_0_66(self):
        folder, version = client("modal-0.66.txt")
        # It finds an `app` by itself, and no `stub` any more.
        self.check_run(folder, version, "stub.py::stub")
        self.check_deployment(folder, "stub.py::stub")


class NoGpu(E2eTest):
    def test_a_call_that_needs_a_gpu_is_told_that_there_is_none(self):
        folder, _ = client("modal-0.64.txt")
        own = ThawServer().start()
        self.addCleanup(own.close)
        program = own.folder / "needy.py"
        program.write_text(NEEDY)
        with self.assertRaises(AssertionError) as failed:
            run(f"{folder}/modal", "run", f"{program}::train", of=own)
        told = " ".join(str(failed.exception).split("--- server log")[0].split())
        self.assertIn("train asks for GPU A100-40GB and this machine has none", told)


if __name__ == "__main__":
    main()
