#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The verbs of `thaw`: tokens, what they print for machines, and what they say to mistakes."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import socket
import stat
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

from thaw_server import APPS, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main

server = ThawServer.for_module()

import modal_proto.api_pb2  # noqa: E402


def thaw(*arguments):
    return subprocess.run(
        [str(THAW_BIN), *arguments], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def json_of(*arguments):
    done = server.thaw(*arguments, "--json", "--data", str(server.data))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def client(variables):
    environment = {**variables, "MODAL_SERVER_URL": server.url}
    return server.modal("app", "list", env=environment, check=False, timeout=CALL_TIMEOUT)


class Tokens(E2eTest):
    server = server

    def test_a_token_works_from_its_creation_until_it_is_revoked(self):
        made = json_of("token", "create", "laptop")
        pair = {"MODAL_TOKEN_ID": made["token"], "MODAL_TOKEN_SECRET": made["secret"]}
        self.assertEqual(client(pair).returncode, 0)
        listed = {item["token"]: item["name"] for item in json_of("token", "list")}
        self.assertEqual(listed[made["token"]], "laptop")
        self.assertNotIn(made["secret"], json.dumps(json_of("token", "list")))
        self.assertEqual(json_of("token", "revoke", made["token"]), {"revoked": made["token"]})
        self.assertNotIn(made["token"], {item["token"] for item in json_of("token", "list")})
        refused = client(pair)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("thaw env", refused.stderr)

    def test_env_gives_a_new_token_after_its_own_was_revoked(self):
        before = json_of("env")
        self.assertEqual(json_of("env"), before)
        json_of("token", "revoke", before["MODAL_TOKEN_ID"])
        self.assertNotEqual(client(before).returncode, 0)
        after = json_of("env")
        self.assertNotEqual(after["MODAL_TOKEN_ID"], before["MODAL_TOKEN_ID"])
        self.assertEqual(client(after).returncode, 0)
        self.assertEqual(json_of("env"), after)
        self.assertNotEqual(client(before).returncode, 0)

    def test_an_unknown_token_is_named_whatever_its_letters(self):
        for name in ("ak-absent", "a b", "a/b?c#d%41", "ä"):
            with self.subTest(name=name):
                done = server.thaw("token", "revoke", name, "--data", str(server.data))
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"token {name} does not exist", done.stderr)

    def test_an_unknown_call_is_named_whatever_its_letters(self):
        done = server.thaw("ps", "--call", "a b", "--data", str(server.data))
        self.assertEqual(done.returncode, 1)
        self.assertIn("a b", done.stderr)


class Starts(E2eTest):
    server = server

    def test_starts_are_those_of_the_app_that_was_asked_for(self):
        server.modal("run", APPS / "where.py", "--number", "1")
        server.modal("run", APPS / "sleeper.py", "--seconds", "0")
        apps = {view["app"] for view in json_of("logs", "--starts")}
        self.assertEqual(apps, {"e2e-where", "e2e-sleeper"})
        found = json_of("logs", "e2e-where", "--starts")
        self.assertEqual({view["app"] for view in found}, {"e2e-where"})
        self.assertEqual(json_of("logs", found[0]["app_id"], "--starts"), found)
        self.assertEqual(json_of("logs", "e2e-absent", "--starts"), [])


class Mistakes(E2eTest):
    server = server

    def test_a_verb_that_is_none_is_named(self):
        for words in (["bake"], ["token", "bake"]):
            done = thaw(*words)
            self.assertGreater(done.returncode, 0)
            self.assertIn("bake", done.stderr)

    def test_the_version_is_told_by_option_and_by_verb(self):
        self.assertEqual(thaw("--version").stdout, thaw("version").stdout)

    def test_a_configuration_that_is_none_is_refused_plainly(self):
        with tempfile.TemporaryDirectory() as folder:
            words = ["serve", "--listen", "127.0.0.1:0", "--data", f"{folder}/data", "--config"]
            done = thaw(*words, folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{folder} is a folder", done.stderr)
            done = thaw(*words, f"{folder}/none.toml")
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"{folder}/none.toml does not exist", done.stderr)

    def test_a_number_out_of_range_is_refused_with_its_key_and_line(self):
        wrong = {
            "server.drain_s": ("4294967296", "-1", "1.5"),
            "volumes.ephemeral_timeout_s": ("4294967297", "0"),
            "containers.max": ("0", "9223372036854775807"),
            "containers.max_starting": ("-5",),
            "containers.default_memory_mb": ("17592186044416", "-1"),
            "containers.memory_price": ("nan", "inf", "0"),
            "containers.longest_idle_s": ("86401",),
            "cold_start.templates": ("-1", '"many"'),
            "cold_start.template_min_free_mb": ("17592186044416",),
            "cold_start.freeze_after_s": ("nan", "3601"),
            "cold_start.standby_s": ("-1", "604801"),
            "cold_start.standby_mb": ("17592186044416",),
            "cold_start.snapshots_gb": ("17179869184",),
            "cold_start.snapshots_unused_days": ("0", "10000"),
        }
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "thaw.toml")
            words = ["serve", "--listen", "127.0.0.1:0", "--data", f"{folder}/data", "--config"]
            for key, values in wrong.items():
                section, name = key.split(".")
                for value in values:
                    path.write_text(f"[{section}]\n{name} = {value}\n")
                    with self.subTest(key=key, value=value):
                        done = thaw(*words, str(path))
                        self.assertEqual(done.returncode, 1)
                        self.assertIn(f"{path}:2: the value of {key}", done.stderr)


class Folder(E2eTest):
    server = server

    def test_the_data_folder_is_closed_to_others(self):
        self.assertEqual(stat.S_IMODE(os.stat(server.data).st_mode), 0o700)

    def test_a_folder_of_other_things_that_is_open_to_others_is_refused_and_left_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o1777)
            pathlib.Path(folder, "something").touch()
            done = thaw("serve", "--listen", "127.0.0.1:0", "--data", folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn(folder, done.stderr)
            self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode), 0o1777)


class Pages(E2eTest):
    server = server

    def test_the_page_of_an_app_names_the_verbs_and_tells_nothing_more(self):
        for app in ("ap-1234567890", "ap-never"):
            with urllib.request.urlopen(f"{server.url}/apps/{app}", timeout=60) as answer:
                text = answer.read().decode()
            self.assertIn(f"thaw logs {app}", text)
            self.assertIn("thaw ps", text)
        for path in ("/apps/", "/apps/ap-<script>", "/apps/ap-" + "a" * 100):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(server.url + urllib.parse.quote(path), timeout=60)
            self.assertEqual(caught.exception.code, 404)


class Blobs(E2eTest):
    server = server

    @staticmethod
    def upload_address(content, length):
        """What the client asks for a large argument."""
        request = modal_proto.api_pb2.BlobCreateRequest(
            content_md5=base64.b64encode(hashlib.md5(content).digest()).decode(),
            content_sha256_base64=base64.b64encode(hashlib.sha256(content).digest()).decode(),
            content_length=length,
        )
        return server.rpc("BlobCreate", request).upload_url

    @staticmethod
    def put(url, body, headers):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        target = url[url.index("/blobs/") :]
        try:
            connection.request("PUT", target, body=body, headers=headers, encode_chunked=True)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def test_what_was_promised_is_taken(self):
        content = os.urandom(1 << 20)
        url = self.upload_address(content, len(content))
        self.assertEqual(self.put(url, content, {})[0], 200)
        self.assertEqual(self.put(url, iter([content]), {"Transfer-Encoding": "chunked"})[0], 200)

    def test_a_longer_body_is_refused_before_it_is_read(self):
        url = self.upload_address(b"x", 1)
        status, said = self.put(url, b"xy", {})
        self.assertEqual((status, b"longer than the 1 bytes" in said), (413, True))
        host, port = urllib.parse.urlsplit(url).netloc.split(":")
        piece = b"%x\r\n%s\r\n" % (1 << 20, bytes(1 << 20))
        sent = 0
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            target = url[url.index("/blobs/") :]
            head = f"PUT {target} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head.encode())
            try:
                for _ in range(300):
                    connection.sendall(piece)
                    sent += 1
            except OSError:
                pass  # closed, as it should be
        self.assertLess(sent, 64, "the server goes on reading")

    def test_another_size_is_not_signed(self):
        url = self.upload_address(b"x", 1)
        status, _ = self.put(url.replace("size=1&", "size=2&"), b"xy", {})
        self.assertEqual(status, 403)


if __name__ == "__main__":
    main()
