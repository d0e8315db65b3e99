#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Looking back at calls: their graphs, their lists, their results for as long as they are kept."""
import concurrent.futures
import datetime
import json
import time

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

KEEP_S = 45
server = ThawServer.for_module(config=f"[calls]\nkeep_results_s = {KEEP_S}\n")

import grpclib  # noqa: E402
import modal  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402
from modal.types import InputStatus  # noqa: E402

APP = "e2e-trees"


def function(name):
    return modal.Function.from_name(APP, name)


def setUpModule():
    deploy(server, "call_trees.py")


def shape(nodes):
    """The names of a graph, the children in an order of their own."""
    return sorted((node.function_name, shape(node.children)) for node in nodes)


def calls_of(name, *options):
    return json.loads(
        server.modal("function", "calls", f"{APP}/{name}", "--json", *options).stdout
    )


class Graphs(E2eTest):
    server = server

    def test_a_graph_has_all_that_a_call_made_in_its_containers(self):
        call = function("root").spawn(5)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT)[0], 10 + 12)
        leaf = ("leaf", [])
        wanted = [("root", [("branch", [leaf] * 4), leaf])]
        [top] = graph = call.get_call_graph()
        self.assertEqual(shape(graph), wanted)
        self.assertEqual(top.function_call_id, call.object_id)
        self.assertEqual(top.status, InputStatus.SUCCESS)
        self.assertTrue(top.task_id.startswith("ta-"))
        self.assertEqual(top.module_name, "call_trees")
        # The queue forgets what was read; the graph tells of it still.
        time.sleep(35)
        [later] = modal.FunctionCall.from_id(call.object_id).get_call_graph()
        self.assertEqual(shape([later]), wanted)
        self.assertEqual({node.status for node in later.children}, {InputStatus.SUCCESS})

    def test_a_graph_tells_what_has_failed_and_what_runs(self):
        call = function("clumsy").spawn()
        call.get(timeout=CALL_TIMEOUT)
        [top] = call.get_call_graph()
        self.assertEqual(
            sorted(node.status for node in top.children),
            sorted([InputStatus.FAILURE, InputStatus.SUCCESS]),
        )
        call = function("slow").spawn(2)
        self.assertEqual([node.status for node in call.get_call_graph()], [InputStatus.PENDING])
        call.get(timeout=CALL_TIMEOUT)
        self.assertEqual([node.status for node in call.get_call_graph()], [InputStatus.SUCCESS])

    def test_a_method_of_a_class_is_the_parent_of_what_it_calls(self):
        counter = modal.Cls.from_name(APP, "Counter")
        call = counter(start=3).add.spawn(4)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), 11)
        [top] = call.get_call_graph()
        self.assertEqual([node.function_name for node in top.children], ["leaf"])

    def test_nobody_becomes_a_child_of_an_input_that_it_has_not(self):
        call = function("root").spawn(1)
        call.get(timeout=CALL_TIMEOUT)
        [top] = call.get_call_graph()
        before = shape([top])
        made = server.rpc(
            "FunctionMap",
            pb.FunctionMapRequest(
                function_id=function("leaf").hydrate().object_id, parent_input_id=top.input_id
            ),
        )
        self.assertTrue(made.function_call_id)
        self.assertEqual(shape(call.get_call_graph()), before)


class Results(E2eTest):
    server = server

    def test_spawned_maps_are_read_by_index_again_and_again_and_after_a_restart(self):
        call = function("leaf").experimental_spawn_map(range(120))
        self.assertEqual(call.num_inputs(), 120)
        self.assertEqual(list(call.iter()), [2 * n for n in range(120)])
        server.kill()
        server.start()
        again = modal.FunctionCall.from_id(call.object_id)
        self.assertEqual(again.num_inputs(), 120)
        self.assertEqual(again.get(index=7, timeout=CALL_TIMEOUT), 14)
        self.assertEqual(list(again.iter(start=118, end=120)), [236, 238])
        self.assertEqual(list(again.iter(start=118)), [236, 238])

    def test_several_calls_are_gathered_in_their_order(self):
        calls = [function("leaf").spawn(n) for n in range(10)]
        self.assertEqual(modal.FunctionCall.gather(*calls), [2 * n for n in range(10)])
        calls.append(function("leaf").spawn(-1))
        with self.assertRaises(ValueError):
            modal.FunctionCall.gather(*calls)

    def test_a_poll_without_patience_is_answered_at_once(self):
        call = function("slow").spawn(3)
        began = time.monotonic()
        with self.assertRaises(TimeoutError):
            call.get(timeout=0)
        self.assertLess(time.monotonic() - began, 3)
        call.get(timeout=CALL_TIMEOUT)
        self.assertTrue(call.get(timeout=0).startswith("ta-"))

    def test_a_result_is_kept_as_long_as_the_server_says_and_no_longer(self):
        call = function("leaf").spawn(21)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), 42)
        began = time.monotonic()

        def is_gone():
            try:
                return modal.FunctionCall.from_id(call.object_id).get(timeout=0) != 42
            except modal.exception.NotFoundError:
                return True

        wait_until(is_gone, KEEP_S + 120, "the result is forgotten", pause=2)
        self.assertGreater(time.monotonic() - began, KEEP_S - 2)


class Lists(E2eTest):
    server = server

    def test_the_latest_calls_of_a_function_are_listed_with_what_became_of_them(self):
        call = function("slow").spawn(0)
        container = call.get(timeout=CALL_TIMEOUT)
        failed = function("leaf").spawn(-5)
        with self.assertRaises(ValueError):
            failed.get(timeout=CALL_TIMEOUT)
        running = function("slow").spawn(30)
        wait_until(
            lambda: [one["status"] for one in calls_of("slow", "--tail", "1")] == ["running"],
            CALL_TIMEOUT, "the call runs",
        )  # fmt: skip
        newest, before = calls_of("slow", "--tail", "2")
        self.assertEqual(newest["function_call_id"], running.object_id)
        self.assertEqual(before["function_call_id"], call.object_id)
        self.assertEqual(before["status"], "success")
        self.assertEqual(before["container_id"], container)
        self.assertGreaterEqual(before["started_at"], before["enqueued_at"])
        self.assertGreaterEqual(before["execution_time_seconds"], 0)
        self.assertEqual(calls_of("leaf", "--tail", "1")[0]["status"], "failure")
        running.cancel(terminate_containers=True)
        with self.assertRaises(Exception):
            running.get(timeout=CALL_TIMEOUT)
        self.assertEqual(calls_of("slow", "--tail", "1")[0]["status"], "terminated")

    def test_the_calls_of_a_time_are_listed_the_oldest_first(self):
        began = time.time() - 1
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda n: function("leaf").spawn(n).object_id, range(30)))
        for call in made:
            modal.FunctionCall.from_id(call).get(timeout=CALL_TIMEOUT)
        since = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(began))
        time.sleep(1.1)  # the client asks up to the last whole second
        listed = calls_of("leaf", "--since", since)
        times = [datetime.datetime.fromisoformat(one["enqueued_at"]) for one in listed]
        self.assertEqual(times, sorted(times))
        self.assertLessEqual(set(made), {one["function_call_id"] for one in listed})
        self.assertEqual(calls_of("leaf", "--since", "2h", "--until", "1h"), [])

    def test_the_variants_of_a_class_are_listed_with_it_if_they_are_asked_for(self):
        counter = modal.Cls.from_name(APP, "Counter")
        call = counter(start=1).add.spawn(1)
        call.get(timeout=CALL_TIMEOUT)
        alone = calls_of("Counter.*", "--tail", "50")
        both = calls_of("Counter.*", "--tail", "50", "--all-variants")
        self.assertNotIn(call.object_id, [one["function_call_id"] for one in alone])
        self.assertIn(call.object_id, [one["function_call_id"] for one in both])

    def test_a_list_is_bounded_whatever_is_asked_for(self):
        function("leaf").remote(1)
        leaf = function("leaf").hydrate().object_id
        for request in (
            pb.FunctionCallFetchRequest(function_id=leaf),
            pb.FunctionCallFetchRequest(function_id=leaf, tail={"count": 0}),
            pb.FunctionCallFetchRequest(function_id=leaf, tail={"count": 2**32 - 1}),
            pb.FunctionCallFetchRequest(
                function_id=leaf,
                range={"since": {"seconds": -(2**62)}, "until": {"seconds": 2**62, "nanos": -5}},
            ),
        ):
            self.assertLessEqual(
                len(server.rpc("FunctionCallFetch", request).function_call_inputs), 20_000
            )
        counted = server.rpc(
            "FunctionCallCount",
            pb.FunctionCallCountRequest(
                function_id=leaf, since={"seconds": -(2**62)}, until={"seconds": 2**62}
            ),
        )
        self.assertTrue(counted.buckets)
        with self.assertRaises(grpclib.exceptions.GRPCError) as caught:
            server.rpc("FunctionCallFetch", pb.FunctionCallFetchRequest(function_id="fu-none"))
        self.assertEqual(caught.exception.status, grpclib.const.Status.NOT_FOUND)


if __name__ == "__main__":
    main()
