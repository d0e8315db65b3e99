#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Functions of a deployed app, called in every way: remote, spawn, map, generators, exceptions."""
import hashlib
import os
import sys
import time

from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402  (the server's address must be known before)
import modal_proto.api_pb2  # noqa: E402

sys.path.insert(0, str(APPS))


def function(name):
    return modal.Function.from_name("e2e-calls", name)


def setUpModule():
    deploy(server, "calls.py")


class Calls(E2eTest):
    server = server

    def test_remote_returns_the_value(self):
        self.assertEqual(function("square").remote(12), 144)
        self.assertEqual(function("add").remote(1, right=2), 3)
        self.assertEqual(function("add").remote(1), 11)

    def test_an_async_function_returns_the_value(self):
        self.assertEqual(function("async_square").remote(9), 81)

    def test_a_function_sent_by_value_runs(self):
        self.assertEqual(function("serialized").remote(41), 42)

    def test_a_function_calls_another_of_its_app(self):
        self.assertEqual(function("calls_another").remote(5), 26)

    def test_spawn_is_answered_at_once_and_read_again_and_again(self):
        started = time.monotonic()
        call = function("slow").spawn(3)
        self.assertLess(time.monotonic() - started, 3)
        with self.assertRaises(TimeoutError):
            call.get(timeout=0)
        first = call.get(timeout=CALL_TIMEOUT)
        self.assertTrue(first.startswith("ta-"))
        again = modal.FunctionCall.from_id(call.object_id)
        self.assertEqual(again.get(timeout=10), first)
        self.assertEqual(again.get(timeout=10), first)

    def test_what_became_of_a_call_is_counted_by_outcome(self):
        def counts(call):
            request = modal_proto.api_pb2.FunctionCallGetInfoRequest(
                function_call_id=call.object_id
            )
            info = server.rpc("FunctionCallGetInfo", request).info
            kinds = ("pending", "succeeded", "failed", "cancelled", "timeout")
            found = {kind: getattr(info, f"{kind}_inputs").total for kind in kinds}
            return {kind: count for kind, count in found.items() if count}

        good, bad = function("square").spawn(3), function("fail").spawn("zero")
        self.assertEqual(good.get(timeout=CALL_TIMEOUT), 9)
        with self.assertRaises(ZeroDivisionError):
            bad.get(timeout=CALL_TIMEOUT)
        self.assertEqual((counts(good), counts(bad)), ({"succeeded": 1}, {"failed": 1}))
        long = function("slow").spawn(300)
        self.assertEqual(counts(long), {"pending": 1})
        long.cancel()
        wait_until(lambda: counts(long) == {"cancelled": 1}, CALL_TIMEOUT, "it is cancelled")

    def test_a_cancelled_call_says_so(self):
        call = function("slow").spawn(300)
        with self.assertRaises(TimeoutError):
            call.get(timeout=5)
        call.cancel()
        with self.assertRaises(Exception) as caught:
            call.get(timeout=30)
        self.assertNotIsInstance(caught.exception, TimeoutError)
        self.assertIn("cancelled", str(caught.exception))

    def test_map_keeps_the_order_of_its_inputs(self):
        results = list(function("square").map(range(200)))
        self.assertEqual(results, [number**2 for number in range(200)])

    def test_map_without_order_gives_every_result_once(self):
        results = list(function("square").map(range(60), order_outputs=False))
        self.assertEqual(sorted(results), [number**2 for number in range(60)])

    def test_starmap_spreads_the_arguments(self):
        self.assertEqual(list(function("add").starmap([(1, 2), (3, 4)])), [3, 7])

    def test_map_raises_the_first_exception(self):
        with self.assertRaisesRegex(ValueError, "is even"):
            list(function("odd_only").map([1, 2, 3]))

    def test_map_can_return_exceptions_in_their_places(self):
        results = list(function("odd_only").map([1, 2, 3], return_exceptions=True))
        self.assertEqual([results[0], results[2]], [1, 3])
        self.assertIn("2 is even", str(results[1]))

    def test_an_exception_is_raised_again_with_its_type(self):
        for kind, expected in (("zero", ZeroDivisionError), ("key", KeyError)):
            with self.subTest(kind=kind), self.assertRaises(expected):
                function("fail").remote(kind)

    def test_an_exception_of_the_users_own_type_keeps_its_attributes(self):
        import calls

        with self.assertRaises(calls.Custom) as caught:
            function("fail").remote("custom")
        self.assertEqual((caught.exception.code, caught.exception.text), (7, "made by the test"))

    def test_a_generator_yields_everything_in_order(self):
        items = list(function("count").remote_gen(50))
        self.assertEqual([item["number"] for item in items], list(range(50)))

    def test_a_generators_first_item_arrives_before_its_last_is_made(self):
        arrived, made = [], []
        for item in function("count").remote_gen(5, pause=0.5):
            arrived.append(time.time())
            made.append(item["made_at"])
        self.assertLess(arrived[0], made[-1])

    def test_large_arguments_and_results_travel_whole(self):
        data = os.urandom(6 << 20)
        self.assertEqual(function("digest").remote(data), hashlib.sha256(data).hexdigest())
        self.assertEqual(len(function("zeros").remote(6 << 20)), 6 << 20)
        call = function("digest").spawn(data[: 1 << 20])
        expected = hashlib.sha256(data[: 1 << 20]).hexdigest()
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), expected)

    def test_a_hundred_spawned_calls_all_return(self):
        calls = [function("square").spawn(number) for number in range(100)]
        results = [call.get(timeout=CALL_TIMEOUT) for call in calls]
        self.assertEqual(results, [number**2 for number in range(100)])


class Deployments(E2eTest):
    server = server

    def test_a_new_deployment_answers_the_next_call(self):
        self.assertEqual(function("version").remote(), 1)
        identity = function("version").hydrate().object_id
        deploy(server, "calls.py", env={"E2E_VERSION": "2"})
        self.assertEqual(function("version").remote(), 2)
        self.assertEqual(function("version").hydrate().object_id, identity)

    def test_the_app_is_listed_and_can_be_stopped(self):
        deploy(server, "where.py")
        self.assertIn("e2e-where", server.modal("app", "list", "--json").stdout)
        self.assertEqual(modal.Function.from_name("e2e-where", "where").remote(3)["square"], 9)
        server.modal("app", "stop", "e2e-where", "--yes")
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Function.from_name("e2e-where", "where").remote(3)


if __name__ == "__main__":
    main()
