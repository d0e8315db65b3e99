#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Versions of a pushed function beside the live one, aliases with weights, and the way back."""
import collections
import concurrent.futures
import http.client
import json
import subprocess
import threading

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module()

MANY = ["--concurrency", "50"]
REQUESTS = 10_000


def thaw(*arguments, check=True, timeout=CALL_TIMEOUT):
    done = subprocess.run(
        [str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
        capture_output=True, timeout=timeout,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done


def json_of(*arguments, timeout=CALL_TIMEOUT):
    return json.loads(thaw(*arguments, "--json", timeout=timeout).stdout)


def push(name, greeting, *options):
    """The version's name. Its answers begin with the greeting."""
    return json_of("push", APPS / "pushed" / "odd", name, "--env", f"GREETING={greeting}",
                   *MANY, *options, timeout=BUILD_TIMEOUT)["version"]  # fmt: skip


def ask(target, headers=None, method="GET", path="/"):
    """(status, body, version) of /fn/TARGET"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        connection.request(method, f"/fn/{target}{path}", headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("thaw-version")
    finally:
        connection.close()


def bearer_of(name):
    """The headers of who holds a new token of that name."""
    token = json_of("token", "create", name)
    return {"authorization": f"Bearer {token['token']}:{token['secret']}"}


def ask_host(host):
    """(status, body, version) of / on a function's own host"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        connection.request("GET", "/", headers={"host": f"{host}.localhost:{server.port}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.getheader("thaw-version")
    finally:
        connection.close()


def ask_often(name, count):
    """How often each answer came, over one connection."""
    answers = collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    for _ in range(count):
        connection.request("GET", f"/fn/{name}/")
        answer = connection.getresponse()
        answers[answer.status, answer.read().decode(), answer.getheader("thaw-version")] += 1
    connection.close()
    return answers


def containers_of(name):
    return [view for view in server.running() if view["function"] == name]


class Load:
    """Asks for a function all the time, and keeps every answer."""

    def __init__(self, name, threads=4):
        self.name, self.over, self.answers = name, threading.Event(), collections.Counter()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def run(self):
        while not self.over.is_set():
            try:
                answer = ask(self.name)
            except OSError as error:
                answer = repr(error)
            with self.lock:
                self.answers[answer] += 1

    def has_seen(self, version):
        with self.lock:
            return any(answer[2] == version for answer in self.answers)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Versions(E2eTest):
    server = server

    def test_two_versions_share_ten_thousand_requests_by_their_weights(self):
        one = push("shared", "one", "--idle", "2")
        two = push("shared", "two", "--idle", "2", "--alias", "live=10")
        self.assertEqual(containers_of("shared"), [])
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            some = pool.map(lambda _: ask_often("shared", REQUESTS // 8), range(8))
            answers = sum(some, collections.Counter())
        self.assertEqual(sum(answers.values()), REQUESTS)
        self.assertEqual(set(answers), {(200, "one, GET /\n", one), (200, "two, GET /\n", two)})
        part = answers[200, "two, GET /\n", two] / REQUESTS
        self.assertLess(abs(part - 0.10), 0.02)
        wait_until(lambda: not containers_of("shared"), 60, "both are at zero again")
        bearer = bearer_of("shares")
        self.assertEqual(ask(f"shared@{one}", bearer), (200, "one, GET /\n", one))
        self.assertEqual(ask(f"shared@{two}", bearer), (200, "two, GET /\n", two))

    def test_the_minimum_is_kept_by_the_versions_that_get_the_requests(self):
        def kept():
            shown = json_of("function", "show", "kept")["versions"]
            return {one["version"]: one["containers"] for one in shown}

        one = push("kept", "one", "--min", "2", "--idle", "2")
        wait_until(lambda: kept() == {one: 2}, 60, "the first keeps both")
        two = push("kept", "two", "--min", "2", "--idle", "2", "--alias", "live=50")
        wait_until(lambda: kept() == {one: 1, two: 1}, 60, "each keeps one")
        thaw("alias", "set", "kept", "live", f"{one}=1")
        wait_until(lambda: kept() == {one: 2, two: 0}, 60, "the first keeps both again")
        thaw("function", "rm", "kept")

    def test_a_new_version_under_load_fails_no_request(self):
        versions = [push("loaded", "first")]
        self.assertEqual(ask("loaded")[0], 200)
        with Load("loaded") as load:
            versions.append(push("loaded", "second", "--alias", "live=50"))
            wait_until(lambda: load.has_seen(versions[-1]), 60, "the second answers")
            thaw("alias", "set", "loaded", "live", f"{versions[1]}=1")
            versions.append(push("loaded", "third"))
            thaw("alias", "rm", "loaded", "live")
            wait_until(lambda: load.has_seen(versions[-1]), 60, "the third answers")
        for answer in load.answers:
            self.assertEqual(answer[0], 200, answer)
            self.assertIn(answer[2], versions)

    def test_the_way_back_by_an_alias_fails_no_request(self):
        good = push("back", "good")
        bad = push("back", "bad")
        self.assertEqual(ask("back"), (200, "bad, GET /\n", bad))
        with Load("back") as load:
            thaw("alias", "set", "back", "live", f"{good}=1")
            wait_until(lambda: load.has_seen(good), 60, "the good one answers")
            self.assertEqual(ask("back"), (200, "good, GET /\n", good))
        for answer in load.answers:
            self.assertEqual(answer[0], 200, answer)

    def test_a_version_or_an_alias_is_asked_for_in_each_way(self):
        one, two = push("asked", "one"), push("asked", "two")
        thaw("alias", "set", "asked", "old", f"{one}=7")
        old, new = (200, "one, GET /\n", one), (200, "two, GET /\n", two)
        self.assertEqual(ask("asked"), new)
        self.assertEqual(ask("asked@old"), old)
        bearer = bearer_of("asks")
        self.assertEqual(ask(f"asked@{one}", bearer), old)
        self.assertEqual(ask("asked@live"), new)
        self.assertEqual(ask("asked", {"thaw-version": "old"}), old)
        self.assertEqual(ask("asked", {"thaw-version": one, **bearer}), old)
        self.assertEqual(ask("asked@old", {"thaw-version": two})[0], 400)
        for target in ("asked@none", "asked@de-none", "asked@", "asked@old@old"):
            status, body, _ = ask(target, bearer)
            self.assertEqual(status, 200 if target == "asked@" else 404, body)
        # Strangers ask for what has an alias, and do not learn which versions there are.
        for target in (f"asked@{one}", "asked@de-none"):
            self.assertEqual(ask(target)[0], 401)
        self.assertEqual(ask("asked@none")[0], 404)
        self.assertEqual(ask("asked", {"thaw-version": one})[0], 401)
        for host, expected in (("asked", new), ("old--asked", old), ("live--asked", new)):
            self.assertEqual(ask_host(host), expected)
        self.assertEqual(ask_host("none--asked")[0], 404)
        self.assertEqual(thaw("invoke", "asked", "--version", "old").stdout, b"one, GET /\n")
        self.assertEqual(thaw("invoke", "asked").stdout, b"two, GET /\n")
        for option, version in ((["--version", "old"], one), (["--version", two], two), ([], two)):
            call = json_of("invoke", "asked", "--async", "--data", "x", *option)["call"]
            thaw("call", "result", call, "--wait", "60")
            self.assertEqual(json_of("call", "show", call)["version"], version)
            self.assertIn(version.encode(), thaw("call", "show", call).stdout)
        missing = thaw("invoke", "asked", "--async", "--version", "none", check=False)
        self.assertEqual(missing.returncode, 1)
        self.assertIn(b"no version 'none'", missing.stderr)

    def test_versions_and_aliases_are_shown_set_and_removed(self):
        one = push("shown", "one", "--keep-versions", "2")
        two = push("shown", "two", "--keep-versions", "2")
        thaw("alias", "set", "shown", "canary", f"{one}=90", f"{two}=10")
        view = json_of("function", "show", "shown")
        self.assertEqual([each["version"] for each in view["versions"]], [two, one])
        self.assertEqual([each["live"] for each in view["versions"]], [True, False])
        self.assertEqual(view["aliases"], {"canary": {one: 90, two: 10}})
        table = thaw("function", "show", "shown").stdout.decode()
        self.assertIn("(live), canary=10", table)
        self.assertIn("canary=90", table)
        self.assertIn("90.0 %", thaw("alias", "list", "shown").stdout.decode())
        listed = json_of("alias", "list")["aliases"]
        self.assertIn({"function": "shown", "alias": "canary", "versions": {one: 90, two: 10}},
                      listed)  # fmt: skip
        # What an alias names stays; what none names goes when it is one too many.
        thaw("alias", "set", "shown", "canary", f"{one}=1")
        three = push("shown", "three", "--keep-versions", "2")
        four = push("shown", "four", "--keep-versions", "2")
        kept = [each["version"] for each in json_of("function", "show", "shown")["versions"]]
        self.assertEqual(kept, [four, three, one])
        bearer = bearer_of("shows")
        self.assertEqual(ask(f"shown@{two}", bearer)[0], 404)
        self.assertEqual(ask("shown@canary"), (200, "one, GET /\n", one))
        self.assertEqual(json_of("alias", "rm", "shown", "canary"), {"removed": "canary"})
        wait_until(lambda: len(json_of("function", "show", "shown")["versions"]) == 2, 60, "an end")
        for arguments, sentence in [
            (["alias", "set", "shown", "canary", "de-none=1"], "keeps no version"),
            (["alias", "set", "shown", "canary", f"{four}=0"], "from 1 to 10000"),
            (["alias", "set", "shown", "canary", f"{four}=x"], "whole number"),
            (["alias", "set", "shown", "No", f"{four}=1"], "cannot be the name of an alias"),
            (["alias", "set", "nosuch", "canary", f"{four}=1"], "nosuch"),
            (["alias", "rm", "shown", "nosuch"], "has no alias 'nosuch'"),
            (["push", APPS / "pushed" / "odd", "shown", "--alias", "live"], "--alias NAME=PERCENT"),
            (["push", APPS / "pushed" / "odd", "shown", "--alias", "live=0"], "1 to 100 percent"),
        ]:
            done = thaw(*arguments, check=False)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(sentence, (done.stdout + done.stderr).decode())

    def test_two_pushes_of_one_name_at_once_both_succeed_or_say_who_was_later(self):
        push("twice", "before")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            done = list(pool.map(
                lambda n: thaw("push", APPS / "pushed" / "odd", "twice", "--env",
                               f"GREETING=g{n}", *MANY, check=False, timeout=BUILD_TIMEOUT),
                range(4)))  # fmt: skip
        for each in done:
            if each.returncode != 0:
                self.assertIn(b"begun later is live already", each.stderr)
        self.assertIn(0, [each.returncode for each in done])
        self.assertEqual(ask("twice")[0], 200)

    def test_a_version_that_was_open_is_closed_with_the_function(self):
        one = push("closes", "one", "--callers", "anyone")
        push("closes", "two", "--callers", "tokens")
        self.assertEqual(ask("closes")[0], 401)
        self.assertEqual(ask(f"closes@{one}")[0], 401)
        self.assertEqual(ask("closes@none")[0], 401)
        bearer = bearer_of("opens")
        self.assertEqual(ask(f"closes@{one}", bearer), (200, "one, GET /\n", one))

    def test_a_second_workspace_finds_neither_version_nor_alias(self):
        one = push("private", "one", "--callers", "tokens")
        push("private", "two", "--callers", "tokens")
        thaw("alias", "set", "private", "old", f"{one}=1")
        json_of("workspace", "create", "elsewhere")
        made = json_of("token", "create", "stranger", "--workspace", "elsewhere")
        stranger = {"authorization": f"Bearer {made['token']}:{made['secret']}"}
        body = json.dumps({"versions": {one: 1}})
        for method, path, sent in [
            ("GET", "/fn/private@old/", None), ("GET", f"/fn/private@{one}/", None),
            ("GET", "/api/v1/functions/private/aliases", None),
            ("PUT", "/api/v1/functions/private/aliases/old", body),
            ("DELETE", "/api/v1/functions/private/aliases/old", None),
            ("POST", f"/api/v1/functions/private/calls?version={one}", None),
            ("POST", "/api/v1/functions/private/calls?alias=old", None),
        ]:  # fmt: skip
            with self.subTest(method=method, path=path):
                connection = http.client.HTTPConnection("127.0.0.1", server.port,
                                                        timeout=CALL_TIMEOUT)  # fmt: skip
                connection.request(method, path, body=sent, headers=stranger)
                answer = connection.getresponse()
                self.assertEqual(answer.status, 404)
                self.assertNotIn(one.encode(), answer.read())
                connection.close()
        self.assertEqual(json_of("alias", "list", "private")["aliases"][0]["versions"], {one: 1})


class Survives(E2eTest):
    """The server that the others use is killed, and started again."""

    server = server

    def test_a_call_that_is_pinned_to_an_old_version_survives_the_servers_death(self):
        one = push("pinned", "one", "--keep-versions", "1")
        slow = ["--path", "/slow?s=3", "--data", "x", "--async", "--version", one]
        call = json_of("invoke", "pinned", *slow)["call"]
        two = push("pinned", "two", "--keep-versions", "1")
        wait_until(lambda: any(c["inputs"] for c in containers_of("pinned")), 60, "it is inside")
        server.kill()
        server.start()
        result = thaw("call", "result", call, "--wait", "100", timeout=2 * CALL_TIMEOUT)
        self.assertEqual(result.stdout, b"slowly x")
        self.assertEqual(json_of("call", "show", call)["version"], one)
        # With its last call it is one too many.
        wait_until(lambda: [each["version"] for each in
                            json_of("function", "show", "pinned")["versions"]] == [two],
                   60, "it goes")  # fmt: skip
        self.assertEqual(ask("pinned"), (200, "two, GET /\n", two))


if __name__ == "__main__":
    main()
