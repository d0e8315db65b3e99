#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images of a real registry, filled by a real tool: pulled, with a login or without; imported."""
import crypt
import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
import warnings

from oci_layout import Layout, tar_of
from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, skip_all,
)  # fmt: skip

warnings.filterwarnings("ignore", category=DeprecationWarning)
LISTENS = re.compile(r'msg="listening on (127\.0\.0\.1:\d+)"')
USER, PASSWORD = "somebody", "a secret: of the registry"
TOOLS = ("docker-registry", "skopeo")

for tool in TOOLS:
    if shutil.which(tool) is None:
        skip_all(f"{tool} is not installed; tools/setup installs it")

server = ThawServer.for_module()


class Registry:
    """The registry of Debian's package, on a port of its own; with a password file if `closed`."""

    def __init__(self, closed=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="e2e-registry-"))
        config = {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": "127.0.0.1:0", "secret": "x"},
        }
        if closed:
            hashed = crypt.crypt(PASSWORD, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=2**5))
            (self.folder / "users").write_text(f"{USER}:{hashed}\n")
            config["auth"] = {"htpasswd": {"realm": "e2e", "path": str(self.folder / "users")}}
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self.process = subprocess.Popen(
            ["docker-registry", "serve", str(self.folder / "config.yml")],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := LISTENS.search(line):
                self.host = found[1]
                break
        else:
            raise AssertionError("the registry does not begin: " + "".join(said))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def put(self, layout, name, *options):
        """The image of an OCI layout, under a name; returns how Thaw calls it."""
        command = ["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", *options]
        login = ["--dest-creds", f"{USER}:{PASSWORD}"] if (self.folder / "users").exists() else []
        target = f"{self.host}/{name}"
        subprocess.run(
            [*command, *login, f"oci:{layout}", f"docker://{target}"], check=True,
            capture_output=True, timeout=CALL_TIMEOUT,
        )  # fmt: skip
        return target

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def python_root():
    """A root file system with Python, one that Thaw has made of Debian's packages."""
    cache = pathlib.Path(os.environ["THAW_IMAGE_CACHE"])
    if not list(cache.glob("bases/python-3.11-bookworm-*")):
        server.modal("deploy", "images.py", env={"E2E_IMAGE": "registry"})
    root = sorted(cache.glob("bases/python-3.11-bookworm-*"))[-1] / "fs"
    done = subprocess.run(
        ["tar", "--create", "--numeric-owner", "--directory", str(root), "."],
        check=True, capture_output=True, timeout=BUILD_TIMEOUT,
    )  # fmt: skip
    return done.stdout


def thaw(*arguments, check=True, timeout=BUILD_TIMEOUT):
    done = subprocess.run(
        [str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
        capture_output=True, text=True, timeout=timeout,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done


def run(image, login=None, add_python=None, check=True):
    """`modal run` of the function that looks at its image."""
    env = {"E2E_IMAGE": image, **({"E2E_LOGIN": login} if login else {})}
    env |= {"E2E_ADD_PYTHON": add_python} if add_python else {}
    return server.modal("run", "registries.py", env=env, check=check)


def found(done):
    return json.loads(done.stdout.split("found: ", 1)[1].splitlines()[0])


class Registries(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="e2e-layouts-"))
        root = python_root()
        upper = tar_of(
            {
                "marker": "of the layer\n",
                "etc/.wh.debian_version": "",
                "usr/share/misc/.wh..wh..opq": "",
                "usr/share/misc/only": "x",
            }
        )
        config = {
            "Env": [
                "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                "E2E_OF_THE_IMAGE=its own",
            ],
            "WorkingDir": "/srv",
            "Cmd": ["python3"],
        }
        cls.layout = Layout(cls.folder / "python", [root, upper], config)
        # One that no earlier run of this test has left in the cache.
        fresh = tar_of({"marker": "of another layer\n", "fresh": uuid.uuid4().hex})
        other = [root, upper, fresh]
        cls.other = Layout(cls.folder / "other", other, config)
        cls.bare = Layout(cls.folder / "bare", [tar_of({"marker": "x"})], {})
        cls.registry = Registry()
        cls.closed = Registry(closed=True)
        cls.image = cls.registry.put(cls.layout, "team/python:1")
        cls.private = cls.closed.put(cls.layout, "team/private:1")

    @classmethod
    def tearDownClass(cls):
        cls.registry.close()
        cls.closed.close()
        shutil.rmtree(cls.folder, ignore_errors=True)

    def fails(self, done, *told):
        self.assertNotEqual(done.returncode, 0)
        for words in told:
            self.assertIn(words, done.stdout + done.stderr)

    def test_a_function_runs_on_an_image_of_a_registry_and_on_one_that_shares_its_layers(self):
        saw = found(run(self.image))
        self.assertEqual(saw["python"], [3, 11])
        self.assertEqual(saw["env"], "its own")
        self.assertEqual(saw["cwd"], "/srv")
        self.assertEqual(saw["marker"], "of the layer\n")
        self.assertTrue(saw["deleted"])
        self.assertEqual(saw["hidden"], ["only"])
        other = self.registry.put(self.other, "team/other:1")
        done = run(other)
        self.assertEqual(found(done)["marker"], "of another layer\n")
        self.assertEqual(done.stdout.count("fetching layer"), 1, done.stdout)
        self.assertIn("fetching layer 3 of 3", done.stdout)

    def test_docker_s_own_form_and_a_digest_are_taken_too(self):
        name = self.registry.put(self.layout, "team/docker:1", "--format", "v2s2")
        self.assertEqual(found(run(name))["marker"], "of the layer\n")
        inspected = subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        digest = json.loads(inspected.stdout)["Digest"]
        by_digest = f"{self.registry.host}/team/docker@{digest}"
        self.assertEqual(found(run(by_digest))["marker"], "of the layer\n")

    def test_a_folder_whose_dockerfile_is_from_a_registry_is_pushed(self):
        folder = APPS / "pushed" / "pulled"
        thaw("push", folder, "pulled", "--build-arg", f"FROM_REGISTRY={self.image}")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", "/fn/pulled/")
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b"of the layer\nits own"))
        connection.close()

    def test_a_login_is_needed_where_the_registry_wants_one(self):
        host = self.closed.host
        self.fails(run(self.private, check=False), host, "REGISTRY_USERNAME")
        wrong = run(self.private, login=f"{USER}:wrong", check=False)
        self.fails(wrong, host, USER, "password")
        self.assertNotIn(PASSWORD, server.log_path.read_text(errors="replace"))
        done = run(self.private, login=f"{USER}:{PASSWORD}")
        self.assertEqual(found(done)["marker"], "of the layer\n")

    def test_what_is_not_there_is_told_with_its_name(self):
        missing = f"{self.registry.host}/team/python:missing"
        self.fails(run(missing, check=False), missing, "check its name and tag")
        gone = Registry()
        name = gone.put(self.bare, "team/gone:1")
        gone.close()
        self.fails(run(name, check=False), name, "is not there")
        self.fails(run("e2e-nobody/knows:1", check=False), "[images] default_registry")

    def test_an_image_without_anything_gets_a_python_or_says_what_to_do(self):
        name = self.registry.put(self.bare, "team/bare:1")
        self.fails(run(name, check=False), "has no Python", "add_python")
        # Not even a C library is in it.
        saw = found(run(name, add_python="3.11"))
        self.assertEqual((saw["python"], saw["marker"]), ([3, 11], "x"))
        done = run(name, add_python="3.12")
        self.assertEqual(found(done)["python"], [3, 13])
        self.assertIn("asks for Python 3.12", done.stdout + done.stderr)

    def test_images_are_imported_listed_and_removed(self):
        archive = self.folder / "docker.tar"
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", f"oci:{self.other}",
             f"docker-archive:{archive}:e2e/saved:2"], check=True, capture_output=True,
        )  # fmt: skip
        self.assertIn("imported e2e/saved:2", thaw("image", "import", archive).stdout)
        self.assertIn("imported e2e/layout:latest",
                      thaw("image", "import", self.layout, "e2e/layout").stdout)
        root = self.folder / "root.tar"
        root.write_bytes(tar_of({"marker": "of a root\n"}))
        thaw("image", "import", root, "e2e/root:1")
        listed = {one["name"]: one for one in json.loads(thaw("image", "list", "--json").stdout)}
        self.assertEqual(listed["e2e/saved:2"]["python"], "3.11")
        self.assertEqual(listed["e2e/saved:2"]["layers"], 3)
        self.assertEqual(listed["e2e/root:1"]["layers"], 1)
        self.assertIn("e2e/layout:latest", thaw("image", "list").stdout)
        self.assertEqual(found(run("e2e/saved:2"))["marker"], "of another layer\n")
        self.assertEqual(found(run("e2e/layout"))["marker"], "of the layer\n")
        # Names are there after a start anew, too.
        server.stop()
        server.start().use()
        self.assertEqual(found(run("e2e/saved:2"))["marker"], "of another layer\n")
        thaw("image", "rm", "e2e/saved:2")
        self.assertNotIn("e2e/saved:2", thaw("image", "list").stdout)
        self.fails(run("e2e/saved:2", check=False), "e2e/saved:2", "[images] default_registry")

    def test_what_cannot_be_imported_says_why(self):
        for arguments, told in (
            (["/no/such/file", "a"], "there is no /no/such/file"),
            ([__file__, "a"], "tar"),
            ([self.layout, "debian:bookworm"], "is made by Thaw itself"),
            ([self.layout, "Not/A Name"], "is no name of an image"),
            ([self.layout], "has no name of its own"),
        ):
            with self.subTest(arguments=arguments):
                done = thaw("image", "import", *arguments, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(told, done.stderr)
        self.assertIn("was imported as 'nobody'", thaw("image", "rm", "nobody", check=False).stderr)


if __name__ == "__main__":
    main()
