#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was accepted is answered, though its container is to go, or went before it began."""
import json
import os
import signal
import threading
import time
import urllib.request

from thaw_server import (
    APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until,
)  # fmt: skip

server = ThawServer.for_module(config="[server]\ndrain_s = 30\n")

import modal  # noqa: E402

APP, PORTS = "e2e-accepted", "e2e-ports"


def setUpModule():
    deploy(server, "accepted.py")
    deploy(server, "ports.py")


def batched():
    return modal.Function.from_name(APP, "batched")


def starts(name):
    shown = server.thaw("logs", "--starts", "--json", "--data", str(server.data)).stdout
    return [start for start in json.loads(shown) if start["function"] == name]


class Request(threading.Thread):
    """A web request that the server inside answers after some seconds."""

    def __init__(self, url, seconds):
        super().__init__(daemon=True)
        self.url = f"{url}/{seconds}"
        self.answer = None

    def run(self):
        try:
            with urllib.request.urlopen(self.url, timeout=CALL_TIMEOUT) as answer:
                self.answer = (answer.status, answer.read())
        except Exception as error:
            self.answer = error


class Accepted(E2eTest):
    server = server

    def running(self, name):
        return [view for view in server.running() if view["function"] == name]

    def busy_ports(self):
        return [view for view in self.running("patient") if view["status"] == "busy"]

    def test_1_a_batch_that_fills_for_longer_than_the_window_is_run_once(self):
        task, size = batched().remote(4.0)
        self.assertEqual(size, 1)
        wait_until(lambda: not self.running("batched"), 60, "its window is over")
        [start] = starts("batched")
        self.assertEqual((start["container"], start["calls"]), (task, 1))

    def test_2_inputs_that_come_while_a_batch_fills_are_of_it(self):
        batched().remote(0)
        call = batched().spawn(0)
        time.sleep(1)
        more = [batched().spawn(0) for _ in range(3)]
        answers = [c.get(timeout=CALL_TIMEOUT) for c in [call, *more]]
        self.assertEqual({tuple(answer) for answer in answers}, {(answers[0][0], 4)})

    def test_3_a_container_killed_while_its_batch_fills_costs_no_call(self):
        first, _ = batched().remote(0)
        call = batched().spawn(0)
        time.sleep(1)
        [view] = self.running("batched")
        self.assertEqual(view["status"], "busy")
        os.kill(view["pid"], signal.SIGKILL)
        second, size = call.get(timeout=CALL_TIMEOUT)
        self.assertNotEqual(second, first)
        self.assertEqual(size, 1)

    def test_4_a_request_at_a_port_outlasts_a_new_version(self):
        url = modal.Function.from_name(PORTS, "patient").get_web_url()
        request = Request(url, 0)
        request.run()
        self.assertEqual(request.answer, (200, b"done"))
        request = Request(url, 8)
        request.start()
        [before] = wait_until(self.busy_ports, 30, "the request is at the server inside")
        source = server.folder / "ports.py"
        source.write_text((APPS / "ports.py").read_text() + "\n# a new version\n")
        server.modal("deploy", source)
        # A new container answers meanwhile, and the old one goes after its answer.
        other = Request(url, 0)
        other.run()
        self.assertEqual(other.answer, (200, b"done"))
        self.assertTrue(request.is_alive(), "the request was to outlast the deployment")
        request.join()
        self.assertEqual(request.answer, (200, b"done"))
        old = before["container"]
        wait_until(lambda: old not in [view["container"] for view in self.running("patient")], 30,
                   "the old container is gone")  # fmt: skip

    def test_5_a_request_at_a_port_outlasts_sigterm(self):
        url = modal.Function.from_name(PORTS, "patient").get_web_url()
        Request(url, 0).run()
        request = Request(url, 5)
        request.start()
        wait_until(self.busy_ports, 30, "the request is at the server inside")
        try:
            self.assertEqual(server.stop(), 0)
        finally:
            request.join()
            server.start()
        self.assertEqual(request.answer, (200, b"done"))

    def test_6_a_call_that_runs_outlasts_sigterm(self):
        plain = modal.Function.from_name(APP, "plain")
        plain.remote(0)
        answers = []
        caller = threading.Thread(target=lambda: answers.append(plain.remote(5)))
        caller.start()
        busy = wait_until(lambda: [v for v in self.running("plain") if v["status"] == "busy"], 30,
                          "the call runs")  # fmt: skip
        try:
            self.assertEqual(server.stop(), 0)
        finally:
            caller.join()
            server.start()
        self.assertEqual(answers, [busy[0]["container"]])


if __name__ == "__main__":
    main()
