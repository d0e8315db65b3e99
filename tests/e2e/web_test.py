#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Web endpoints over plain HTTP: functions, ASGI apps with streaming, servers, classes."""
import concurrent.futures
import hashlib
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "web.py")


def url_of(name, method=None):
    if method:
        return getattr(modal.Cls.from_name("e2e-web", name)(), method).get_web_url()
    return modal.Function.from_name("e2e-web", name).get_web_url()


def fetch(url, data=None, headers=None):
    request = urllib.request.Request(url, data=data, headers=headers or {})
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT) as answer:
        return answer.status, dict(answer.headers), answer.read()


def fetch_json(url, data=None, headers=None):
    return json.loads(fetch(url, data, headers)[2])


def status_of(name):
    return next((view["status"] for view in server.running() if view["function"] == name), None)


class Functions(E2eTest):
    server = server

    def test_a_get_with_a_query_parameter(self):
        self.assertEqual(fetch_json(url_of("hello"))["hello"], "world")
        self.assertEqual(fetch_json(url_of("hello") + "?name=J%C3%B6rg")["hello"], "Jörg")

    def test_a_warm_endpoint_answers_from_the_same_container(self):
        first = fetch_json(url_of("hello"))
        self.assertEqual(fetch_json(url_of("hello"))["task"], first["task"])

    def test_a_post_with_a_body(self):
        body = json.dumps({"numbers": [1, 2, 39]}).encode()
        headers = {"content-type": "application/json"}
        self.assertEqual(fetch_json(url_of("total"), body, headers), {"total": 42})

    def leave_over_http2(self, address):
        """Asks and goes away while it waits: its process is killed once it has sent all."""
        client = subprocess.Popen(
            ["curl", "--silent", "--verbose", "--http2-prior-knowledge", address],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "no_proxy": "*"})  # fmt: skip
        sent = any(line.startswith("> GET") for line in client.stderr)
        client.kill()
        client.communicate()
        self.assertTrue(sent)

    def test_a_request_whose_caller_left_while_it_waited_is_not_run(self):
        url = urllib.parse.urlsplit(url_of("one_at_a_time"))
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(fetch_json, url.geturl() + "?name=first&seconds=3")
            wait_until(lambda: status_of("one_at_a_time") == "busy", CALL_TIMEOUT, "it runs")
            for _ in range(5):
                with socket.create_connection((url.hostname, url.port)) as leaves:
                    target = f"{url.path or '/'}?name=left"
                    head = f"GET {target} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n"
                    leaves.sendall(head.encode())
            self.leave_over_http2(url.geturl() + "?name=left")
            self.assertEqual(first.result()["seen"], ["first"])
        self.assertEqual(fetch_json(url.geturl() + "?name=last")["seen"], ["first", "last"])

    def test_a_wrong_method_is_405_and_a_bad_body_422(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(url_of("total"))
        self.assertEqual(caught.exception.code, 405)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(url_of("total"), b"[", {"content-type": "application/json"})
        self.assertEqual(caught.exception.code, 422)

    def test_an_exception_is_a_500_and_not_a_hang(self):
        started = time.monotonic()
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(url_of("broken"))
        self.assertEqual(caught.exception.code, 500)
        self.assertLess(time.monotonic() - started, CALL_TIMEOUT)

    def test_an_endpoint_that_asks_for_a_token_refuses_everybody_else(self):
        token = {
            "modal-key": os.environ["MODAL_TOKEN_ID"],
            "modal-secret": os.environ["MODAL_TOKEN_SECRET"],
        }
        for name in ("locked", "locked_files"):
            for headers in ({}, {**token, "modal-secret": "as-guessed"}, {"modal-key": "wk-x"}):
                with self.assertRaises(urllib.error.HTTPError) as caught:
                    fetch(url_of(name), headers=headers)
                self.assertEqual(caught.exception.code, 401)
                self.assertIn("token", json.load(caught.exception)["error"])
            self.assertEqual(fetch(url_of(name), headers=token)[0], 200)
        seen = fetch_json(url_of("locked"), headers=token)
        self.assertFalse({"modal-key", "modal-secret"} & set(seen), "user code sees the token")

    def test_the_query_names_the_parameters_of_a_class(self):
        url = f"{server.url}/web/e2e-web-greeter-greet"
        self.assertEqual(fetch_json(url + "?name=J%C3%B6rg+B."), {"greeting": "hello Jörg B."})
        self.assertEqual(fetch_json(url + "?name=a&times=2"), {"greeting": "hello ahello a"})
        for query, named in (("", "name"), ("?name=a&times=x", "times")):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                fetch(url + query)
            self.assertEqual(caught.exception.code, 400)
            self.assertIn(f"'{named}'", json.load(caught.exception)["error"])

    def test_each_environment_has_its_own_address(self):
        server.modal("environment", "create", "web-staging")
        deploy(server, "web.py", env={"MODAL_ENVIRONMENT": "web-staging"})
        found = modal.Function.from_name("e2e-web", "hello", environment_name="web-staging")
        staged = found.get_web_url()
        self.assertNotEqual(staged, url_of("hello"))
        self.assertEqual(fetch_json(staged)["hello"], "world")
        server.modal("app", "stop", "e2e-web", "--env", "web-staging", "--yes")
        self.assertEqual(fetch_json(url_of("hello"))["hello"], "world")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(staged)
        self.assertEqual(caught.exception.code, 404)

    def test_an_unknown_label_is_404(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(f"{server.url}/web/there-is-no-such-label/")
        self.assertEqual(caught.exception.code, 404)

    def test_a_class_serves_the_web_with_its_state(self):
        first = fetch_json(url_of("Model", "loaded"))
        self.assertEqual(fetch_json(url_of("Model", "loaded")), first)


class Wsgi(E2eTest):
    server = server

    def test_a_wsgi_app_sees_the_request_and_answers(self):
        url = url_of("old_style")
        status, headers, body = fetch(url + "/some/path?a=1", b"sent" * 10000)
        self.assertEqual((status, headers["x-seen"]), (201, "wsgi"))
        self.assertEqual(body, b"POST /some/path a=1\n" + b"sent" * 10000)

    def test_no_spelling_of_a_header_passes_for_what_a_proxy_says(self):
        headers = {"X_Forwarded_For": "6.6.6.6", "X_Forwarded_Proto": "https", "X_Other": "kept"}
        seen = json.loads(fetch(url_of("old_style") + "/environ", headers=headers)[2])
        self.assertEqual(seen["HTTP_X_FORWARDED_FOR"], "127.0.0.1")
        self.assertEqual(seen["HTTP_X_FORWARDED_PROTO"], "http")
        self.assertEqual(seen["HTTP_X_OTHER"], "kept")


class Asgi(E2eTest):
    server = server

    def test_the_first_line_arrives_before_the_last_is_made(self):
        arrived, made = [], []
        with urllib.request.urlopen(url_of("api") + "/stream", timeout=CALL_TIMEOUT) as answer:
            for line in answer:
                arrived.append(time.time())
                made.append(float(line.split()[1]))
        self.assertEqual(len(made), 5)
        self.assertLess(arrived[0], made[-1])

    def test_path_query_headers_cookie_and_body_arrive(self):
        headers = {"x-test": "a value", "cookie": "taste=salty"}
        found = fetch_json(url_of("api") + "/echo/a/b%20c?x=1&y=%26", b"z" * 1000, headers)
        self.assertEqual(found["path"], "a/b c")
        self.assertEqual(found["query"], {"x": "1", "y": "&"})
        self.assertEqual(found["length"], 1000)
        self.assertEqual((found["header"], found["cookie"]), ("a value", "salty"))

    def test_an_app_may_mount_another_and_knows_its_own_address(self):
        url = url_of("api")
        self.assertEqual(fetch_json(url + "/inner/"), {"mounted": "top"})
        self.assertEqual(fetch_json(url + "/inner/deep/a/b"), {"mounted": "a/b"})
        self.assertEqual(
            fetch_json(url + "/where?x=1"), {"url": url + "/where?x=1", "url_for": url + "/where"}
        )

    def test_a_redirect_stays_inside_of_the_app(self):
        url = url_of("api")
        whole = url + "/where?x=1"
        full_path = urllib.parse.urlsplit(whole).path + "?x=1"
        for to in ("/where?x=1", full_path, "where?x=1", whole):
            found = fetch_json(f"{url}/elsewhere?to={urllib.parse.quote(to)}")
            self.assertEqual(found["url"], url + "/where?x=1", to)

    def test_bodies_of_many_megabytes_go_both_ways(self):
        found = fetch_json(url_of("api") + "/echo/large", bytes(8 << 20))
        self.assertEqual(found["length"], 8 << 20)
        self.assertEqual(len(fetch(url_of("api") + f"/large?size={8 << 20}")[2]), 8 << 20)

    def test_a_body_comes_in_large_pieces_to_an_application_that_is_behind(self):
        body = os.urandom(1 << 20) * 8
        found = fetch_json(url_of("api") + "/pieces?pause=0.02", body)
        self.assertEqual(found["sha256"], hashlib.sha256(body).hexdigest())
        self.assertEqual(sum(found["sizes"]), len(body))
        self.assertLessEqual(max(found["sizes"]), 2 << 20)
        self.assertLessEqual(len(found["sizes"]), len(body) // (64 << 10))

    def test_a_piece_of_a_body_waits_for_no_other(self):
        url = urllib.parse.urlsplit(url_of("api") + "/pieces?most=1")
        with socket.create_connection((url.hostname, url.port), CALL_TIMEOUT) as client:
            head = f"POST {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            client.sendall(f"{head}Content-Length: 1000\r\n\r\n0123456789".encode())
            answer = b""
            while b"}" not in answer:
                answer += client.recv(4096)
        self.assertIn(b'"sizes":[10]', answer)

    def test_a_body_may_begin_late(self):
        url = urllib.parse.urlsplit(url_of("api") + "/pieces")
        with socket.create_connection((url.hostname, url.port), CALL_TIMEOUT) as client:
            head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
            client.sendall(f"{head}Content-Length: 10\r\n\r\n".encode())
            time.sleep(7)  # longer than the client in the container waits for a first word
            client.sendall(b"0123456789")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        self.assertIn(b"200 OK", answer)
        self.assertIn(b'"sizes":[10', answer)

    def test_an_answer_that_is_none_is_told_so(self):
        for path, reason in (("/headless", "sent a body before its status"),
                             ("/two-lengths", "content-length is said more than once")):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                fetch(url_of("unframed") + path)
            self.assertEqual(caught.exception.code, 500)
            self.assertIn(reason, caught.exception.read().decode())

    def test_too_much_behind_a_chunked_body_is_the_callers_error(self):
        url = urllib.parse.urlsplit(url_of("api") + "/echo/trailers")
        with socket.create_connection((url.hostname, url.port), CALL_TIMEOUT) as client:
            head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".encode())
            client.sendall(b"0\r\n" + b"x: %s\r\n" % (b"y" * 1000) * 40 + b"\r\n")
            answer = b"".join(iter(lambda: client.recv(4096), b""))
        self.assertIn(b"400 Bad Request", answer)
        self.assertIn(b"what stands behind its body is too large", answer)

    def test_requests_share_a_container(self):
        url = url_of("api") + "/stream?count=4&pause=0.5"
        fetch(url_of("api") + "/stream?count=1")
        started = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: fetch(url)[2], range(8)))
        self.assertEqual([len(answer.splitlines()) for answer in answers], [4] * 8)
        self.assertLess(time.monotonic() - started, 8 * 2, "the requests went one after another")

    def test_an_unknown_path_is_the_apps_own_404(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(url_of("api") + "/nowhere")
        self.assertEqual(caught.exception.code, 404)
        self.assertEqual(json.loads(caught.exception.read()), {"detail": "Not Found"})

    def test_a_client_that_goes_away_does_not_stop_the_next_one(self):
        answer = urllib.request.urlopen(url_of("api") + "/stream?count=100", timeout=CALL_TIMEOUT)
        answer.readline()
        answer.close()
        self.assertEqual(fetch_json(url_of("api") + "/echo/after", b"")["length"], 0)

    def test_a_websocket_talks_both_ways(self):
        self.talk({})

    def test_a_websocket_may_have_a_long_head(self):
        self.talk({"cookie": "session=" + "x" * 8000}, "?token=" + "y" * 4000)

    def talk(self, headers, query=""):
        import asyncio

        import aiohttp

        async def talk():
            async with aiohttp.ClientSession() as session:
                url = url_of("api") + "/talk" + query
                async with session.ws_connect(url, headers=headers) as socket:
                    await socket.send_str("abc")
                    first = await socket.receive_str(timeout=30)
                    await socket.send_str("bye")
                    last = await socket.receive(timeout=30)
                    return first, last.type

        self.assertEqual(asyncio.run(talk()), ("cba", aiohttp.WSMsgType.CLOSE))


class WebServer(E2eTest):
    server = server

    def test_a_program_inside_serves_its_port(self):
        status, headers, body = fetch(url_of("files"))
        self.assertEqual(status, 200)
        self.assertIn(b"served by a program of its own", body)
        self.assertIn("SimpleHTTP", headers.get("Server", headers.get("server", "")))

    def test_a_program_that_never_listens_is_an_error_for_all_who_wait(self):
        def answer(_):
            try:
                return fetch(url_of("never_listens"))[0]
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)["error"]

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for status, text in pool.map(answer, range(3)):
                self.assertEqual(status, 500)
                self.assertRegex(text, "(?i)port")

    def test_a_file_that_is_not_there_is_the_programs_own_404(self):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch(url_of("files") + "/absent")
        self.assertEqual(caught.exception.code, 404)


if __name__ == "__main__":
    main()
