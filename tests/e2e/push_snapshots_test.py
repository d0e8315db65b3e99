#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Plain servers are restored from what one of them was once it was ready, or it is told why not."""
import concurrent.futures
import http.client
import json
import pathlib
import subprocess

from thaw_server import (
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, THAW_BIN, E2eTest, ThawServer, main, skip_all, wait_until,
)  # fmt: skip

if not pathlib.Path("/usr/local/lib/thaw/criu/criu").exists():
    skip_all("there is no criu; tools/setup installs it")

# What stands by is standby_test.py's.
server = ThawServer.for_module(config="[cold_start]\nstandby_s = 0\n")

PUSHED = APPS / "pushed"


def thaw(*arguments, check=True, timeout=CALL_TIMEOUT):
    done = subprocess.run([str(THAW_BIN), *map(str, arguments), "--server", str(server.data)],
                          capture_output=True, timeout=timeout)  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
    return done


def push(name, *options, folder="remembers"):
    options = ["--snapshot", "--idle", "1", *options]
    return thaw("push", PUSHED / folder, name, *options, timeout=BUILD_TIMEOUT)


def ask(name, path="/", method="GET", body=None):
    """(status, body) through /fn/NAME"""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
    try:
        headers = {"content-type": "application/json"} if body else {}
        connection.request(method, f"/fn/{name}{path}", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def state_of(name, path="/state"):
    status, body = ask(name, path)
    if status != 200:
        raise AssertionError(f"{name} answered {status}: {body}")
    return json.loads(body)


def containers_of(name):
    return [view for view in server.running() if view["function"] == name]


def levels_of(name):
    """Of all its starts, in order."""
    mine = [view for view in server.starts() if view["function"] == name]
    return [view["started_by"] for view in sorted(mine, key=lambda view: view["created_at"])]


def events(event, name):
    found = []
    for line in server.log_path.read_text(errors="replace").splitlines():
        if line.startswith("{") and f'"event":"{event}"' in line:
            fields = json.loads(line)
            if fields.get("function") == name:
                found.append(fields)
    return found


def goes_to_zero(name):
    wait_until(lambda: not containers_of(name), 60, f"no container of {name} is left")


def outcome_of_snapshot(name, count=1):
    """Whether one was taken: once it has been tried so many times, and all is at rest."""

    def tried():
        return len(events("snapshot taken", name)) + len(events("no snapshot", name)) >= count

    wait_until(tried, 120, f"a snapshot of {name} was tried")
    goes_to_zero(name)
    return len(events("snapshot taken", name)) > 0


def has_snapshot(name, count=1):
    if not outcome_of_snapshot(name, count):
        raise AssertionError(f"no snapshot: {events('no snapshot', name)}")


def log_of(name):
    done = thaw("logs", name)
    return (done.stdout + done.stderr).decode()


class Restored(E2eTest):
    server = server

    def test_what_was_loaded_before_it_was_ready_is_there_and_is_not_loaded_again(self):
        said = push("loads").stderr.decode()
        self.assertIn("the same in all of them", said)  # who asks for it is warned
        booted = state_of("loads")
        has_snapshot("loads")
        first = state_of("loads")
        goes_to_zero("loads")
        second = state_of("loads")
        self.assertEqual(levels_of("loads")[-2:], ["L3", "L3"])
        self.assertNotEqual(first["token"], booted["token"])  # of the one in the background
        for key in ("token", "loaded_at", "written", "ballast", "pid"):
            self.assertEqual(first[key], second[key], key)
        self.assertEqual(first["written"], first["token"])
        self.assertTrue(first["child"] and second["child"])
        self.assertEqual((first["requests"], second["requests"]), (1, 1))
        for key in ("urandom", "random", "ssl"):
            self.assertNotEqual(first[key], second[key], key)
        self.assertIsNone(first["environment"])  # what renews them leaves no trace
        self.assertNotEqual(first["host"], second["host"])
        shown = json.loads(thaw("function", "show", "loads", "--json").stdout)
        self.assertEqual(shown["snapshot"], "ready")
        self.assertIn("L3", thaw("logs", "--starts").stdout.decode())

    def test_two_at_once_are_two(self):
        push("twice", "--concurrency", "1", "--max", "2")
        state_of("twice")
        has_snapshot("twice")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            one, other = pool.map(lambda _: state_of("twice", "/slow"), range(2))
        self.assertEqual(levels_of("twice")[-2:], ["L3", "L3"])
        self.assertEqual(one["token"], other["token"])
        self.assertNotEqual(one["host"], other["host"])

    def test_a_new_version_starts_from_nothing_of_the_old_one(self):
        push("versions")
        state_of("versions")
        has_snapshot("versions")
        old = state_of("versions")
        push("versions", "--build-arg", "GREETING=again")
        wait_until(lambda: state_of("versions")["greeting"] == "again", 60, "the new version")
        has_snapshot("versions", 2)
        new = state_of("versions")
        self.assertEqual(levels_of("versions")[-1], "L3")
        self.assertEqual(new["greeting"], "again")
        self.assertNotEqual(new["token"], old["token"])
        push("versions", "--build-arg", "GREETING=again", "--env", "OTHER=1")
        self.assertNotIn(state_of("versions")["token"], (old["token"], new["token"]))

    def test_a_server_may_be_told_that_it_was_restored(self):
        push("told", "--restored", "/renew")
        self.assertEqual(state_of("told")["renewals"], 0)
        has_snapshot("told")
        first = state_of("told")
        goes_to_zero("told")
        second = state_of("told")
        self.assertEqual((first["renewals"], second["renewals"]), (1, 1))
        self.assertEqual(first["token"], second["token"])

    def test_one_that_watches_the_folder_it_works_in_goes_on_watching(self):
        push("watches", "--env", "WATCH=/srv/watched")
        state_of("watches")
        has_snapshot("watches")
        status, body = ask("watches", "/watched")
        self.assertEqual((status, json.loads(body)), (200, {"name": "news", "mask": 0x100}))
        self.assertEqual(levels_of("watches")[-1], "L3")

    def test_an_application_of_fastapi_is_restored(self):
        push("fastapi", "--env", "LOAD_S=1", folder="fastapi")
        asked = ("fastapi", "/double", "POST", b'{"number": 21}')
        self.assertEqual(json.loads(ask(*asked)[1]), {"double": 42})
        has_snapshot("fastapi")
        self.assertEqual(json.loads(ask(*asked)[1]), {"double": 42})
        self.assertEqual(levels_of("fastapi")[-1], "L3")

    def test_one_that_says_in_a_field_that_it_is_ready_is_restored(self):
        push("predicts", folder="predicts")
        asked = ("predicts", "/predictions", "POST", b'{"input": {"text": "abc"}}')
        self.assertEqual(json.loads(ask(*asked)[1])["output"], "ABC")
        has_snapshot("predicts")
        self.assertEqual(json.loads(ask(*asked)[1])["output"], "ABC")
        self.assertEqual(levels_of("predicts")[-1], "L3")


class Refused(E2eTest):
    server = server

    def test_what_cannot_be_written_is_told_and_goes_on_starting_cold(self):
        push("elsewhere", "--env", "WATCH=/tmp/watched")
        state_of("elsewhere")
        self.assertFalse(outcome_of_snapshot("elsewhere"))
        self.assertIn("thaw: no memory snapshot of elsewhere: ", log_of("elsewhere"))
        self.assertIn("it watches files (inotify)", log_of("elsewhere"))
        state_of("elsewhere")
        self.assertEqual(levels_of("elsewhere")[-1], "L4")

    def test_what_does_not_answer_after_a_restore_is_told_and_goes_on_starting_cold(self):
        push("fixed", "--env", "LISTEN=own")
        state_of("fixed")
        self.assertFalse(outcome_of_snapshot("fixed"))
        self.assertIn("let it listen on 0.0.0.0", log_of("fixed"))
        state_of("fixed")
        self.assertEqual(levels_of("fixed")[-1], "L4")

    def is_restored_or_told_that_it_gains_nothing(self, name, answer):
        # How long a start takes is the machine's; what follows from it is not.
        self.assertEqual(ask(name), (200, answer))
        if outcome_of_snapshot(name):
            level = "L3"
        else:
            level = "L4"
            self.assertIn("that is no gain, and it is not tried again", log_of(name))
        for _ in range(2):
            self.assertEqual(ask(name), (200, answer))
            goes_to_zero(name)
            self.assertEqual(levels_of(name)[-1], level)
        self.assertLessEqual(log_of(name).count("no memory snapshot"), 1)

    def test_nginx_is_restored_or_told_that_it_gains_nothing(self):
        push("nginx", folder="nginx")
        self.is_restored_or_told_that_it_gains_nothing("nginx", b"<p>by nginx</p>\n")

    def test_node_is_restored_or_told_that_it_gains_nothing(self):
        push("node", folder="node")
        self.is_restored_or_told_that_it_gains_nothing("node", b"by node, /\n")


class Survives(E2eTest):
    """Last: the server that the others use is killed."""

    server = server

    def test_a_killed_server_restores_what_the_one_before_it_has_written(self):
        push("survives")
        state_of("survives")
        has_snapshot("survives")
        before = state_of("survives")
        server.kill()
        server.start()
        after = state_of("survives")
        self.assertEqual(levels_of("survives")[-1], "L3")
        self.assertEqual(before["token"], after["token"])
        self.assertEqual(after["requests"], 1)


if __name__ == "__main__":
    main()
