#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server's own registry: real tools push to it and pull from it; and what else may come."""
import base64
import concurrent.futures
import contextlib
import hashlib
import http.client
import io
import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
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

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LARGE = os.environ.get("THAW_TEST_LARGE")  # write gigabytes
QUOTA_GB = 4 if LARGE else 0.25

server = ThawServer.for_module(
    config=f"[limits]\nworkspace_disk_gb = {QUOTA_GB}\n[storage]\nsweep_every_s = 1\n"
    "keep_unused_s = 1\n"
)


def thaw(*arguments, check=True):
    done = subprocess.run(
        [str(THAW_BIN), *map(str, arguments)], capture_output=True, text=True,
        timeout=BUILD_TIMEOUT,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done


def new_token(*options):
    made = thaw("token", "create", f"t-{uuid.uuid4().hex[:8]}", *options, "--json", "--data",
                server.data)  # fmt: skip
    answer = json.loads(made.stdout)
    return f"{answer['token']}:{answer['secret']}"


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Answer:
    def __init__(self, answer):
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.challenges = answer.headers.get_all("www-authenticate", [])
        self.body = answer.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json["errors"][0]["code"]


class Client:
    """One who speaks the protocol by hand, by Basic unless said otherwise."""

    def __init__(self, credentials):
        self.credentials = credentials

    @property
    def basic(self):
        return "Basic " + base64.b64encode(self.credentials.encode()).decode()

    def head(self, method, path, length):
        """Of a request whose body is sent by hand."""
        return (
            f"{method} {path} HTTP/1.1\r\nhost: {server.address}\r\n"
            f"authorization: {self.basic}\r\ncontent-length: {length}\r\n\r\n"
        ).encode()

    def __call__(self, method, path, body=None, authorization=None, **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["authorization"] = self.basic if authorization is None else authorization
        if not sent["authorization"]:
            del sent["authorization"]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        try:
            connection.request(method, path, body=body, headers=sent)
        except BrokenPipeError:
            pass  # what is refused is not read to its end
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def push_blob(self, name, content):
        answer = self("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", content)
        assert answer.status == 201, (answer.status, answer.body)
        return {
            "mediaType": "application/octet-stream",
            "digest": digest_of(content),
            "size": len(content),
        }

    def push_image(self, name, reference, content=b"{}", **more):
        blob = self.push_blob(name, content)
        manifest = json.dumps(
            {
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": {**blob, "mediaType": CONFIG}, "layers": [blob], **more,
            }
        ).encode()  # fmt: skip
        reference = reference or digest_of(manifest)
        answer = self(
            "PUT", f"/v2/{name}/manifests/{reference}", manifest, content_type=MANIFEST
        )
        assert answer.status == 201, (answer.status, answer.body)
        return manifest, answer

    def begin(self, name):
        answer = self("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, (answer.status, answer.body)
        return answer.headers["location"]


ann = Client(new_token())
thaw("workspace", "create", "others", "--data", server.data)
bob = Client(new_token("--workspace", "others"))


def skopeo(*arguments, client=ann, check=True):
    command = ["skopeo", "--insecure-policy", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CALL_TIMEOUT)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done


def push(layout, name, *options, client=ann, check=True):
    return skopeo(
        "copy", "--dest-tls-verify=false", "--dest-creds", client.credentials, *options,
        f"oci:{layout}", f"docker://{server.address}/{name}", check=check,
    )  # fmt: skip


def pull(name, folder, client=ann, check=True):
    return skopeo(
        "copy", "--src-tls-verify=false", "--src-creds", client.credentials,
        f"docker://{server.address}/{name}", f"oci:{folder}", check=check,
    )  # fmt: skip


class RegistryTest(E2eTest):
    server = server

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="e2e-registry-"))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.name = f"team/{uuid.uuid4().hex[:10]}"


class Tools(RegistryTest):
    """skopeo, whose library podman and buildah have too."""

    def layout(self, compressed=True):
        files = {"marker": "of the image\n", "fresh": uuid.uuid4().hex}
        layers = [tar_of(files), tar_of({"big": "x" * 300_000 + uuid.uuid4().hex})]
        return Layout(self.folder / "layout", layers, {"Cmd": ["/x"]}, compressed)

    def layers_of(self, name):
        manifest = ann("GET", f"/v2/{name}/manifests/1").json
        return [layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]]

    def test_what_was_pushed_is_pulled_as_it_was(self):
        layout = self.layout()
        push(layout, f"{self.name}:1")
        self.assertEqual(self.layers_of(self.name), ["gzip", "gzip"])
        pull(f"{self.name}:1", self.folder / "back")
        sent = {path.name for path in (self.folder / "layout/blobs/sha256").iterdir()}
        back = {path.name for path in (self.folder / "back/blobs/sha256").iterdir()}
        self.assertEqual(sent, back)

    def test_layers_by_zstd_and_manifests_of_docker_are_kept_as_well(self):
        layout = self.layout(compressed=False)
        push(layout, f"{self.name}:1", "--format", "oci", "--dest-compress-format", "zstd")
        self.assertEqual(self.layers_of(self.name), ["zstd", "zstd"])
        pull(f"{self.name}:1", self.folder / "zstd")
        other = self.name + "-docker"
        # Other layers: skopeo remembers that those are here by zstd, which Docker's form has not.
        layout = Layout(self.folder / "plain", [tar_of({"f": uuid.uuid4().hex})], {"Cmd": ["/x"]})
        push(layout, f"{other}:1", "--format", "v2s2")
        answer = ann("GET", f"/v2/{other}/manifests/1")
        self.assertIn("vnd.docker.distribution.manifest.v2", answer.headers["content-type"])
        pull(f"{other}:1", self.folder / "docker")

    def test_tags_are_listed_and_an_image_is_inspected_and_deleted(self):
        push(self.layout(), f"{self.name}:1")
        asked = ("--tls-verify=false", "--creds", ann.credentials)
        target = f"docker://{server.address}/{self.name}"
        tags = json.loads(skopeo("list-tags", *asked, target).stdout)
        self.assertEqual(tags["Tags"], ["1"])
        self.assertEqual(json.loads(skopeo("inspect", *asked, target + ":1").stdout)["Os"], "linux")
        skopeo("delete", *asked, target + ":1")
        self.assertNotEqual(skopeo("inspect", *asked, target + ":1", check=False).returncode, 0)

    def test_who_has_no_token_or_another_workspace_s_gets_nothing(self):
        push(self.layout(), f"{self.name}:1")
        self.assertNotEqual(pull(f"{self.name}:1", self.folder / "b", bob, False).returncode, 0)
        wrong = Client(ann.credentials[:-4] + "AAAA")
        done = pull(f"{self.name}:1", self.folder / "w", wrong, check=False)
        self.assertNotEqual(done.returncode, 0)
        done = push(self.folder / "layout", "x:1", client=wrong, check=False)
        self.assertNotEqual(done.returncode, 0)

    def test_a_pushed_image_becomes_a_function_without_a_network(self):
        static = THAW_BIN.parent / "static_http_server"
        if not static.exists():
            self.skipTest(f"there is no {static}; the whole build makes it")
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            entry = tarfile.TarInfo("server")
            entry.size, entry.mode = static.stat().st_size, 0o755
            archive.addfile(entry, io.BytesIO(static.read_bytes()))
        layout = Layout(
            self.folder / "server", [out.getvalue()], {"Entrypoint": ["/server"], "Env": ["A=b"]}
        )
        push(layout, f"{self.name}:1")
        port = server.port
        for name in (f"127.0.0.1:{port}/{self.name}:1", f"localhost:{port}/{self.name}:1",
                     f"r8.im/{self.name}:1",
                     f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{self.name}:1"):  # fmt: skip
            with self.subTest(name=name):
                folder = self.folder / uuid.uuid4().hex
                folder.mkdir()
                (folder / "Dockerfile").write_text(f"FROM {name}\nENV PORT=8080\n")
                done = thaw("push", folder, "own-image", "--server", server.data, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)


class Protocol(RegistryTest):
    """Each route, as the specification has it."""

    def test_the_base_says_who_may_and_where_tokens_are_sold(self):
        self.assertEqual(ann("GET", "/v2/").status, 200)
        answer = ann("GET", "/v2/", authorization="")
        self.assertEqual((answer.status, answer.code), (401, "UNAUTHORIZED"))
        bearer, basic = answer.challenges
        self.assertIn(f'realm="http://127.0.0.1:{server.port}/v2/token"', bearer)
        self.assertTrue(basic.startswith("Basic "))

    def token(self, scope, client=ann):
        answer = client("GET", f"/v2/token?service=x&scope={scope}")
        self.assertEqual(answer.status, 200, answer.body)
        return "Bearer " + answer.json["token"]

    def test_a_token_is_good_for_its_scope_and_nothing_else(self):
        ann.push_image(self.name, "1")
        pulls = self.token(f"repository:{self.name}:pull")
        manifest = f"/v2/{self.name}/manifests/1"
        uploads = f"/v2/{self.name}/blobs/uploads/"
        self.assertEqual(ann("GET", manifest, authorization=pulls).status, 200)
        for method, path in (("POST", uploads), ("DELETE", manifest),
                             ("GET", "/v2/other/tags/list")):  # fmt: skip
            answer = ann(method, path, authorization=pulls)
            self.assertEqual(answer.status, 401)
            self.assertIn("scope=", answer.challenges[0])
        pushes = self.token(f"repository:{self.name}:pull,push")
        self.assertEqual(ann("POST", uploads, authorization=pushes).status, 202)
        # Another workspace's token for the same name finds that workspace's own, which is none.
        of_bob = self.token(f"repository:{self.name}:pull", bob)
        self.assertEqual(ann("GET", manifest, authorization=of_bob).status, 404)
        for broken in ("Bearer thaw-registry.x.y", pulls[:-1] + "g", pulls + "0"):
            self.assertEqual(ann("GET", manifest, authorization=broken).status, 401)

    def test_the_token_service_takes_a_form_and_refuses_who_has_no_password(self):
        user, _, password = ann.credentials.partition(":")
        form = f"grant_type=password&service=x&username={user}&password={password}"
        answer = ann("POST", "/v2/token", form + "&scope=repository:a:pull", authorization="")
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json["token"], answer.json["access_token"])
        for method, body, authorization in (
            ("GET", None, ""), ("GET", None, "Basic Og=="), ("GET", None, "Basic !"),
            ("POST", "grant_type=password&username=a&password=b", ""),
            ("POST", "grant_type=refresh_token&refresh_token=x", ""), ("POST", "", ""),
        ):  # fmt: skip
            answer = ann(method, "/v2/token", body, authorization)
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.challenges, ['Basic realm="thaw"'])

    def test_a_token_for_one_repository_is_told_of_no_other(self):
        ann.push_image(self.name, "1")
        ann.push_image(self.name + "-2", "1")
        pulls = self.token(f"repository:{self.name}:pull")
        answer = ann("GET", "/v2/_catalog", authorization=pulls)
        self.assertEqual(answer.json["repositories"], [self.name])

    def test_a_token_of_the_server_that_may_only_read_pulls_and_pushes_nothing(self):
        reader = Client(new_token("--scope", "read"))
        ann.push_image(self.name, "1")
        self.assertEqual(reader("GET", f"/v2/{self.name}/manifests/1").status, 200)
        answer = reader("POST", f"/v2/{self.name}/blobs/uploads/")
        self.assertEqual((answer.status, answer.code), (403, "DENIED"))
        caller = Client(new_token("--scope", "invoke"))
        self.assertEqual(caller("GET", f"/v2/{self.name}/manifests/1").status, 403)

    def test_a_blob_comes_in_pieces_which_are_checked(self):
        content = os.urandom(3_000_000)
        place = ann.begin(self.name)
        first, second = content[:1_000_000], content[1_000_000:]
        answer = ann("PATCH", place, first, content_range="0-999999")
        self.assertEqual((answer.status, answer.headers["range"]), (202, "0-999999"))
        answer = ann("PATCH", place, second, content_range="2000000-3999999")
        self.assertEqual((answer.status, answer.headers["range"]), (416, "0-999999"))
        answer = ann("GET", place)
        self.assertEqual((answer.status, answer.headers["range"]), (204, "0-999999"))
        self.assertEqual(ann("PATCH", place, second).status, 202)
        answer = ann("PUT", f"{place}?digest={digest_of(content)}")
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["docker-content-digest"], digest_of(content))
        blob = answer.headers["location"]
        self.assertEqual(ann("GET", blob).body, content)
        answer = ann("HEAD", blob)
        self.assertEqual((answer.status, answer.headers["content-length"]), (200, "3000000"))
        answer = ann("GET", blob, range="bytes=10-19")
        self.assertEqual((answer.status, answer.body), (206, content[10:20]))
        self.assertEqual(answer.headers["content-range"], "bytes 10-19/3000000")
        self.assertEqual(ann("GET", blob, range="bytes=-7").body, content[-7:])
        self.assertEqual(ann("GET", blob, range="bytes=3000000-").status, 416)
        self.assertEqual(ann("GET", place).code, "BLOB_UPLOAD_UNKNOWN")

    def test_a_piece_of_another_size_than_it_says_is_told(self):
        place = ann.begin(self.name)
        answer = ann("PATCH", place, iter([b"abc"]), content_range="0-9")
        self.assertEqual((answer.status, answer.code), (400, "SIZE_INVALID"))
        self.assertEqual(answer.headers["range"], "0-2")

    def test_an_upload_is_one_request_or_two_and_can_be_cancelled(self):
        content = os.urandom(100_000)
        place = ann.begin(self.name)
        self.assertEqual(ann("PUT", f"{place}?digest={digest_of(content)}", content).status, 201)
        ann.push_blob(self.name, content)
        ann.push_blob(self.name, b"")
        place = ann.begin(self.name)
        self.assertEqual(ann("DELETE", place).status, 204)
        self.assertEqual(ann("PATCH", place, b"x").status, 404)
        # An upload is of its repository.
        place = ann.begin(self.name)
        self.assertEqual(ann("GET", place.replace(self.name, "team/other")).status, 404)
        self.assertEqual(bob("GET", place).status, 404)

    def test_what_is_not_its_digest_is_refused_and_not_there(self):
        wrong = digest_of(b"other")
        place = ann.begin(self.name)
        answer = ann("PUT", f"{place}?digest={wrong}", b"bytes")
        self.assertEqual((answer.status, answer.code), (400, "DIGEST_INVALID"))
        self.assertEqual(ann("HEAD", f"/v2/{self.name}/blobs/{wrong}").status, 404)
        for digest in ("", "sha256:x", "sha512:" + "0" * 128, "md5:00", wrong.upper()):
            place = ann.begin(self.name)
            answer = ann("PUT", f"{place}?digest={digest}", b"bytes")
            self.assertEqual((answer.status, answer.code), (400, "DIGEST_INVALID"), digest)
        manifest, _ = ann.push_image(self.name, "1")
        answer = ann("PUT", f"/v2/{self.name}/manifests/{wrong}", manifest, content_type=MANIFEST)
        self.assertEqual((answer.status, answer.code), (400, "DIGEST_INVALID"))

    def test_an_upload_that_is_cut_goes_on_where_it_was(self):
        content = os.urandom(4_000_000)
        place = ann.begin(self.name)
        with socket.create_connection(("127.0.0.1", server.port)) as cut:
            cut.sendall(ann.head("PATCH", place, len(content)) + content[:2_500_000])
        # Nobody says when the server has noticed; what it took is what was sent.
        def far():
            answer = ann("GET", place)
            return int(answer.headers["range"].partition("-")[2]) + 1

        wait_until(lambda: far() > 1, CALL_TIMEOUT, "bytes of the cut request are kept")

        def goes_on():
            begin = far()
            rest = content[begin:]
            span = f"{begin}-{len(content) - 1}"
            return ann("PATCH", place, rest, content_range=span).status == 202

        wait_until(goes_on, CALL_TIMEOUT, "the upload goes on")
        self.assertEqual(ann("PUT", f"{place}?digest={digest_of(content)}").status, 201)

    def test_a_slow_sender_holds_up_nobody_and_its_bytes_count(self):
        content = b"slowly" * 10
        place = ann.begin(self.name)
        head = ann.head("PUT", f"{place}?digest={digest_of(content)}", len(content))
        with socket.create_connection(("127.0.0.1", server.port), CALL_TIMEOUT) as slow:
            slow.sendall(head)
            for byte in content:
                slow.sendall(bytes([byte]))
                self.assertEqual(bob("GET", "/v2/").status, 200)
            self.assertIn(b"201", slow.recv(4096).split(b"\r\n")[0])

    def test_two_requests_do_not_write_to_one_upload_at_once(self):
        place = ann.begin(self.name)
        with socket.create_connection(("127.0.0.1", server.port), CALL_TIMEOUT) as first:
            first.sendall(ann.head("PATCH", place, 2 << 20) + b"x" * (1 << 20))
            wait_until(lambda: ann("GET", place).headers["range"] != "0-0", CALL_TIMEOUT, "is busy")
            self.assertEqual(ann("PATCH", place, b"y").status, 409)
            self.assertEqual(ann("PUT", f"{place}?digest={digest_of(b'y')}", b"y").status, 409)
            self.assertEqual(ann("DELETE", place).status, 204)
        self.assertEqual(ann("GET", place).status, 404)

    def test_a_blob_is_mounted_from_a_repository_of_the_same_workspace(self):
        blob = ann.push_blob(self.name, os.urandom(1000))["digest"]
        to = f"/v2/{self.name}-2/blobs/uploads/?mount={blob}&from={self.name}"
        self.assertEqual(ann("POST", to).status, 201)
        self.assertEqual(ann("HEAD", f"/v2/{self.name}-2/blobs/{blob}").status, 200)
        # What is not there, or not his, is an upload like any other.
        self.assertEqual(bob("POST", to).status, 202)
        self.assertEqual(bob("HEAD", f"/v2/{self.name}-2/blobs/{blob}").status, 404)
        missing = to.replace(blob, digest_of(b"never"))
        self.assertEqual(ann("POST", missing).status, 202)
        # A token that may not read the one it comes from does not take it from there.
        only = self.token(f"repository:{self.name}-3:push")
        third = to.replace(f"{self.name}-2", f"{self.name}-3")
        self.assertEqual(ann("POST", third, authorization=only).status, 202)

    def test_a_manifest_that_names_what_is_not_there_is_refused(self):
        blob = ann.push_blob(self.name, b"{}")
        gone = {**blob, "digest": digest_of(b"never")}
        for manifest, kind in (
            ({"config": blob, "layers": [gone]}, MANIFEST),
            ({"config": gone, "layers": []}, MANIFEST),
            ({"manifests": [gone]}, INDEX),
        ):
            body = json.dumps({"schemaVersion": 2, "mediaType": kind, **manifest})
            answer = ann("PUT", f"/v2/{self.name}/manifests/1", body, content_type=kind)
            self.assertEqual((answer.status, answer.code), (404, "MANIFEST_BLOB_UNKNOWN"))
            self.assertIn(gone["digest"], answer.json["errors"][0]["message"])
        self.assertEqual(ann("GET", f"/v2/{self.name}/manifests/1").code, "MANIFEST_UNKNOWN")

    def test_what_is_no_manifest_is_refused(self):
        path = f"/v2/{self.name}/manifests/1"
        for body, kind in (
            (b"", MANIFEST), (b"{", MANIFEST), (b"[]", MANIFEST), (b"{}", MANIFEST),
            (b'{"schemaVersion":1}', "application/vnd.docker.distribution.manifest.v1+json"),
            (b"\xff" * 100, MANIFEST), (b"[" * 100_000, MANIFEST),
            (json.dumps({"schemaVersion": 2, "config": {}, "layers": []}), MANIFEST),
            (json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}), MANIFEST),
            (json.dumps({"schemaVersion": 2, "manifests": []}), "text/plain"),
        ):  # fmt: skip
            answer = ann("PUT", path, body, content_type=kind)
            self.assertEqual((answer.status, answer.code), (400, "MANIFEST_INVALID"), body[:50])
        answer = ann("PUT", path, b"x" * (5 << 20), content_type=MANIFEST)
        self.assertEqual((answer.status, answer.code), (413, "SIZE_INVALID"))
        for tag in ("-x", ".x", "x" * 129, "a%20b", "a:b"):
            answer = ann("PUT", f"/v2/{self.name}/manifests/{tag}", b"{}", content_type=MANIFEST)
            self.assertEqual(answer.status, 400, tag)

    def test_garbage_paths_are_refused_in_the_protocol_s_words(self):
        for path, status in (
            ("/v2/UPPER/tags/list", 400), ("/v2/../../etc/tags/list", 400),
            ("/v2/a%2f..%2fb/tags/list", 400), ("/v2/a%00b/tags/list", 400),
            ("/v2//tags/list", 400), ("/v2/nothing", 404), ("/v2/a/b/c/d", 404),
            ("/v2/" + "a/" * 3_000 + "tags/list", 404), ("/v2/a/blobs/sha256:..%2f..", 400),
            ("/v2/a/blobs/../../x", 404), ("/v2/a/tags/list?n=-1", 400),
            ("/v2/a/tags/list?n=x", 400), ("/v2/a/referrers/x", 400),
        ):  # fmt: skip
            answer = ann("GET", path)
            self.assertEqual(answer.status, status, path[:60])
            self.assertTrue(answer.json["errors"][0]["message"], path[:60])
        for method in ("PUT", "POST", "PATCH"):
            self.assertIn(ann(method, "/v2/a/tags/list").status, (400, 405), method)

    def test_tags_are_told_in_order_and_in_pages(self):
        for tag in ("b", "a", "d", "c"):
            ann.push_image(self.name, tag)
        path = f"/v2/{self.name}/tags/list"
        self.assertEqual(ann("GET", path).json, {"name": self.name, "tags": list("abcd")})
        answer = ann("GET", path + "?n=3")
        self.assertEqual(answer.json["tags"], list("abc"))
        following = re.match("<(.*)>; rel=\"next\"", answer.headers["link"])[1]
        answer = ann("GET", following)
        self.assertEqual(answer.json["tags"], ["d"])
        self.assertNotIn("link", answer.headers)
        self.assertEqual(ann("GET", path + "?n=0").json["tags"], [])
        self.assertEqual(ann("GET", path + "?last=b").json["tags"], ["c", "d"])
        self.assertEqual(bob("GET", path).code, "NAME_UNKNOWN")
        self.assertIn(self.name, ann("GET", "/v2/_catalog").json["repositories"])
        self.assertNotIn(self.name, bob("GET", "/v2/_catalog").json["repositories"])

    def test_ten_thousand_tags(self):
        manifest, _ = ann.push_image(self.name, "first")
        headers = {"authorization": ann.basic, "content-type": MANIFEST}

        def put(numbers):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
            for number in numbers:
                path = f"/v2/{self.name}/manifests/t{number:05}"
                connection.request("PUT", path, manifest, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 201:
                    return answer.status
            return 201

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            done = set(pool.map(put, [range(i, 9_999, 16) for i in range(16)]))
        self.assertEqual(done, {201})
        seen, path = [], f"/v2/{self.name}/tags/list?n=3000"
        while path:
            answer = ann("GET", path)
            seen += answer.json["tags"]
            link = answer.headers.get("link")
            path = re.match("<(.*)>", link)[1] if link else None
        self.assertEqual(seen, sorted(seen))
        self.assertEqual(len(seen), 10_000)

    def test_referrers_are_found_by_their_subject_and_type(self):
        manifest, _ = ann.push_image(self.name, "1")
        subject = {"mediaType": MANIFEST, "digest": digest_of(manifest), "size": len(manifest)}
        _, answer = ann.push_image(
            self.name, None, b"sbom", subject=subject, artifactType="application/sbom",
            annotations={"by": "ann"},
        )  # fmt: skip
        self.assertEqual(answer.headers["oci-subject"], subject["digest"])
        ann.push_image(self.name, None, b"sig", subject=subject, artifactType="application/sig")
        path = f"/v2/{self.name}/referrers/{subject['digest']}"
        answer = ann("GET", path)
        self.assertEqual(answer.headers["content-type"], INDEX)
        kinds = {one["artifactType"] for one in answer.json["manifests"]}
        self.assertEqual(kinds, {"application/sbom", "application/sig"})
        answer = ann("GET", path + "?artifactType=application/sbom")
        (one,) = answer.json["manifests"]
        self.assertEqual(one["annotations"], {"by": "ann"})
        self.assertEqual(answer.headers["oci-filters-applied"], "artifactType")
        answer = ann("GET", path + "?n=1")
        self.assertEqual(len(answer.json["manifests"]), 1)
        following = re.match("<(.*)>", answer.headers["link"])[1]
        self.assertEqual(len(ann("GET", following).json["manifests"]), 1)
        self.assertEqual(bob("GET", path).json["manifests"], [])
        for content in (b"one", b"two"):
            ann.push_image(
                self.name, None, content, subject=subject, artifactType="application/x+y;a=&b",
            )  # fmt: skip
        answer = ann("GET", path + "?n=1&artifactType=application/x%2by;a=%26b")
        following = re.match("<(.*)>", answer.headers["link"])[1]
        self.assertEqual(len(ann("GET", following).json["manifests"]), 1)
        nobody = f"/v2/{self.name}/referrers/{digest_of(b'never')}"
        self.assertEqual(ann("GET", nobody).json["manifests"], [])

    def test_what_is_deleted_is_gone_and_what_is_named_stays(self):
        manifest, _ = ann.push_image(self.name, "1", os.urandom(100))
        blob = json.loads(manifest)["layers"][0]["digest"]
        by_digest = f"/v2/{self.name}/manifests/{digest_of(manifest)}"
        ann("PUT", f"/v2/{self.name}/manifests/2", manifest, content_type=MANIFEST)
        answer = ann("DELETE", f"/v2/{self.name}/blobs/{blob}")
        self.assertEqual((answer.status, answer.code), (405, "UNSUPPORTED"))
        self.assertEqual(ann("DELETE", f"/v2/{self.name}/manifests/2").status, 202)
        self.assertEqual(ann("GET", f"/v2/{self.name}/manifests/2").status, 404)
        self.assertEqual(ann("GET", by_digest).status, 200)
        self.assertEqual(bob("DELETE", by_digest).status, 404)
        self.assertEqual(ann("DELETE", by_digest).status, 202)
        self.assertEqual(ann("GET", f"/v2/{self.name}/manifests/1").status, 404)
        self.assertEqual(ann("DELETE", by_digest).status, 404)
        self.assertEqual(ann("DELETE", f"/v2/{self.name}/blobs/{blob}").status, 202)
        self.assertEqual(ann("HEAD", f"/v2/{self.name}/blobs/{blob}").status, 404)

    def test_what_is_in_a_repository_is_not_swept(self):
        manifest, _ = ann.push_image(self.name, "1", os.urandom(5_000))
        layer = json.loads(manifest)["layers"][0]["digest"]
        before = self.rounds()
        wait_until(lambda: self.rounds() >= before + 3, CALL_TIMEOUT, "three rounds of the sweep")
        self.assertEqual(ann("GET", f"/v2/{self.name}/manifests/1").body, manifest)
        self.assertEqual(len(ann("GET", f"/v2/{self.name}/blobs/{layer}").body), 5_000)

    def rounds(self):
        found = re.search(r"^thaw_storage_sweeps_total (\d+)", self.metrics(), re.MULTILINE)
        return int(found[1])

    def metrics(self):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


class Tenants(RegistryTest):
    """What is another workspace's and what never was are the same to who asks, on each route."""

    ROUTES = [
        ("GET", "/v2/{name}/tags/list"), ("GET", "/v2/{name}/referrers/{manifest}"),
        ("GET", "/v2/{name}/manifests/1"), ("GET", "/v2/{name}/manifests/{manifest}"),
        ("HEAD", "/v2/{name}/manifests/1"), ("DELETE", "/v2/{name}/manifests/1"),
        ("DELETE", "/v2/{name}/manifests/{manifest}"), ("GET", "/v2/{name}/blobs/{blob}"),
        ("HEAD", "/v2/{name}/blobs/{blob}"), ("DELETE", "/v2/{name}/blobs/{blob}"),
        ("GET", "/v2/{name}/blobs/uploads/{upload}"),
        ("PATCH", "/v2/{name}/blobs/uploads/{upload}"),
        ("PUT", "/v2/{name}/blobs/uploads/{upload}?digest={blob}"),
        ("DELETE", "/v2/{name}/blobs/uploads/{upload}"),
    ]  # fmt: skip

    def test_nothing_of_another_workspace_is_told(self):
        manifest, _ = ann.push_image(self.name, "1", os.urandom(100))
        real = {
            "name": self.name, "manifest": digest_of(manifest),
            "blob": json.loads(manifest)["layers"][0]["digest"],
            "upload": ann.begin(self.name).rpartition("/")[2],
        }  # fmt: skip
        never = {
            "name": f"team/{uuid.uuid4().hex[:10]}", "manifest": digest_of(os.urandom(9)),
            "blob": digest_of(os.urandom(9)),
            "upload": real["upload"][:-6] + "zzzzzz",
        }  # fmt: skip

        def told(method, path, names):
            answer = bob(method, path.format(**names))
            text = answer.body.decode()
            for kind, value in names.items():
                text = text.replace(value, f"<{kind}>")
            return answer.status, text

        for method, path in self.ROUTES:
            with self.subTest(method=method, path=path):
                self.assertEqual(told(method, path, real), told(method, path, never))
        # None of it has changed anything.
        self.assertEqual(ann("GET", f"/v2/{self.name}/manifests/1").body, manifest)
        place = f"/v2/{self.name}/blobs/uploads/{real['upload']}"
        self.assertEqual(ann("GET", place).status, 204)
        # What has the same bytes belongs to who has sent them.
        bob.push_blob(self.name, os.urandom(10))
        self.assertEqual(bob("HEAD", f"/v2/{self.name}/blobs/{real['blob']}").status, 404)

    def test_without_a_token_each_route_asks_for_one(self):
        names = {"name": "a", "manifest": digest_of(b""), "blob": digest_of(b""), "upload": "up-1"}
        for method, path in [*self.ROUTES, ("GET", "/v2/"), ("GET", "/v2/_catalog"),
                             ("POST", "/v2/a/blobs/uploads/"), ("PUT", "/v2/a/manifests/1"),
                             ("GET", "/v2/no/such/path"), ("GET", "/v2/token")]:  # fmt: skip
            answer = ann(method, path.format(**names), authorization="")
            self.assertEqual(answer.status, 401, (method, path))


class Limits(RegistryTest):
    def test_a_push_past_the_workspace_s_quota_is_denied_and_leaves_nothing(self):
        place = ann.begin(self.name)
        chunk = b"\0" * (1 << 20)
        for _ in range(int(QUOTA_GB * 1024) + 2):
            answer = ann("PATCH", place, chunk)
            if answer.status != 202:
                break
        self.assertEqual((answer.status, answer.code), (403, "DENIED"))
        self.assertIn("may have", answer.json["errors"][0]["message"])
        self.assertEqual(ann("DELETE", place).status, 204)
        bob.push_image(self.name, "1")  # another workspace has its own share
        ann.push_image(self.name, "1")

    def test_uploads_that_are_left_behind_are_bounded(self):
        places = [ann("POST", f"/v2/{self.name}/blobs/uploads/") for _ in range(150)]
        refused = [answer for answer in places if answer.status != 202]
        self.assertTrue(refused)
        self.assertEqual({(a.status, a.code) for a in refused}, {(429, "TOOMANYREQUESTS")})
        self.assertEqual(bob("POST", f"/v2/{self.name}/blobs/uploads/").status, 202)
        for answer in places:
            if answer.status == 202:
                ann("DELETE", answer.headers["location"])


class Deaths(RegistryTest):
    def test_a_server_that_is_killed_in_an_upload_has_all_that_was_acknowledged(self):
        manifest, _ = ann.push_image(self.name, "1", os.urandom(100_000))
        place = ann.begin(self.name)
        self.assertEqual(ann("PATCH", place, os.urandom(5 << 20)).status, 202)
        with socket.create_connection(("127.0.0.1", server.port)) as cut:
            cut.sendall(ann.head("PATCH", place, 50 << 20) + b"x" * (3 << 20))
            server.kill()
        server.start()
        self.assertEqual(list((server.data / "blobs" / "tmp").iterdir()), [])
        self.assertEqual(ann("GET", place).code, "BLOB_UPLOAD_UNKNOWN")
        self.assertEqual(ann("GET", f"/v2/{self.name}/manifests/1").body, manifest)
        layer = json.loads(manifest)["layers"][0]["digest"]
        self.assertEqual(digest_of(ann("GET", f"/v2/{self.name}/blobs/{layer}").body), layer)
        self.assertEqual(ann("GET", f"/v2/{self.name}/tags/list").json["tags"], ["1"])
        ann.push_image(self.name, "2", os.urandom(100))

    def linked_at(self, *blobs):
        with contextlib.closing(sqlite3.connect(server.data / "thaw.db")) as database:
            records = [
                json.loads(row[0]) for row in database.execute(
                    "SELECT json FROM catalog_objects WHERE kind = 'repository_blob'"
                )
            ]  # fmt: skip
        found = {"sha256:" + record["sha256"]: record["linked_us"] for record in records}
        return [found[blob] for blob in blobs]

    def test_a_blob_that_somebody_saw_is_as_if_it_had_come_now(self):
        names = [ann.push_blob(self.name, os.urandom(100))["digest"] for _ in range(3)]
        server.stop()
        with contextlib.closing(sqlite3.connect(server.data / "thaw.db")) as database:
            for row, text in database.execute(
                "SELECT id, json FROM catalog_objects WHERE kind = 'repository_blob'"
            ).fetchall():
                record = json.loads(text)
                record["linked_us"] -= 7200 * 10**6
                database.execute(
                    "UPDATE catalog_objects SET json = ? WHERE kind = 'repository_blob' AND id = ?",
                    (json.dumps(record, separators=(",", ":")), row),
                )
            database.commit()
        server.start()
        before = self.linked_at(*names)
        self.assertEqual(ann("HEAD", f"/v2/{self.name}/blobs/{names[0]}").status, 200)
        self.assertEqual(ann("GET", f"/v2/{self.name}/blobs/{names[1]}").status, 200)
        after = self.linked_at(*names)
        self.assertGreater(after[0], before[0])
        self.assertGreater(after[1], before[1])
        self.assertEqual(after[2], before[2])

    def test_a_layer_of_a_gigabyte(self):
        if not LARGE:
            self.skipTest("set THAW_TEST_LARGE=1: it writes gigabytes")
        path = self.folder / "layer"
        digest = hashlib.sha256()
        block = os.urandom(1 << 20)
        with open(path, "wb") as out:
            for _ in range(1 << 10):
                out.write(block)
                digest.update(block)
        place = ann.begin(self.name)
        with open(path, "rb") as body:
            answer = ann("PUT", f"{place}?digest=sha256:{digest.hexdigest()}", body,
                         content_length=str(1 << 30))  # fmt: skip
        self.assertEqual(answer.status, 201, answer.body)
        back = hashlib.sha256(ann("GET", answer.headers["location"]).body)
        self.assertEqual(back.hexdigest(), digest.hexdigest())


if __name__ == "__main__":
    main()
