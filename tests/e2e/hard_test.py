#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Much at once: maps of thousands of inputs, payloads of 100 MB, uploads of hundreds of MB.

THAW_HARD_INPUTS (2000) and THAW_HARD_UPLOAD_MB (256) make it harder: 10000 and 1024 are the most
that is promised.
"""
import asyncio
import collections
import hashlib
import http.client
import os
import threading
import time
import urllib.parse

from thaw_server import BUILD_TIMEOUT, E2eTest, ThawServer, deploy, main

server = ThawServer.for_module()

import modal  # noqa: E402

INPUTS = int(os.environ.get("THAW_HARD_INPUTS", "2000"))
UPLOAD_MB = int(os.environ.get("THAW_HARD_UPLOAD_MB", "256"))
MB = 1 << 20


def setUpModule():
    deploy(server, "hard.py")


def function(name):
    return modal.Function.from_name("e2e-hard", name)


def numbers(message):
    return [int(word) for word in message.split() if word.isdigit()]


class Maps(E2eTest):
    server = server

    def test_a_long_map_has_every_result_and_every_exception_in_its_place(self):
        results = list(function("odd_only").map(range(INPUTS), return_exceptions=True))
        self.assertEqual(len(results), INPUTS)
        for number, result in enumerate(results):
            if number % 10:
                self.assertEqual(result, number * 2)
            else:
                self.assertIsInstance(result, ValueError)
                self.assertEqual(numbers(str(result)), [number])

    def test_a_long_map_without_order_has_each_result_once(self):
        options = {"order_outputs": False, "return_exceptions": True}
        found = collections.Counter()
        for result in function("odd_only").map(range(INPUTS), **options):
            is_error = isinstance(result, ValueError)
            found[numbers(str(result))[0] if is_error else result // 2] += 1
        self.assertEqual(found, collections.Counter(range(INPUTS)))

    def test_a_map_may_be_left_in_its_middle(self):
        found = []
        for result in function("add").map(range(INPUTS), [0] * INPUTS):
            found.append(result[0])
            if len(found) == 50:
                break
        self.assertEqual(found, list(range(50)))
        self.assertEqual(function("add").remote(1, 2), (3, 0))

    def test_wide_keywords_and_starmap(self):
        wide = {f"keyword_{number}": number for number in range(200)}
        pairs = [(number, 1) for number in range(200)]
        results = list(function("add").starmap(pairs, kwargs={"scale": 3, **wide}))
        self.assertEqual(results, [((number + 1) * 3, sum(range(200))) for number in range(200)])

    def test_several_iterators_end_with_the_shortest(self):
        results = list(function("add").map(range(1000), range(30)))
        self.assertEqual([result[0] for result in results], [2 * number for number in range(30)])

    def test_for_each_runs_all_and_raises_unless_told_not_to(self):
        count = INPUTS // 4
        function("note").for_each(range(count), ignore_exceptions=True)
        seen = modal.Dict.from_name("e2e-hard-seen")
        self.assertEqual(sorted(seen.keys()), list(range(count)))
        with self.assertRaises(KeyError):
            function("note").for_each([7])

    def test_a_map_in_an_event_loop(self):
        async def inputs():
            for number in range(1, 300):
                yield number
                await asyncio.sleep(0)

        async def collect():
            found = []
            async for result in function("odd_only").map.aio(inputs(), return_exceptions=True):
                found.append(result)
            return found

        found = asyncio.run(collect())
        self.assertEqual(len(found), 299)
        self.assertEqual(found[0], 2)

    def test_maps_side_by_side_keep_to_themselves(self):
        def one(start):
            results[start] = list(function("add").map(range(start, start + 200), [0] * 200))

        results = {}
        threads = [threading.Thread(target=one, args=(1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for start in (1000 * n for n in range(8)):
            self.assertEqual([r[0] for r in results[start]], list(range(start, start + 200)))

    def test_a_map_over_large_inputs(self):
        data = [os.urandom(64) * (5 * MB // 64) for _ in range(20)]
        results = list(function("turned").map(data))
        self.assertTrue(all(r == d[::-1] for r, d in zip(results, data, strict=True)))


class Payloads(E2eTest):
    server = server

    def test_100_mb_go_in_and_come_out(self):
        data = os.urandom(100 * MB)
        self.assertTrue(function("turned").remote(data) == data[::-1])

    def test_100_mb_of_a_spawned_call_are_read_twice(self):
        data = os.urandom(MB) * 100
        call = function("turned").spawn(data)
        for _ in range(2):
            self.assertTrue(call.get(timeout=BUILD_TIMEOUT) == data[::-1])

    def test_a_generator_of_large_pieces(self):
        found = list(function("pieces").remote_gen(6, 30 * MB))
        self.assertEqual([len(piece) for piece in found], [30 * MB] * 6)
        self.assertEqual([piece[0] for piece in found], list(range(6)))

    def test_an_exception_may_be_large(self):
        with self.assertRaises(Exception) as caught:
            function("fail_heavily").remote(8 * MB)
        self.assertIn("x" * 1000, str(caught.exception))


class Uploads(E2eTest):
    server = server

    def send(self, name, chunked):
        """What the application has seen, and what was sent, as (size, SHA-256)."""
        url = urllib.parse.urlsplit(function(name).get_web_url())
        piece = os.urandom(MB)
        digest = hashlib.sha256()

        def body():
            for number in range(UPLOAD_MB):
                this = number.to_bytes(8, "big") + piece[8:]
                digest.update(this)
                yield this

        headers = {} if chunked else {"Content-Length": str(UPLOAD_MB * MB)}
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=BUILD_TIMEOUT)
        try:
            connection.request("POST", url.path or "/", body(), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            self.assertEqual(answer.status, 200, text)
        finally:
            connection.close()
        size, seen = text.split()
        return (int(size), seen), (UPLOAD_MB * MB, digest.hexdigest())

    def test_a_large_upload_arrives_whole_and_the_server_stays_small(self):
        highest = self.highest_memory_while(
            lambda: [
                self.assertEqual(*self.send(name, chunked))
                for name in ("uploads", "program")
                for chunked in (False, True)
            ]
        )
        self.assertLess(highest, 200 * MB)

    def test_a_large_answer_arrives_whole_and_the_server_stays_small(self):
        def fetch():
            url = urllib.parse.urlsplit(function("downloads").get_web_url())
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=BUILD_TIMEOUT)
            connection.request("GET", f"{url.path or '/'}?{UPLOAD_MB}")
            answer = connection.getresponse()
            for number in range(UPLOAD_MB):
                self.assertTrue(answer.read(MB) == bytes([number % 256]) * MB, number)
            self.assertEqual(answer.read(), b"")
            connection.close()

        self.assertLess(self.highest_memory_while(fetch), 200 * MB)

    def highest_memory_while(self, act):
        """Bytes of the server's own memory, above what it has before, seen ten times a second."""

        def now():
            with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        return int(line.split()[1]) * 1024
            return 0

        def watch():
            while not over.is_set():
                seen.append(now())
                time.sleep(0.1)

        before, seen, over = now(), [0], threading.Event()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            act()
        finally:
            over.set()
            watcher.join()
        return max(seen) - before


if __name__ == "__main__":
    main()
