#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Images become functions as they are: those of Cog that somebody pushes to the server's own
registry are versions of models, and `thaw push --image` takes any image."""
import http.client
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import uuid

from oci_layout import Layout, tar_of
from thaw_server import (
    BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, skip_all, wait_until,
)  # fmt: skip

if shutil.which("skopeo") is None:
    skip_all("skopeo is not installed; tools/setup installs it")

# What stands by, and what is restored, is other tests'.
server = ThawServer.for_module(config="[cold_start]\nstandby_s = 0\n")
PREDICTOR = """\
from cog import BasePredictor
class Predictor(BasePredictor):
    async def predict(self, text: str) -> str:
        return text.upper()
"""
YAML = "predict: predict.py:Predictor\nbuild:\n  python_version: \"3.11\"\n"
KEPT = ("PATH", "LANG", "PYTHONUNBUFFERED", "COG_PREDICT_TYPE_STUB")


def thaw(*arguments, check=True):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, text=True, timeout=BUILD_TIMEOUT)  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done


def json_of(*arguments):
    return json.loads(thaw(*arguments, "--json").stdout)


def new_token(*options):
    made = json_of("token", "create", f"t-{uuid.uuid4().hex[:8]}", *options)
    return f"{made['token']}:{made['secret']}"


def ask(method, path, body=None, token=None, **headers):
    """(status, headers, body) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def replicate(method, path, body=None, **headers):
    body = None if body is None else json.dumps(body)
    return json.loads(ask(method, f"/replicate/v1/{path}", body, ANN, **headers)[2])


def predict(model, version, text):
    return replicate("POST", "predictions", {"version": version, "input": {"text": text}},
                     prefer="wait=60")  # fmt: skip


def skopeo(layout, name, token, check=True):
    done = subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false",
         "--dest-creds", token,
         f"oci:{layout}", f"docker://127.0.0.1:{server.port}/{name}"],
        capture_output=True, text=True, timeout=BUILD_TIMEOUT,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"skopeo ended with {done.returncode}: {done.stderr}")
    return done


def digest_in(layout):
    index = json.loads((layout.folder / "index.json").read_text())
    return index["manifests"][0]["digest"].split(":")[1]


def cog_processes():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"cog.server.http" in words and MARK in (entry / "environ").read_bytes():
                    yield entry
            except OSError:
                pass


def root_of_a_cog_server(folder):
    """What a container of the real cog package has, as one layer, and how it is started: what
    Cog's own builds put into an image, for which there is no Docker here."""
    source = folder / "source"
    source.mkdir()
    (source / "predict.py").write_text(PREDICTOR)
    (source / "cog.yaml").write_text(YAML)
    thaw("push", source, "seed", "--no-snapshot", "--env", f"MARK={MARK.decode()}")
    status, _, body = ask("POST", "/fn/seed/predictions", json.dumps({"input": {"text": "a"}}),
                          content_type="application/json")  # fmt: skip
    assert status == 200, body
    process = next(cog_processes())
    env = [one for one in (process / "environ").read_bytes().decode().split("\0")
           if one.partition("=")[0] in KEPT]  # fmt: skip
    layer = folder / "layer.tar"
    subprocess.run(
        ["tar", "-C", process / "root", "--one-file-system", "--numeric-owner", "--owner=0",
         "--group=0", "--exclude=./tmp/*", "--exclude=./run/*", "--exclude=./var/lib/*",
         "--exclude=./usr/share/*", "-cf", layer, "."],
        check=True,
    )  # fmt: skip
    thaw("function", "rm", "seed")
    config = {
        "Env": env, "WorkingDir": "/src", "Cmd": ["python", "-m", "cog.server.http"],
        "ExposedPorts": {"5000/tcp": {}},
    }  # fmt: skip
    return layer.read_bytes(), config


FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="e2e-pushed-images-"))
MARK = uuid.uuid4().hex.encode()
ANN = new_token()
try:
    LAYER, CONFIG = root_of_a_cog_server(FOLDER)
finally:
    shutil.rmtree(FOLDER)
with tarfile.open(fileobj=io.BytesIO(LAYER)) as archive:
    SCHEMA = archive.extractfile("./src/.cog/openapi_schema.json").read().decode()


class Images(E2eTest):
    server = server

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="e2e-pushed-images-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.owner = f"o{uuid.uuid4().hex[:8]}"

    def image(self, number=1, schema=SCHEMA, **labels):
        """Of Cog; another image for another number, of the same layers."""
        labels = {
            "run.cog.version": "0.23.1", "run.cog.config": json.dumps({"build": {}}),
            "run.cog.openapi_schema": schema, "number": str(number), **labels,
        }  # fmt: skip
        folder = self.folder / uuid.uuid4().hex
        return Layout(folder, [LAYER], {**CONFIG, "Labels": labels}, compressed=False)

    def small(self, config):
        """One that nobody runs."""
        folder = self.folder / uuid.uuid4().hex
        return Layout(folder, [tar_of({"marker": uuid.uuid4().hex})], config)

    def versions(self, model):
        shown = thaw("model", "show", model, "--json", check=False)
        if shown.returncode != 0:
            return []
        return [one["id"] for one in json.loads(shown.stdout)["versions"]]


class Registry(Images):
    def test_what_is_pushed_is_a_version_that_runs_and_the_same_image_is_no_other_one(self):
        model = f"{self.owner}/loud"
        first, second = self.image(1), self.image(2)
        skopeo(first, f"{model}:latest", ANN)
        one, two = digest_in(first), digest_in(second)
        self.assertEqual(self.versions(model), [one])
        shown = json_of("model", "show", model)
        self.assertEqual(shown["latest_version"]["made_with"], "0.23.1")
        self.assertIn("text", json.dumps(shown["latest_version"]["schema"]))
        self.assertIn(model.partition("/")[2], thaw("model", "list").stdout)
        known = replicate("GET", f"models/{model}/versions")["results"]
        self.assertEqual([version["id"] for version in known], [one])
        done = predict(model, one, "a")
        self.assertEqual((done["status"], done["output"]), ("succeeded", "A"), done)
        # By another tag, or once more: it is there.
        skopeo(first, f"{model}:again", ANN)
        self.assertEqual(self.versions(model), [one])
        skopeo(second, f"{model}:latest", ANN)
        self.assertEqual(self.versions(model), [two, one])
        self.assertEqual(json_of("model", "show", model)["latest_version"]["id"], two)
        # What was pushed last is what the model is.
        skopeo(first, f"{model}:latest", ANN)
        self.assertEqual(sorted(self.versions(model)), sorted([one, two]))
        self.assertEqual(json_of("model", "show", model)["latest_version"]["id"], one)
        # What was acknowledged is there after a death.
        server.kill()
        server.start()
        self.assertEqual(sorted(self.versions(model)), sorted([one, two]))

    def test_a_label_that_cannot_be_costs_a_warning_and_the_image_stays(self):
        model = f"{self.owner}/bad"
        for schema in ("{", json.dumps({"x": "y" * 600_000})):
            layout = self.small({"Labels": {"run.cog.openapi_schema": schema}})
            skopeo(layout, f"{model}:1", ANN)
            manifest = (layout.folder / "blobs/sha256" / digest_in(layout)).read_bytes()
            status, headers, _ = ask(
                "PUT", f"/v2/{model}/manifests/2", manifest, ANN,
                content_type="application/vnd.oci.image.manifest.v1+json",
            )  # fmt: skip
            self.assertEqual(status, 201)
            self.assertIn("its label run.cog.openapi_schema", headers["warning"])
            status, _, _ = ask("GET", f"/v2/{model}/manifests/2", token=ANN)
            self.assertEqual(status, 200)
        self.assertEqual(self.versions(model), [])
        skopeo(self.small({"Labels": {"run.cog.version": "1"}}), f"{self.owner}/a/b:1", ANN)
        self.assertEqual(self.versions(f"{self.owner}/a"), [])

    def test_a_function_that_is_no_model_is_not_replaced(self):
        name = f"{self.owner}-plain"
        skopeo(self.small({"Cmd": ["/x"]}), f"{self.owner}/base:1", ANN)
        image = f"127.0.0.1:{server.port}/{self.owner}/base:1"
        thaw("push", "--image", image, name)
        before = json_of("function", "show", name)["version"]
        skopeo(self.small({"Labels": {"run.cog.openapi_schema": SCHEMA}}),
               f"{self.owner}/plain:1", ANN)  # fmt: skip
        self.assertEqual(json_of("function", "show", name)["version"], before)
        self.assertEqual(self.versions(f"{self.owner}/plain"), [])

    def test_who_may_not_push_makes_no_version_and_each_workspace_has_its_own(self):
        model = f"{self.owner}/own"
        layout = self.small({"Labels": {"run.cog.openapi_schema": SCHEMA}})
        reader = new_token("--scope", "read")
        self.assertNotEqual(skopeo(layout, f"{model}:1", reader, check=False).returncode, 0)
        other = f"w{uuid.uuid4().hex[:8]}"
        thaw("workspace", "create", other)
        skopeo(layout, f"{model}:1", new_token("--workspace", other))
        self.assertEqual(self.versions(model), [])
        skopeo(layout, f"{model}:1", new_token("--scope", "read,deploy"))
        self.assertEqual(self.versions(model), [digest_in(layout)])


class Push(Images):
    def test_an_image_of_cog_is_a_model_as_its_folder_would_be(self):
        skopeo(self.image(3), f"{self.owner}/store:1", ANN)
        image = f"127.0.0.1:{server.port}/{self.owner}/store:1"
        said = thaw("push", "--image", image, f"{self.owner}/named:best", "--no-snapshot",
                    "--concurrency", "2", "--description", "shouts").stdout  # fmt: skip
        self.assertIn(f"model    {self.owner}/named, private", said)
        self.assertIn("preset   cog (as the image says), port 5000", said)
        shown = json_of("model", "show", f"{self.owner}/named")
        self.assertEqual(shown["description"], "shouts")
        self.assertEqual(shown["latest_version"]["concurrency"], 2)
        done = predict(f"{self.owner}/named", shown["latest_version"]["id"], "b")
        self.assertEqual((done["status"], done["output"]), ("succeeded", "B"), done)
        process = next(iter(wait_until(
            lambda: [one for one in pathlib.Path("/proc").iterdir() if one.name.isdigit()
                     and is_cog_of_two(one)], CALL_TIMEOUT, "its server runs")))  # fmt: skip
        self.assertTrue(process)
        function = json_of("function", "show", f"{self.owner}-named")
        self.assertEqual((function["snapshot"], function["concurrency"]), ("never", 2))
        self.assertIn("best", function["aliases"])

    def test_any_other_image_is_a_function(self):
        static = THAW_BIN.parent / "static_http_server"
        if not static.exists():
            self.skipTest(f"there is no {static}; the whole build makes it")
        layer = self.folder / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            archive.add(static, "server")
        config = {"Entrypoint": ["/server"], "ExposedPorts": {"8099/tcp": {}}}
        layout = Layout(self.folder / "static", [layer.read_bytes()], config)
        skopeo(layout, f"{self.owner}/web:1", ANN)
        image = f"127.0.0.1:{server.port}/{self.owner}/web"
        said = thaw("push", "--image", f"{image}:1", "--max", "1").stdout
        self.assertIn("web is published", said)
        self.assertIn("preset   plain (as the image says), port 8099", said)
        self.assertEqual(ask("GET", "/fn/web/")[0], 200)
        for arguments, why in [
            ((f"{image}:none",), "has no"),
            ((f"{image}:1", "a", "b"), "there is no folder"),
            (("not an image",), "image"),
            ((f"{image}:1", "--description", "x"), "none of Cog's labels"),
        ]:
            done = thaw("push", "--image", *arguments, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(why, done.stderr)

    def test_a_token_for_some_functions_makes_no_other_model_of_an_image(self):
        skopeo(self.small({"Labels": {"run.cog.openapi_schema": SCHEMA}}),
               f"{self.owner}/narrow:1", ANN)  # fmt: skip
        narrow = new_token("--function", "mine")
        body = {"name": "mine", "image": f"127.0.0.1:{server.port}/{self.owner}/narrow:1",
                "model": {"owner": self.owner, "name": "stolen"}}  # fmt: skip
        status, _, said = ask("POST", "/api/v1/functions", json.dumps(body), narrow)
        self.assertEqual(status, 403, said)
        self.assertEqual(self.versions(f"{self.owner}/stolen"), [])


def is_cog_of_two(entry):
    try:
        return (b"cog.server.http" in (entry / "cmdline").read_bytes() and
                b"COG_MAX_CONCURRENCY=2" in (entry / "environ").read_bytes())  # fmt: skip
    except OSError:
        return False


if __name__ == "__main__":
    main()
