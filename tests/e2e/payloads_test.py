#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Large inputs and results of calls: stored once, beside the database, and never held in memory."""
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import subprocess

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module()

MB = 1 << 20


def thaw(*arguments, timeout=CALL_TIMEOUT):
    done = subprocess.run(
        [str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
        capture_output=True, timeout=timeout,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done.stdout


def push(name, *options):
    thaw("push", APPS / "pushed" / "odd", name, *options, timeout=BUILD_TIMEOUT)


def bearer():
    token = json.loads(thaw("token", "create", "payloads", "--json"))
    return {"authorization": f"Bearer {token['token']}:{token['secret']}"}


def api(method, path, body=None, headers=None):
    """(status, body) of /api/v1/PATH"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        connection.request(method, f"/api/v1/{path}", body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def call(name, body, headers, path="/echo"):
    status, answer = api("POST", f"functions/{name}/calls?path={path}", body, headers)
    if status != 202:
        raise AssertionError(f"{status}: {answer.decode()}")
    return json.loads(answer)["call"]


def result(of, headers):
    def ended():
        status, body = api("GET", f"calls/{of}/result?wait_s=20", headers=headers)
        return status != 202 and (status, body)

    return wait_until(ended, CALL_TIMEOUT, "the call has ended")


def bytes_below(folder):
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # the server is at work
                total += os.stat(os.path.join(base, name)).st_size
    return total


def database_bytes():
    return sum(file.stat().st_size for file in server.data.glob("thaw.db*"))


def blob_bytes():
    return bytes_below(server.data / "blobs")


def memory():
    """Of the server's own process, in bytes; pages of files are nobody's."""
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("the server has no memory")


class Payloads(E2eTest):
    server = server

    def test_a_large_request_and_its_answer_are_each_stored_once_and_arrive_whole(self):
        push("large")
        headers = bearer()
        body = os.urandom(20 * MB)
        before = blob_bytes(), database_bytes()
        first = call("large", body, headers)
        self.assertEqual(result(first, headers), (200, body))
        # What came back is what went in: one file for both, and for whoever sends it again.
        second = call("large", body, headers, "/digest")
        status, told = result(second, headers)
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(told)["sha256"], hashlib.sha256(body).hexdigest())
        self.assertLess(blob_bytes() - before[0], 21 * MB)
        self.assertLess(database_bytes() - before[1], 5 * MB)
        server.kill()
        server.start()
        self.assertEqual(result(first, headers), (200, body))

    def test_a_repeat_of_a_large_request_is_the_same_call(self):
        push("repeats")
        headers = bearer() | {"idempotency-key": "k"}
        body = os.urandom(2 * MB)
        made = call("repeats", body, headers)
        self.assertEqual(call("repeats", body, headers), made)
        status, told = api("POST", "functions/repeats/calls?path=/echo", body[:-1] + b"?", headers)
        self.assertEqual(status, 400, told)

    def test_pending_calls_cost_the_server_no_memory(self):
        push("waits", "--env", "LOAD_S=3600", "--ready", "/health")
        headers = bearer()
        call("waits", os.urandom(8 * MB), headers)  # what the first one costs is paid
        before = memory()
        made = [call("waits", os.urandom(8 * MB), headers) for _ in range(40)]
        self.assertLess(memory() - before, 100 * MB)
        for one in made:
            api("DELETE", f"calls/{one}", headers=headers)
        thaw("function", "rm", "waits")

    def test_a_body_that_is_too_large_is_refused_and_leaves_nothing(self):
        push("bounded")
        headers = bearer()
        before = blob_bytes()
        path = "/api/v1/functions/bounded/calls?path=/echo"
        # Who says how much it will be is told before a byte of it is sent.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.putrequest("POST", path)
        for name, value in (headers | {"content-length": str(300 * MB)}).items():
            connection.putheader(name, value)
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()
        # Who does not is told when it is too much, or cut off.
        piece = os.urandom(MB)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        with contextlib.suppress(ConnectionError):
            connection.request("POST", path, (piece for _ in range(300)), headers)
            self.assertEqual(connection.getresponse().status, 413)
        connection.close()
        self.assertLess(blob_bytes() - before, MB)
        self.assertEqual(result(call("bounded", b"small", headers), headers), (200, b"small"))

    def test_bytes_that_are_gone_from_the_disk_cost_their_call_only(self):
        push("loses", "--env", "LOAD_S=3600", "--ready", "/health")
        headers = bearer()
        lost = call("loses", os.urandom(MB), headers)
        small = call("loses", b"small", headers)
        server.kill()
        shutil.rmtree(server.data / "blobs")
        server.start()
        push("loses")
        status, told = result(lost, headers)
        self.assertEqual(status, 500)
        self.assertIn("gone from the server's disk", json.loads(told)["error"])
        self.assertEqual(result(small, headers), (200, b"small"))


if __name__ == "__main__":
    main()
