#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Somebody outside is told of a call: at a real receiver, over HTTP and HTTPS, through crashes."""
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

certificates = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-ca-"))


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_certificate(name, authority):
    """name.key, name.pem for localhost: of the authority, or of its own."""
    key, pem, request = (certificates / f"{name}.{end}" for end in ("key", "pem", "csr"))
    if not authority:
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem,
                "-days", "2", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=DNS:localhost")  # fmt: skip
        return
    extensions = certificates / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request,
            "-subj", "/CN=localhost")  # fmt: skip
    openssl("x509", "-req", "-in", request, "-CA", certificates / f"{authority}.pem",
            "-CAkey", certificates / f"{authority}.key", "-CAcreateserial", "-days", "2",
            "-out", pem, "-extfile", extensions)  # fmt: skip


make_certificate("authority", None)
make_certificate("good", "authority")
make_certificate("stranger", None)

server = ThawServer.for_module(
    config=f"""
[callbacks]
allow = ["localhost", "127.0.0.1"]
authorities = "{certificates}/authority.pem"
"""
)


def thaw(*arguments, check=True, timeout=CALL_TIMEOUT):
    done = subprocess.run(
        [str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
        capture_output=True, timeout=timeout,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done


def json_of(*arguments):
    return json.loads(thaw(*arguments, "--json").stdout)


def api(method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=BUILD_TIMEOUT)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Receiver:
    """An HTTP server that keeps what it is told; `answers` are given by turns, the last one on."""

    def __init__(self, answers=(200,), port=0, certificate=None, headers=None):
        self.told = []
        answers = list(answers)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                receiver.told.append((dict(self.headers), body, self.path))
                status = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(
                certificates / f"{certificate}.pem", certificates / f"{certificate}.key"
            )
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"http://localhost:{self.port}/hook?x=1"

    def wait(self, count=1):
        wait_until(lambda: len(self.told) >= count, CALL_TIMEOUT, f"{count} callbacks came")
        return [json.loads(body) for _, body, _ in self.told]


def dead_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def invoke(*options, name="tells", check=True):
    return thaw("invoke", name, "--async", "--json", *options, check=check)


def call_with(callback, *options, name="tells"):
    return json.loads(invoke("--callback", callback, *options, name=name).stdout)["call"]


def callback_of(call):
    return json_of("call", "show", call)["callbacks"][0]


def wait_for_state(call, state):
    wait_until(lambda: callback_of(call)["state"] == state, CALL_TIMEOUT, f"{call} is {state}")
    return callback_of(call)


class Callbacks(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        for name in ("tells", "hears"):
            thaw("push", APPS / "pushed" / "odd", name, "--concurrency", "20", "--max", "2",
                 timeout=BUILD_TIMEOUT)  # fmt: skip

    def test_the_end_of_a_call_is_told_with_its_result_and_a_signature(self):
        with Receiver() as receiver:
            call = call_with(receiver.url, "--path", "/echo", "--data", '{"a": 1}')
            event = receiver.wait()[0]
            self.assertEqual(event["type"], "call.final")
            data = event["data"]
            self.assertEqual((data["call"], data["function"]), (call, "tells"))
            self.assertEqual(data["outcome"], "success")
            self.assertEqual(data["result"]["status"], 200)
            self.assertEqual(base64.b64decode(data["result"]["base64"]), b'{"a": 1}')
            self.assertLessEqual(data["created_at"], data["started_at"])
            self.assertLessEqual(data["started_at"], data["finished_at"])
            headers, body, path = receiver.told[0]
            headers = {name.lower(): value for name, value in headers.items()}
            self.assertEqual(path, "/hook?x=1")
            secret = thaw("call", "secret").stdout.decode().strip()
            key = base64.b64decode(secret.removeprefix("whsec_"))
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            self.assertEqual(headers["webhook-signature"], "v1," + signature)
            state = wait_for_state(call, "delivered")
            self.assertEqual((state["told"], state["tries"], state["on"]), (1, 1, ["final"]))
            shown = thaw("call", "show", call).stdout.decode()
            self.assertIn("delivered", shown)

    def test_the_start_is_told_before_the_end_and_results_come_in_their_form(self):
        with Receiver() as receiver:
            call_with(receiver.url, "--callback-on", "started,final", "--method", "GET",
                      "--path", "/environment")  # fmt: skip
            events = receiver.wait(2)
            self.assertEqual([event["type"] for event in events], ["call.started", "call.final"])
            self.assertIn("env", events[1]["data"]["result"]["json"])

    def test_a_large_result_is_a_link(self):
        large = certificates / "large"
        large.write_text("x" * (300 << 10))
        with Receiver() as receiver:
            call = call_with(receiver.url, "--path", "/echo", "--data", f"@{large}")
            result = receiver.wait()[0]["data"]["result"]
            self.assertEqual(result["bytes"], 300 << 10)
            self.assertEqual(result["url"], f"{server.url}/api/v1/calls/{call}/result")

    def test_a_receiver_that_fails_is_asked_again_and_one_that_refuses_is_not(self):
        with Receiver([500, 200]) as failing, Receiver([410]) as refusing:
            call = call_with(failing.url)
            failing.wait(2)
            state = wait_for_state(call, "delivered")
            self.assertEqual(state["tries"], 2)
            ids = {headers["webhook-id"] for headers, _, _ in failing.told}
            self.assertEqual(len(ids), 1)
            call = call_with(refusing.url)
            state = wait_for_state(call, "gave_up")
            self.assertIn("410", state["why"])

    def test_a_redirect_is_not_followed(self):
        with Receiver() as other:
            with Receiver([302, 200], headers={"location": other.url}) as receiver:
                call = call_with(receiver.url)
                receiver.wait(2)
                wait_for_state(call, "delivered")
            self.assertEqual(other.told, [])

    def test_https_is_verified(self):
        with Receiver(certificate="good") as receiver:
            call = call_with(f"https://localhost:{receiver.port}/")
            self.assertEqual(receiver.wait()[0]["data"]["call"], call)
            # The name counts too.
            call = call_with(f"https://127.0.0.1:{receiver.port}/")
            wait_until(lambda: callback_of(call).get("why"), CALL_TIMEOUT, "it is refused")
            self.assertIn("certificate", callback_of(call)["why"])
        with Receiver(certificate="stranger") as receiver:
            call = call_with(f"https://localhost:{receiver.port}/")
            wait_until(lambda: callback_of(call).get("why"), CALL_TIMEOUT, "it is refused")
            self.assertIn("certificate", callback_of(call)["why"])
            self.assertEqual(receiver.told, [])

    def test_addresses_that_callers_have_no_business_at_are_refused(self):
        for address in ("http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]/",
                        "http://0.0.0.0/", "http://[::ffff:10.0.0.1]/", "ftp://localhost/",
                        "http://user:pw@localhost/", f"http://127.0.0.1:{server.port}/healthz"):
            with self.subTest(address=address):
                refused = invoke("--callback", address, check=False)
                self.assertNotEqual(refused.returncode, 0)
                self.assertTrue(refused.stderr)
        # A name is judged when it is resolved.
        call = call_with(f"http://localhost:{server.port}/healthz")
        wait_until(lambda: callback_of(call).get("why"), CALL_TIMEOUT, "it is refused")
        self.assertIn(f"localhost:{server.port}", callback_of(call)["why"])
        self.assertIn("[callbacks] allow", callback_of(call)["why"])
        # And nothing was left of calls that were refused.
        refused = invoke("--callback-on", "final", check=False)
        self.assertNotEqual(refused.returncode, 0)

    def test_another_function_is_told_once(self):
        call = call_with("function:hears")
        wait_for_state(call, "delivered")
        heard = json_of("call", "list", "hears")["calls"]
        self.assertEqual(len(heard), 1)
        wait_until(lambda: json_of("call", "show", heard[0]["call"])["state"] == "finished",
                   CALL_TIMEOUT, "it has ended")  # fmt: skip
        call = call_with("function:nobody")
        self.assertIn("nobody", wait_for_state(call, "gave_up")["why"])

    def test_a_kill_between_the_result_and_the_callback_loses_nothing(self):
        port = dead_port()
        call = call_with(f"http://127.0.0.1:{port}/")
        wait_until(lambda: json_of("call", "show", call)["state"] == "finished",
                   CALL_TIMEOUT, "the call has ended")  # fmt: skip
        wait_until(lambda: callback_of(call)["tries"] > 0, CALL_TIMEOUT, "it was tried")
        server.kill()
        server.start()
        self.assertEqual(callback_of(call)["state"], "pending")
        with Receiver(port=port) as receiver:
            event = receiver.wait()[0]
            self.assertEqual(event["data"]["call"], call)
            wait_for_state(call, "delivered")
            self.assertEqual(len(receiver.told), 1)

    def test_a_thousand_for_a_dead_receiver_are_nothing_to_another_workspace(self):
        address = f"http://127.0.0.1:{dead_port()}/"
        own = json_of("token", "create", "owner")
        json_of("workspace", "create", "others")
        made = json_of("token", "create", "stranger", "--workspace", "others")
        owner, stranger = (
            {"authorization": f"Bearer {one['token']}:{one['secret']}"} for one in (own, made)
        )
        other = {"name": "other", "dockerfile": ["FROM python:3.11-slim", "WORKDIR /srv",
                                                 'CMD ["python3", "-m", "http.server", "8000"]'],
                 "port": 8000}  # fmt: skip
        status, said = api("POST", "/api/v1/functions", stranger, json.dumps(other))
        self.assertEqual(status, 200)
        self.assertIn(b'"function"', said.splitlines()[-1])
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        for _ in range(1000):
            connection.request("POST", "/api/v1/functions/tells/calls", body=b"x",
                               headers={**owner, "thaw-callback": address})  # fmt: skip
            answer = connection.getresponse()
            self.assertEqual(answer.status, 202)
            last = json.loads(answer.read())["call"]
        connection.close()
        wait_until(lambda: json_of("call", "show", last)["state"] == "finished",
                   CALL_TIMEOUT, "all have ended")  # fmt: skip
        with Receiver() as receiver:
            for number in range(1, 4):
                status, _ = api("POST", "/api/v1/functions/other/calls?method=GET&path=/",
                                {**stranger, "thaw-callback": receiver.url})  # fmt: skip
                self.assertEqual(status, 202)
                receiver.wait(number)
        state = callback_of(last)
        self.assertEqual(state["state"], "pending")
        secrets = {api("GET", "/api/v1/callback-secret", who)[1] for who in (owner, stranger)}
        self.assertEqual(len(secrets), 2)


if __name__ == "__main__":
    main()
