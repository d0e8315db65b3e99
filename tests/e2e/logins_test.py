#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`modal token new`: who has no token is given one, once somebody approves the code it shows."""
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import urllib.parse

from thaw_server import APPS, CALL_TIMEOUT, ROOT, E2eTest, ThawServer, main, wait_until

server = ThawServer.for_module(config="[login]\nclick_on_loopback = true\n")
strict = ThawServer()

import grpclib  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

CODE = re.compile(r"Enter this code: ([A-Z]{4}-[A-Z]{4})")
PAGE = re.compile(r"(http://\S+/login/tf-\w+)")


class Asker:
    """A terminal in which `modal token new` runs."""

    def __init__(self, at, program=None, *options):
        self.config = at.folder / f"asker-{id(self)}.toml"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MODAL_")
        }
        environment |= {
            "MODAL_SERVER_URL": at.url, "MODAL_CONFIG_PATH": str(self.config),
            "BROWSER": "/bin/true", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        command = program or [sys.executable, "-m", "modal"]
        self.process = subprocess.Popen(
            [*command, "token", "new", *options], env=environment, cwd=APPS, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.text = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while piece := os.read(self.process.stdout.fileno(), 4096):
            self.text += piece.decode(errors="replace")

    def shown(self, pattern):
        return wait_until(
            lambda: pattern.search(self.text) or self.process.poll() is not None and self.fail(),
            CALL_TIMEOUT, f"{pattern.pattern} in the terminal",
        )[1]  # fmt: skip

    def fail(self):
        self.reader.join()
        raise AssertionError(f"it ended with {self.process.returncode}: {self.text}")

    def ends(self):
        code = self.process.wait(CALL_TIMEOUT)
        self.reader.join()
        if code:
            self.fail()
        return self.text

    def close(self):
        self.process.kill()
        self.process.wait()


def ask_page(url, method="GET", body=None, **headers):
    """Status and text of a page."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=CALL_TIMEOUT)
    connection.request(method, parts.path, body, {
        "content-type": "application/x-www-form-urlencoded",
        **{name.replace("_", "-"): value for name, value in headers.items()}})  # fmt: skip
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), dict(answer.getheaders())
    connection.close()
    return found


def form_of(page):
    return re.search(r'name="form" value="(\w+)"', page)[1]


def setUpModule():
    strict.start()


def tearDownModule():
    strict.close()


class Logins(E2eTest):
    server = server

    def asker(self, *arguments):
        asker = Asker(*arguments)
        self.addCleanup(asker.close)
        return asker

    def works(self, asker):
        environment = {**os.environ, "MODAL_CONFIG_PATH": str(asker.config)}
        for name in ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET", "MODAL_SERVER_URL"):
            environment.pop(name, None)
        done = subprocess.run(
            [sys.executable, "-m", "modal", "app", "list", "--json"], env=environment, cwd=APPS,
            text=True, capture_output=True, timeout=CALL_TIMEOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("token_id", pathlib.Path(asker.config).read_text())

    def test_an_operator_approves_a_code_and_the_terminal_goes_on(self):
        asker = self.asker(server)
        code = asker.shown(CODE)
        done = server.thaw("token", "approve", code.lower(), "--name", "a laptop",
                           "--data", str(server.data))  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("127.0.0.1", done.stdout)
        self.assertIn("finished successfully", asker.ends())
        self.works(asker)
        listed = server.thaw("token", "list", "--data", str(server.data)).stdout
        self.assertIn("a laptop", listed)

    def test_clients_of_before_ask_too(self):
        for listing in ("modal-1.0.txt", "modal-1.2.txt"):
            found = subprocess.run([ROOT / "tools/client", ROOT / "tests/clients" / listing],
                                   check=True, text=True, stdout=subprocess.PIPE)  # fmt: skip
            program = [found.stdout.strip().splitlines()[-1] + "/modal"]
            asker = self.asker(server, program)
            server.thaw("token", "approve", asker.shown(CODE), "--data", str(server.data))
            self.assertIn("finished successfully", asker.ends())
            self.works(asker)

    def test_a_token_may_be_of_another_workspace(self):
        server.thaw("workspace", "create", "guests", "--data", str(server.data))
        asker = self.asker(server)
        server.thaw("token", "approve", asker.shown(CODE), "--workspace", "guests",
                    "--data", str(server.data))  # fmt: skip
        self.assertIn("guests", asker.ends())

    def test_a_token_is_exchanged_for_another_and_the_old_one_ends(self):
        asker = self.asker(server)
        server.thaw("token", "approve", asker.shown(CODE), "--data", str(server.data))
        asker.ends()
        old = re.search(r'token_id = "(\S+)"', asker.config.read_text())[1]
        new = self.asker(server, None, "--delete-existing")
        new.config.write_text(asker.config.read_text())
        server.thaw("token", "approve", new.shown(CODE), "--data", str(server.data))
        self.assertIn("has been deleted", new.ends())
        self.works(new)
        listed = server.thaw("token", "list", "--data", str(server.data)).stdout
        self.assertNotIn(old, listed)

    def test_a_token_ends_no_other_token(self):
        other = server.thaw("token", "create", "kept", "--json", "--data", str(server.data))
        token = json.loads(other.stdout)["token"]
        with self.assertRaises(grpclib.exceptions.GRPCError) as caught:
            server.rpc("TokenDelete", pb.TokenDeleteRequest(token_id=token))
        self.assertEqual(caught.exception.status, grpclib.const.Status.NOT_FOUND)
        self.assertIn(token, server.thaw("token", "list", "--data", str(server.data)).stdout)

    def test_nobody_is_let_in_by_a_code_that_nobody_was_shown(self):
        asker = self.asker(server)
        asker.shown(CODE)
        done = server.thaw("token", "approve", "BBBB-BBBB", "--data", str(server.data))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nobody waits for a token", done.stderr)
        self.assertIsNone(asker.process.poll())

    def test_the_code_is_typed_into_the_page_where_that_is_allowed(self):
        asker = self.asker(server)
        page, code = asker.shown(PAGE), asker.shown(CODE)
        status, text, headers = ask_page(page)
        self.assertEqual(status, 200)
        self.assertNotIn(code, text)
        self.assertNotIn(code.replace("-", ""), text)
        self.assertEqual(headers["x-frame-options"], "DENY")
        self.assertEqual(headers["cache-control"], "no-store")
        self.assertIn("frame-ancestors 'none'", headers["content-security-policy"])
        form = form_of(text)
        status, text, _ = ask_page(page, "POST", f"form={form}&code=BBBB-BBBB")
        self.assertEqual(status, 400)
        self.assertIsNone(asker.process.poll())
        status, _, _ = ask_page(page, "POST", f"form={form}&code={code}")
        self.assertEqual(status, 200)
        self.assertIn("finished successfully", asker.ends())
        self.works(asker)

    def test_a_page_of_somebody_else_approves_nothing(self):
        asker = self.asker(server)
        page, code = asker.shown(PAGE), asker.shown(CODE)
        form = form_of(ask_page(page)[1])
        good = f"form={form}&code={code}"
        host = f"127.0.0.1:{server.port}"
        for name, body, headers in (
            ("without the form's key", f"code={code}", {}),
            ("with a key made up", f"form={'0' * 32}&code={code}", {}),
            ("from another origin", good, {"origin": "http://evil.example"}),
            ("from a sandbox", good, {"origin": "null"}),
            ("across sites", good, {"sec_fetch_site": "cross-site"}),
            ("by a name that leads here", good, {"host": f"evil.example:{server.port}"}),
            ("through a proxy", good, {"host": host, "x_forwarded_for": "203.0.113.9"}),
            ("through another proxy", good, {"host": host, "forwarded": "for=1.2.3.4"}),
        ):
            with self.subTest(name):
                self.assertEqual(ask_page(page, "POST", body, **headers)[0], 403)
        self.assertNotIn("<form", ask_page(page, x_forwarded_for="203.0.113.9")[1])
        self.assertNotIn("<form", ask_page(page, host=f"evil.example:{server.port}")[1])
        self.assertEqual(ask_page(page, "POST", "x" * 10_000)[0], 400)
        self.assertEqual(ask_page(page, "DELETE")[0], 405)
        self.assertIsNone(asker.process.poll())

    def test_guesses_at_a_page_end_its_login(self):
        asker = self.asker(server)
        page, code = asker.shown(PAGE), asker.shown(CODE)
        form = form_of(ask_page(page)[1])
        answers = [ask_page(page, "POST", f"form={form}&code=BBBB-BBB{last}")[0]
                   for last in "BCDFGH"]  # fmt: skip
        self.assertEqual(answers, [400] * 5 + [404])
        self.assertEqual(ask_page(page, "POST", f"form={form}&code={code}")[0], 404)
        wait_until(lambda: asker.process.poll() is not None, CALL_TIMEOUT, "the terminal ends")
        self.assertNotEqual(asker.process.returncode, 0)

    def test_a_page_approves_nothing_unless_the_operator_said_so(self):
        asker = self.asker(strict)
        page, code = asker.shown(PAGE), asker.shown(CODE)
        text = ask_page(page)[1]
        self.assertNotIn("<form", text)
        self.assertIn("thaw token approve", text)
        self.assertEqual(ask_page(page, "POST", f"form=x&code={code}")[0], 403)
        strict.thaw("token", "approve", code, "--data", str(strict.data))
        self.assertIn("finished successfully", asker.ends())

    def test_a_login_of_a_server_that_was_started_anew_says_so(self):
        asker = self.asker(strict)
        asker.shown(CODE)
        strict.kill()
        strict.start()
        wait_until(lambda: asker.process.poll() is not None, 2 * CALL_TIMEOUT, "the terminal ends")
        self.assertNotEqual(asker.process.returncode, 0)

    def test_a_token_may_be_asked_for_that_ends_by_itself(self):
        asker = self.asker(server, None, "--expires-in", "1h")
        server.thaw("token", "approve", asker.shown(CODE), "--name", "for an hour",
                    "--data", str(server.data))  # fmt: skip
        self.assertIn("finished successfully", asker.ends())
        self.works(asker)
        told = server.thaw("token", "list", "--json", "--data", str(server.data)).stdout
        (made,) = [one for one in json.loads(told) if one["name"] == "for an hour"]
        self.assertEqual(round(made["expires_at"] - made["created_at"]), 3600)


if __name__ == "__main__":
    main()
