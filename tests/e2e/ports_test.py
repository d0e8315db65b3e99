#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests that wait for a server of its own: what ends the wait, and what they are told."""
import concurrent.futures
import json
import resource
import socket
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until
from ladder import Ladder

server = ThawServer.for_module()
ladder = Ladder(server)

import modal  # noqa: E402

MOST_WAITING = 1000


def setUpModule():
    deploy(server, "ports.py")
    deploy(server, "ports_broken.py")


def url_of(app, name):
    return modal.Function.from_name(app, name).get_web_url()


def answer(url):
    """(status, error text or body)"""
    try:
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


callers = []  # all that there were


class Caller:
    """A connection that has asked and waits."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port))
        callers.append(self)
        head = f"GET {parts.path or '/'} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n"
        self.socket.sendall(head.encode())

    def status(self, timeout):
        """None while there is no answer."""
        self.socket.settimeout(timeout)
        try:
            return int(self.socket.recv(4096).split()[1])
        except TimeoutError:
            return None

    def leave(self):
        self.socket.close()


class Ports(E2eTest):
    server = server

    def tearDown(self):
        while callers:
            callers.pop().leave()

    def starts_of(self, name):
        return {start["container"] for start in ladder.starts() if start["function"] == name}

    def test_1_a_module_that_cannot_be_imported_is_told_to_all_who_wait(self):
        url = url_of("e2e-ports-broken", "broken")
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for status, text in pool.map(answer, [url] * 3):
                self.assertEqual(status, 500)
                self.assertIn("there_is_no_such_module", text)

    def test_2_who_leaves_is_not_started_for(self):
        url = url_of("e2e-ports-broken", "broken")
        wait_until(lambda: not ladder.running(), 30, "nothing runs")
        count = len(self.starts_of("broken"))
        self.assertEqual(answer(url)[0], 500)
        wait_until(lambda: not ladder.running(), 30, "nothing runs")
        caller = Caller(url)
        caller.leave()
        time.sleep(1)  # a start that had begun already may go on
        seen = len(self.starts_of("broken"))  # none, while the known error is told at once
        self.assertGreaterEqual(seen, count)
        time.sleep(10)  # far longer than what lies between two tries
        self.assertEqual(len(self.starts_of("broken")), seen)

    def test_3_a_request_past_its_timeout_is_told_so_and_counted(self):
        url = url_of("e2e-ports", "limited")
        self.assertEqual(answer(url), (200, "done"))
        before = ladder.metric("thaw_input_timeouts_total")
        status, text = answer(url + "/20")
        self.assertEqual((status, text), (504, "limited ran past its timeout of 2 s"))
        self.assertEqual(ladder.metric("thaw_input_timeouts_total"), before + 1)
        self.assertEqual(answer(url), (200, "done"))

    def test_4_past_their_limit_requests_are_refused_and_not_kept(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_WAITING + 100
        if hard < wanted:
            raise unittest.SkipTest(f"only {hard} files may be open")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        url = url_of("e2e-ports", "slow_to_start")
        waiting = [Caller(url) for _ in range(MOST_WAITING)]
        one_more = Caller(url)
        self.assertEqual(one_more.status(CALL_TIMEOUT), 429)
        self.assertIsNone(waiting[0].status(0.5))
        # One that leaves makes room.
        waiting[1].leave()
        time.sleep(1)
        another = Caller(url)
        self.assertIsNone(another.status(2))
        server.modal("app", "stop", "e2e-ports", "--yes")
        self.assertEqual([caller.status(20) for caller in (waiting[0], another)], [503, 503])


if __name__ == "__main__":
    main()
