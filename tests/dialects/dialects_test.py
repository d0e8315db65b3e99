#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two dialects that are written against the gateway alone, beside the others in one server."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from thaw_server import (  # noqa: E402
    APPS, BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, E2eTest, ThawServer, descendants_of, main,
    parent_of, wait_until,
)  # fmt: skip

HERE = pathlib.Path(__file__).resolve().parent
POLL_PROGRAM = (HERE / "poll_program.py").read_text()
PUSH_SERVER = (HERE / "push_server.py").read_text()

# The dialect under test is the server, not its client: tokens are those of any other one.
server = ThawServer.for_module()


def thaw(*arguments, timeout=CALL_TIMEOUT):
    done = server.thaw(*map(str, arguments), timeout=timeout)
    if done.returncode != 0:
        raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def token(workspace=None):
    where = ["--workspace", workspace] if workspace else []
    made = json.loads(thaw("token", "create", "test", *where, "--data", server.data, "--json"))
    return f"{made['token']}:{made['secret']}"


KEY = token()


def ask(method, path, body=None, headers=None, host=None):
    """(status, body)"""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=BUILD_TIMEOUT)
    try:
        line.request(method, path, body, {**(headers or {}), **({"host": host} if host else {})})
        answer = line.getresponse()
        return answer.status, answer.read().decode()
    finally:
        line.close()


def containers_of(name):
    return [view for view in server.running() if view["function"] == name]


def logs_of(app):
    return thaw("logs", app, "--server", server.data)


def doors():
    """The server's sockets that the machine's own network does not list are of containers'."""
    listed = set()
    for table, column in (("tcp", 9), ("tcp6", 9), ("udp", 9), ("unix", 6), ("netlink", 9)):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            listed.add(line.split()[column])
    found = set()
    for fd in pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            name = os.readlink(fd)
        except OSError:
            continue
        if name.startswith("socket:[") and name[8:-1] not in listed:
            found.add(name)
    return found


def until_status(name, status):
    wait_until(lambda: [view["status"] for view in containers_of(name)] == [status], 60,
               f"{name} is {status}")  # fmt: skip


def until_zero(name):
    wait_until(lambda: not containers_of(name), 60, f"{name} is at zero")


class Poll:
    """The client of the poll dialect."""

    def __init__(self, key=None):
        self.headers = {"poll-key": key or KEY}

    def ask(self, method, path, body=None):
        status, text = ask(method, path, body, self.headers)
        return status, json.loads(text) if text.startswith("{") else text

    def publish(self, name, **settings):
        settings.setdefault("program", POLL_PROGRAM)
        status, said = self.ask("PUT", f"/poll/functions/{name}", json.dumps(settings))
        assert status == 200, said
        return said

    def call(self, name, query="", **order):
        return self.ask("POST", f"/poll/functions/{name}?{query}", json.dumps(order))

    def later(self, name, query="", **order):
        status, said = self.call(name, f"later=1&{query}", **order)
        assert status == 202, said
        return said["call"]

    def result(self, call, wait_s=60):
        return self.ask("GET", f"/poll/calls/{call}?wait_s={wait_s}")

    def cancel(self, call):
        return self.ask("DELETE", f"/poll/calls/{call}")


class Push:
    """The client of the push dialect."""

    def __init__(self, key=None):
        self.key = key or KEY

    def ask(self, op, **more):
        body = json.dumps({"key": self.key, "op": op, **more})
        status, text = ask("POST", "/jobs", body)
        return status, json.loads(text)

    def deploy(self, name, **settings):
        status, said = self.ask("deploy", name=name, server=PUSH_SERVER, **settings)
        assert status == 200, said

    def run(self, name, **order):
        status, said = self.ask("run", name=name, input=order)
        assert status == 200, said
        return said

    def enqueue(self, name, **order):
        status, said = self.ask("enqueue", name=name, input=order)
        assert status == 200, said
        return said["job"]

    def result(self, job, wait_s=60):
        return self.ask("result", job=job, wait_s=wait_s)[1]


poll = Poll()
push = Push()


class PullOverHttp(E2eTest):
    server = server

    def test_a_call_is_answered_from_zero_and_goes_back_there(self):
        poll.publish("doubles", window_s=1)
        self.assertEqual(containers_of("doubles"), [])
        self.assertEqual(poll.call("doubles", do="double", n=21),
                         (200, {"outcome": "success", "attempts": 1, "value": "42"}))  # fmt: skip
        until_zero("doubles")
        self.assertEqual(poll.call("doubles", do="double", n=4)[1]["value"], "8")

    def test_pieces_come_as_they_are_made_and_the_end_after_them(self):
        poll.publish("streams")
        order = json.dumps({"do": "pieces", "n": 3})
        status, text = ask("POST", "/poll/functions/streams?pieces=1", order, poll.headers)
        self.assertEqual(status, 200)
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([line.get("piece") for line in lines[:3]],
                         ["piece 0", "piece 1", "piece 2"])  # fmt: skip
        self.assertEqual(lines[3]["value"], "whole")

    def test_a_program_that_fails_is_asked_again_as_often_as_it_said(self):
        poll.publish("fails", retries=2)
        self.assertEqual(poll.call("fails", do="fail", times=1),
                         (200, {"outcome": "success", "attempts": 2, "value": "2"}))  # fmt: skip
        status, said = poll.call("fails", do="fail", times=9)
        self.assertEqual((status, said["outcome"], said["attempts"]), (500, "failure", 3))
        self.assertEqual(said["value"], "ValueError: as it was told")

    def test_a_container_that_dies_has_its_input_delivered_again(self):
        poll.publish("dies")
        call = poll.later("dies", do="die", times=1)
        self.assertEqual(poll.result(call)[1],
                         {"outcome": "success", "attempts": 2, "value": "2"})  # fmt: skip

    def test_at_most_once_is_once(self):
        poll.publish("once")
        call = poll.later("once", "once=1", do="die", times=1)
        status, said = poll.result(call)
        self.assertEqual((status, said["attempts"]), (500, 1))
        self.assertNotEqual(said["outcome"], "success")

    def test_a_call_past_its_time_is_ended_and_the_next_one_answered(self):
        poll.publish("late")
        status, said = poll.call("late", "run_for_ms=500", do="sleep", s=600)
        self.assertEqual((status, said["outcome"]), (500, "timeout"))
        self.assertEqual(poll.call("late", do="double", n=1)[1]["value"], "2")

    def test_a_cancelled_call_reaches_the_program_while_it_runs(self):
        poll.publish("left")
        call = poll.later("left", do="until cancelled")
        wait_until(lambda: any(view["inputs"] for view in containers_of("left")), 60, "it runs")
        self.assertEqual(poll.cancel(call)[0], 200)
        self.assertEqual(poll.result(call)[1]["outcome"], "terminated")
        # The same program answers the next one: it was told, and not killed.
        self.assertEqual(poll.call("left", do="double", n=3)[1]["value"], "6")
        self.assertEqual(len(containers_of("left")), 1)

    def test_a_container_is_frozen_in_its_poll_and_thawed_by_an_input(self):
        poll.publish("frozen", window_s=300)
        first = poll.call("frozen", do="pid")[1]["value"]
        self.assertEqual(poll.call("frozen", do="count")[1]["value"], "1")
        for n in range(2, 4):
            until_status("frozen", "frozen")
            self.assertEqual(poll.call("frozen", do="count")[1]["value"], str(n))
        self.assertEqual(poll.call("frozen", do="pid")[1]["value"], first)

    def test_a_program_without_a_network_has_its_door(self):
        poll.publish("blocked", blocked=True, window_s=300)
        self.assertEqual(poll.call("blocked", do="double", n=5)[1]["value"], "10")
        until_status("blocked", "frozen")
        self.assertEqual(poll.call("blocked", do="double", n=6)[1]["value"], "12")

    def test_several_inputs_wait_in_line_for_one_program(self):
        poll.publish("many")
        calls = [poll.later("many", do="double", n=n) for n in range(20)]
        found = [poll.result(call)[1]["value"] for call in calls]
        self.assertEqual(found, [str(2 * n) for n in range(20)])

    def test_a_large_answer_comes_whole(self):
        poll.publish("large")
        self.assertEqual(len(poll.call("large", do="big", bytes=5_000_000)[1]["value"]), 5_000_000)

    def test_a_program_reaches_nothing_of_the_server_but_its_own(self):
        poll.publish("victim")
        poll.publish("intrudes")
        running = poll.later("victim", do="sleep", s=4)
        wait_until(lambda: any(view["inputs"] for view in containers_of("victim")), 60, "it runs")
        words = wait_until(lambda: re.search(r"has (\S+)", logs_of("victim")), 60, "it says")
        said = poll.call("intrudes", do="intrude", other=words[1])[1]["value"]
        healthz, metrics, admin, api, answer, piece, publish = json.loads(said)
        self.assertEqual({healthz, metrics, admin, api, publish}, {404})
        self.assertEqual(piece, 404)
        self.assertEqual(poll.result(running)[1]["value"], "awake")

    def test_a_program_that_ends_before_it_asks_is_told_of(self):
        poll.publish("broken", program="raise SystemExit(3)")
        status, said = poll.call("broken", do="double", n=1)
        self.assertEqual(status, 500)
        self.assertIn("exited with code 3", said["value"])
        words = "import os; os.makedirs('/unfit')\n" + POLL_PROGRAM
        poll.publish("unfit", program=words)
        self.assertEqual(poll.call("unfit", do="double", n=1)[1]["value"], "nothing fits")

    def test_another_workspace_finds_nothing(self):
        poll.publish("private")
        call = poll.later("private", do="double", n=1)
        self.assertEqual(poll.result(call)[1]["value"], "2")
        thaw("workspace", "create", "others", "--data", server.data)
        stranger = Poll(token("others"))
        self.assertEqual(stranger.call("private", do="double", n=1)[0], 404)
        self.assertEqual(stranger.result(call, 0)[0], 404)
        self.assertEqual(stranger.cancel(call)[0], 404)
        self.assertEqual(Push(stranger.headers["poll-key"]).result(call, 0).get("ended"), None)
        self.assertEqual(Poll("ak-1:as-1").call("private", do="double", n=1)[0], 401)
        # A name of its own, and not that one's function.
        stranger.publish("private")
        self.assertEqual(stranger.call("private", do="double", n=2)[1]["value"], "4")

    def test_a_label_is_an_address(self):
        poll.publish("spoken", label="spoken")
        order = json.dumps({"do": "double", "n": 8})
        status, said = ask("POST", "/web/spoken", order)
        self.assertEqual((status, json.loads(said)["value"]), (200, "16"))

    def test_started_again_and_again_it_leaves_nothing_open(self):
        poll.publish("leaks", window_s=1)

        def cycle():
            self.assertEqual(poll.call("leaks", do="double", n=1)[0], 200)
            until_zero("leaks")

        cycle()
        before = len(doors())
        for _ in range(3):
            cycle()
        self.assertLessEqual(len(doors()), before)

    def test_a_spawner_that_is_killed_takes_containers_and_their_doors_along(self):
        poll.publish("spawned", window_s=300)
        call = poll.later("spawned", do="sleep", s=2)
        wait_until(lambda: any(view["inputs"] for view in containers_of("spawned")), 60, "it runs")
        self.assertGreater(len(doors()), 0)
        spawner = [pid for pid in descendants_of(server.process.pid)
                   if parent_of(pid) == server.process.pid]  # fmt: skip
        self.assertEqual(len(spawner), 1)
        os.kill(spawner[0], signal.SIGKILL)
        said = poll.result(call)[1]
        self.assertEqual((said["outcome"], said["attempts"]), ("success", 2))
        # That of the container that has just answered, at most with its poll.
        wait_until(lambda: len(doors()) <= 2, 60, "the doors of those that died are closed")


class DrivenPush(E2eTest):
    server = server

    def test_a_job_is_run_from_zero_and_goes_back_there(self):
        push.deploy("squares", window_s=1)
        self.assertEqual(push.run("squares", do="square", n=7),
                         {"ended": "success", "tries": 1, "status": 200, "output": "49"})
        until_zero("squares")
        self.assertEqual(push.run("squares", do="square", n=3)["output"], "9")

    def test_a_server_is_frozen_and_thawed_and_has_no_door(self):
        push.deploy("ice", window_s=300)
        first = push.run("ice", do="who")["output"]
        until_status("ice", "frozen")
        self.assertEqual(push.run("ice", do="who")["output"], first)
        self.assertEqual(push.run("ice", do="door")["output"], "false")

    def test_a_server_that_dies_has_its_job_again(self):
        push.deploy("falls")
        job = push.enqueue("falls", do="die")
        said = push.result(job)
        self.assertEqual((said["ended"], said["tries"], said["output"]), ("success", 2, "2"))

    def test_an_aborted_job_ends(self):
        push.deploy("aborted")
        job = push.enqueue("aborted", do="sleep", s=600)
        wait_until(lambda: any(view["inputs"] for view in containers_of("aborted")), 60, "it runs")
        self.assertEqual(push.ask("abort", job=job)[0], 200)
        self.assertEqual(push.result(job)["ended"], "terminated")

    def test_a_label_is_the_server_itself(self):
        push.deploy("open", label="open-door", inputs=4)
        status, said = ask("GET", "/web/open-door/here?a=b")
        self.assertEqual((status, json.loads(said)["path"]), (200, "/here?a=b"))

    def test_a_function_of_one_dialect_is_not_the_others(self):
        push.deploy("mine")
        self.assertEqual(poll.call("mine", do="double", n=1)[0], 404)
        status, said = poll.ask("PUT", "/poll/functions/mine",
                                json.dumps({"program": POLL_PROGRAM}))  # fmt: skip
        self.assertEqual(status, 409, said)


class Beside(E2eTest):
    server = server

    def test_all_dialects_serve_in_one_server(self):
        poll.publish("p", window_s=60)
        push.deploy("q", window_s=60)
        folder = APPS / "pushed" / "files"
        thaw("push", folder, "native", "--server", server.data, timeout=BUILD_TIMEOUT)
        with tempfile.TemporaryDirectory() as apart:
            shutil.copy(ROOT / "examples" / "get_started" / "get_started.py", apart)
            self.assertIn("1764", server.modal("run", "get_started.py", cwd=apart).stdout)
        self.assertEqual(ask("GET", "/fn/native/index.html")[0], 200)
        self.assertEqual(poll.call("p", do="double", n=2)[1]["value"], "4")
        self.assertEqual(push.run("q", do="square", n=2)["output"], "4")

    def test_what_was_accepted_outlives_a_server_that_is_killed(self):
        poll.publish("outlives")
        poll.publish("at-most")
        push.deploy("outlives-too")
        # In a container, and still to come.
        calls = [poll.later("outlives", do="sleep", s=3), poll.later("outlives", do="double", n=1)]
        job = push.enqueue("outlives-too", do="sleep", s=3)
        once = poll.later("at-most", "once=1", do="sleep", s=3)
        for name in ("outlives", "outlives-too", "at-most"):
            wait_until(lambda name=name: any(view["inputs"] for view in containers_of(name)), 60,
                       f"{name} runs")  # fmt: skip
        server.kill()
        server.start()
        self.assertEqual(poll.result(calls[0])[1],
                         {"outcome": "success", "attempts": 2, "value": "awake"})  # fmt: skip
        self.assertEqual(poll.result(calls[1])[1]["value"], "2")
        status, said = poll.result(once)
        self.assertEqual((status, said["attempts"]), (500, 1))
        self.assertNotEqual(said["outcome"], "success")
        said = push.result(job)
        self.assertEqual((said["ended"], said["tries"], said["output"]), ("success", 2, "2"))


if __name__ == "__main__":
    main()
