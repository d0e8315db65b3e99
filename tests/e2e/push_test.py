#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Folders with a Dockerfile become functions: servers that know nothing of Thaw, called by HTTP."""
import base64
import concurrent.futures
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module()

PUSHED = APPS / "pushed"
MANY = ["--concurrency", "20"]


def thaw(*arguments, check=True, timeout=CALL_TIMEOUT, **options):
    done = subprocess.run(
        [str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
        capture_output=True, timeout=timeout, **options,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done


def json_of(*arguments):
    return json.loads(thaw(*arguments, "--json").stdout)


def push(name, *options, folder="odd", timeout=BUILD_TIMEOUT):
    return thaw("push", PUSHED / folder, name, *options, timeout=timeout)


def ask(name, path="/", method="GET", body=None, headers=None):
    """(status, body) through /fn/NAME"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        connection.request(method, f"/fn/{name}{path}", body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def containers_of(name):
    return [view for view in server.running() if view["function"] == name]


def connect(request):
    """A socket that has sent the text."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=CALL_TIMEOUT)
    connection.sendall(request.encode())
    return connection


def head_of(file):
    """The status line of an answer whose head is read."""
    first = file.readline()
    while file.readline().strip():
        pass
    return first


class Pushed(E2eTest):
    server = server

    def test_a_folder_is_pushed_and_answers_from_zero(self):
        said = push("greets", "--idle", "1", *MANY).stdout.decode()
        self.assertIn("preset   plain", said)
        self.assertIn("port 8000", said)  # as EXPOSE says
        address = f"http://127.0.0.1:{server.port}/fn/greets/"
        self.assertIn(address, said)
        self.assertIn(f"curl {address}", said)
        self.assertEqual(containers_of("greets"), [])
        self.assertEqual(ask("greets", "/a?b=c"), (200, b"hello, GET /a?b=c\n"))
        wait_until(lambda: not containers_of("greets"), 60, "it is at zero again")
        self.assertEqual(ask("greets", "/again"), (200, b"hello, GET /again\n"))

    def test_what_is_said_of_a_container_is_so_inside(self):
        push("inside", "--env", "COLOUR=blue", "--env", "EMPTY=", "--build-arg", "GREETING=hi",
             "--memory", "256MiB", "--port", "8123")  # fmt: skip
        status, body = ask("inside", "/environment")
        self.assertEqual(status, 200)
        inside = json.loads(body)
        self.assertEqual(inside["env"]["COLOUR"], "blue")
        self.assertEqual(inside["env"]["EMPTY"], "")
        self.assertEqual(inside["env"]["PORT"], "8123")
        self.assertEqual(inside["env"]["GREETING"], "hi")
        self.assertIn("server.py", inside["files"])
        self.assertNotIn("notes.md", inside["files"])  # .dockerignore

    def test_a_server_of_files_needs_no_port_and_no_preset(self):
        push("files", folder="files")
        self.assertEqual(ask("files", "/index.html"), (200, b"<p>a page</p>\n"))
        self.assertEqual(ask("files", "/nothing")[0], 404)

    def test_a_preset_is_guessed_and_kept(self):
        said = push("predicts", folder="predicts").stdout.decode()
        self.assertIn("preset   cog (the folder has a cog.yaml), port 5000", said)
        self.assertIn("/fn/predicts/predictions", said)
        asked = ["--data", '{"input": {"text": "abc"}}']
        # Its health check says that it is ready before it gets a request, and where that goes.
        call = json_of("invoke", "predicts", *asked, "--async")["call"]
        result = thaw("call", "result", call, "--wait", "60")
        self.assertEqual(json.loads(result.stdout)["output"], "ABC")
        answer = thaw("invoke", "predicts", "--path", "/predictions", *asked)
        self.assertEqual(json.loads(answer.stdout)["output"], "ABC")

    def test_nginx_is_a_function(self):
        push("nginx", folder="nginx")
        self.assertEqual(ask("nginx"), (200, b"<p>by nginx</p>\n"))

    def test_an_application_of_fastapi_is_a_function(self):
        push("fastapi", folder="fastapi")
        sent = thaw("invoke", "fastapi", "--path", "/double", "--data", '{"number": 21}')
        self.assertEqual(json.loads(sent.stdout), {"double": 42})

    def test_a_program_for_node_is_a_function(self):
        push("node", folder="node")
        self.assertEqual(ask("node", "/x"), (200, b"by node, /x\n"))

    def test_a_static_program_in_an_empty_image_is_asked_to_end_by_its_own_signal(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(PUSHED / "static", folder, dirs_exist_ok=True)
            shutil.copy(THAW_BIN.parent / "static_http_server", folder)
            thaw("push", folder, "static", "--idle", "1", timeout=BUILD_TIMEOUT)
        self.assertEqual(ask("static", "/x?y", "POST", b"text"), (200, b"POST /x?y text"))
        wait_until(lambda: not containers_of("static"), 60, "the server has scaled to zero")
        self.assertIn(b"asked to end by SIGQUIT", thaw("logs", "static").stdout)

    def test_an_idle_server_is_frozen_and_thawed(self):
        push("frozen", "--idle", "300", *MANY)
        first = json.loads(ask("frozen", "/environment")[1])["pid"]
        wait_until(lambda: [c["status"] for c in containers_of("frozen")] == ["frozen"], 60, "ice")
        self.assertEqual(json.loads(ask("frozen", "/environment")[1])["pid"], first)
        self.assertEqual(len(containers_of("frozen")), 1)

    def test_a_server_that_listens_before_it_has_loaded_is_waited_for(self):
        push("loads", "--env", "LOAD_S=2", "--ready", "/health")
        self.assertEqual(ask("loads")[0], 200)

    def test_methods_without_a_body_pass_through(self):
        push("methods", *MANY)
        self.assertEqual(ask("methods", "/x", "HEAD"), (200, b""))
        self.assertEqual(ask("methods", "/x", "OPTIONS"), (200, b"hello, OPTIONS /x\n"))

    def test_bytes_stream_both_ways_at_once(self):
        push("streams", *MANY)
        with connect(
            "POST /fn/streams/echo HTTP/1.1\r\nhost: thaw\r\ntransfer-encoding: chunked\r\n\r\n"
        ) as connection:
            file = connection.makefile("rb")
            for number in range(5):
                text = b"piece %d" % number
                connection.sendall(b"%x\r\n%s\r\n" % (len(text), text))
                if number == 0:
                    self.assertIn(b" 200 ", head_of(file))
                # The answer's piece is there before the next one of the request is sent.
                self.assertEqual(file.readline().strip(), b"%x" % len(text))
                self.assertEqual(file.read(len(text) + 2), text + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            self.assertEqual(file.readline().strip(), b"0")

    def test_an_upload_of_200_mb_arrives_whole(self):
        push("uploads", *MANY)
        piece = os.urandom(1 << 20)
        digest = hashlib.sha256()
        for _ in range(200):
            digest.update(piece)
        status, body = ask("uploads", "/digest", "POST", (piece for _ in range(200)),
                           {"content-length": str(200 << 20)})  # fmt: skip
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body), {"sha256": digest.hexdigest(), "bytes": 200 << 20})

    def test_a_websocket_passes_through(self):
        push("sockets", *MANY)
        key = base64.b64encode(os.urandom(16)).decode()
        with connect(
            "GET /fn/sockets/socket HTTP/1.1\r\nhost: thaw\r\nconnection: upgrade\r\n"
            f"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n"
        ) as connection:
            file = connection.makefile("rb")
            self.assertIn(b" 101 ", head_of(file))
            for text in (b"one", b"two"):
                mask = os.urandom(4)
                masked = bytes(c ^ mask[i % 4] for i, c in enumerate(text))
                connection.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)
                self.assertEqual(file.read(2 + len(text)), bytes([0x81, len(text)]) + text)

    def test_fifty_at_once_from_zero_are_all_answered(self):
        push("fifty", "--max", "2", "--concurrency", "10")
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda n: ask("fifty", f"/{n}"), range(50)))
        self.assertEqual(answers, [(200, b"hello, GET /%d\n" % n) for n in range(50)])

    def test_a_crash_is_told_with_its_cause_and_the_next_request_is_answered(self):
        push("dies")
        status, body = ask("dies", "/die", "POST", b"x")
        self.assertEqual(status, 500)
        self.assertIn("exited with code 3", json.loads(body)["error"])
        self.assertEqual(ask("dies"), (200, b"hello, GET /\n"))

    def test_a_caller_that_leaves_is_seen_inside(self):
        push("leaves", *MANY)
        with connect("GET /fn/leaves/endless HTTP/1.1\r\nhost: thaw\r\n\r\n") as connection:
            file = connection.makefile("rb")
            self.assertIn(b" 200 ", head_of(file))
            file.close()
        wait_until(lambda: ask("leaves", "/left")[1] == b"yes", 30, "the server has seen it")

    def test_a_new_version_under_load_fails_no_request(self):
        push("versions", *MANY)
        self.assertEqual(ask("versions")[1], b"hello, GET /\n")
        over = threading.Event()

        def load():
            answers = []
            while not over.is_set():
                answers.append(ask("versions"))
            return answers

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            try:
                push("versions", "--build-arg", "GREETING=again", *MANY)
                wait_until(lambda: ask("versions")[1] == b"again, GET /\n", 60, "the new one")
            finally:
                over.set()
            for answers in loads:
                for answer in answers.result():
                    self.assertIn(answer, [(200, b"hello, GET /\n"), (200, b"again, GET /\n")])

    def test_one_that_ignores_sigterm_is_removed_all_the_same(self):
        push("deaf", "--env", "DEAF=1")
        self.assertEqual(ask("deaf")[0], 200)
        thaw("function", "rm", "deaf")
        self.assertEqual(containers_of("deaf"), [])
        self.assertEqual(ask("deaf")[0], 404)

    def test_who_may_call_is_the_functions_setting(self):
        push("closed", "--callers", "tokens")
        self.assertEqual(ask("closed")[0], 401)
        token = json_of("token", "create", "caller")
        bearer = {"authorization": f"Bearer {token['token']}:{token['secret']}"}
        self.assertEqual(ask("closed", headers=bearer)[0], 200)
        self.assertEqual(thaw("invoke", "closed").stdout, b"hello, GET /\n")

    def api(self, method, path, headers, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def test_what_one_workspace_pushed_is_nothing_to_another(self):
        push("mine", "--callers", "tokens")
        call = json_of("invoke", "mine", "--async", "--path", "/echo", "--data", "secret")["call"]
        wait_until(lambda: b"secret" in thaw("call", "result", call, check=False).stdout,
                   CALL_TIMEOUT, "the call has a result")  # fmt: skip
        json_of("workspace", "create", "others")
        made = json_of("token", "create", "stranger", "--workspace", "others")
        own = json_of("token", "create", "owner")
        stranger, owner = (
            {"authorization": f"Bearer {one['token']}:{one['secret']}"} for one in (made, own)
        )
        asked = [
            ("GET", "/api/v1/functions/mine"), ("DELETE", "/api/v1/functions/mine"),
            ("POST", "/api/v1/functions/mine/calls"), ("GET", f"/api/v1/calls/{call}"),
            ("GET", f"/api/v1/calls/{call}/result"), ("DELETE", f"/api/v1/calls/{call}"),
            ("GET", "/api/v1/calls?function=mine"), ("GET", "/fn/mine/"), ("POST", "/fn/mine/"),
        ]  # fmt: skip
        for method, path in asked:
            with self.subTest(method=method, path=path):
                never = path.replace("mine", "none").replace(call, "fc-" + "0" * 22)
                found = [self.api(method, one, stranger) for one in (path, never)]
                self.assertEqual([status for status, _ in found], [404, 404])
                self.assertNotIn(b"secret", found[0][1])
        for path, empty in (("functions", {"functions": []}), ("calls", {"calls": [], "next": ""})):
            status, body = self.api("GET", f"/api/v1/{path}", stranger)
            self.assertEqual((status, json.loads(body)), (200, empty))
        # A bad one opens nothing, and the owner's still does.
        for wrong in ("Bearer x", "Bearer a:b", "Basic eA==", f"Bearer {own['token']}:wrong"):
            self.assertEqual(self.api("GET", "/api/v1/functions", {"authorization": wrong})[0], 401)
        self.assertEqual(self.api("GET", f"/api/v1/calls/{call}/result", owner)[0], 200)
        self.assertEqual(ask("mine", headers=owner)[0], 200)
        self.assertEqual(self.api("GET", "/web/mine/", {})[0], 401)
        self.assertEqual(self.api("GET", "/web/mine/", stranger)[0], 401)
        self.assertEqual(self.api("GET", "/web/mine/", owner)[0], 200)


class Invoked(E2eTest):
    server = server

    @classmethod
    def setUpClass(cls):
        push("invoked", *MANY)

    def test_invoke_prints_the_answer(self):
        self.assertEqual(thaw("invoke", "invoked").stdout, b"hello, GET /\n")
        self.assertEqual(thaw("invoke", "invoked", "--path", "/a?b").stdout, b"hello, GET /a?b\n")
        sent = thaw("invoke", "invoked", "--path", "/echo", "--data", "text")
        self.assertEqual(sent.stdout, b"text")
        data = os.urandom(3 << 20)
        sent = thaw("invoke", "invoked", "--path", "/echo", "--data", "-", input=data)
        self.assertEqual(sent.stdout, data)
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            sent = thaw("invoke", "invoked", "--path", "/echo", "--data", f"@{file.name}")
            self.assertEqual(sent.stdout, data)

    def test_an_answer_is_printed_as_it_comes(self):
        command = [THAW_BIN, "invoke", "invoked", "--path", "/endless", "--server", server.data]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"tick\n")
            process.kill()

    def test_an_answer_of_no_success_is_printed_and_is_an_error(self):
        done = thaw("invoke", "invoked", "--path", "/slow?s=0&status=418", "--data", "x",
                    check=False)  # fmt: skip
        self.assertEqual((done.returncode, done.stdout), (1, b"slowly x"))
        self.assertIn(b"418", done.stderr)

    def test_a_call_is_left_to_the_server_and_has_its_result(self):
        call = thaw("invoke", "invoked", "--path", "/slow", "--data", "x", "--async")
        call = call.stdout.decode().strip()
        self.assertEqual(thaw("call", "result", call, "--wait", "60").stdout, b"slowly x")
        view = json_of("call", "show", call)
        self.assertEqual(view["state"], "finished")
        self.assertEqual(view["outputs"][0]["outcome"], "success")
        self.assertIn(b"OUTCOME", thaw("call", "show", call).stdout)
        listed = json_of("call", "list", "invoked")["calls"]
        self.assertIn(call, [one["call"] for one in listed])
        self.assertIn(call.encode(), thaw("call", "list").stdout)

    def test_a_call_that_is_asked_for_twice_with_a_key_is_one(self):
        once = ["invoke", "invoked", "--data", "x", "--async", "--header", "Idempotency-Key: a b"]
        self.assertEqual(json_of(*once), json_of(*once))
        refused = thaw("invoke", "invoked", "--async", "--header", "x: y", check=False)
        self.assertIn(b"does not go with --async", refused.stderr)

    def test_a_call_is_cancelled(self):
        call = json_of("invoke", "invoked", "--path", "/slow?s=100", "--async")["call"]
        early = thaw("call", "result", call, check=False)
        self.assertEqual(early.returncode, 1)
        self.assertIn(b"is not finished", early.stderr)
        self.assertEqual(json_of("call", "cancel", call), {"cancelled": call})
        wait_until(lambda: json_of("call", "show", call)["state"] == "finished", 30, "its end")
        self.assertEqual(thaw("call", "result", call, check=False).returncode, 1)

    def test_functions_are_listed_shown_and_removed(self):
        push("short-lived")
        names = [view["name"] for view in json_of("function", "list")["functions"]]
        self.assertEqual(names, sorted(names))
        self.assertIn("short-lived", names)
        self.assertIn(b"short-lived", thaw("function", "list").stdout)
        self.assertEqual(json_of("function", "show", "short-lived")["port"], 8000)
        self.assertEqual(json_of("function", "rm", "short-lived"), {"removed": "short-lived"})
        gone = thaw("function", "show", "short-lived", check=False)
        self.assertEqual(gone.returncode, 1)
        self.assertIn(b"short-lived", gone.stderr)

    def test_mistakes_are_told_in_a_sentence(self):
        with tempfile.TemporaryDirectory() as folder:
            for arguments, sentence in [
                (["push", folder], "has no Dockerfile"),
                (["push", folder + "/none"], "there is no folder"),
                (["push", PUSHED / "files", "--preset", "nosuch"], "there is no preset 'nosuch'"),
                (["push", PUSHED / "files", "--memory", "lots"], "is no amount of memory"),
                (["push", PUSHED / "files", "--env", "x"], "--env takes NAME=value"),
                (["invoke", "nosuch"], "nosuch"),
                (["invoke", "nosuch", "--async"], "nosuch"),
                (["call", "show", "nosuch"], "nosuch"),
                (["function", "rm", "nosuch"], "nosuch"),
            ]:
                done = thaw(*arguments, check=False)
                self.assertEqual(done.returncode, 1, arguments)
                self.assertIn(sentence, (done.stdout + done.stderr).decode())

    def test_a_build_that_fails_says_why_and_leaves_the_old_version(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "Dockerfile")
            path.write_text("FROM python:3.11-slim\nRUN echo here it comes; exit 7\n")
            done = thaw("push", folder, "invoked", check=False, timeout=BUILD_TIMEOUT)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"here it comes", done.stderr)
        self.assertEqual(ask("invoked")[0], 200)


class Survives(E2eTest):
    """Last: the server that the others use is killed."""

    server = server

    def test_a_call_of_a_pushed_function_survives_the_servers_death(self):
        push("survives", *MANY)
        slow = ["--path", "/slow?s=3", "--data", "x", "--async"]
        call = json_of("invoke", "survives", *slow)["call"]
        wait_until(lambda: any(c["inputs"] for c in containers_of("survives")), 60, "it is inside")
        server.kill()
        server.start()
        result = thaw("call", "result", call, "--wait", "100", timeout=2 * CALL_TIMEOUT)
        self.assertEqual(result.stdout, b"slowly x")


if __name__ == "__main__":
    main()
