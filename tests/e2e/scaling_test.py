#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How many containers there are: from zero, back to zero, kept warm, capped, shared."""
import json
import os
import re
import time

from thaw_server import APPS, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "scaling.py")


def function(name):
    return modal.Function.from_name("e2e-scaling", name)


class Scaling(E2eTest):
    server = server

    def test_an_idle_function_goes_to_zero_and_answers_again(self):
        first = function("short_window").remote()
        again = function("short_window").remote()
        self.assertEqual(again, first, "the warm container was not used")
        wait_until(lambda: first not in server.task_ids(), 60, "the idle container is gone")
        second = function("short_window").remote()
        self.assertNotEqual(second, first)

    def test_a_kept_warm_function_never_goes_to_zero(self):
        wait_until(server.containers, 120, "a container is warm without a call")
        task = function("kept_warm").remote()
        self.assertIn(task, server.task_ids())
        # Three windows of a function that may go to zero, which is seen to do so meanwhile.
        other = function("short_window").remote()
        wait_until(lambda: other not in server.task_ids(), 60, "the other function is at zero")
        self.assertIn(task, server.task_ids())
        self.assertEqual(function("kept_warm").remote(), task)

    def test_a_limit_of_one_container_queues_the_rest(self):
        tasks = [call.get(timeout=120) for call in [function("alone").spawn(0.2) for _ in range(6)]]
        self.assertEqual(len(set(tasks)), 1)

    def test_calls_that_wait_get_containers_up_to_the_limit(self):
        calls = [function("apart").spawn(4) for _ in range(6)]
        tasks = {call.get(timeout=120) for call in calls}
        self.assertLessEqual(len(tasks), 3)
        self.assertGreater(len(tasks), 1)

    def test_inputs_share_a_container_when_told_to(self):
        function("together").remote(0)
        started = time.monotonic()
        calls = [function("together").spawn(2) for _ in range(16)]
        tasks = {call.get(timeout=120) for call in calls}
        self.assertEqual(len(tasks), 1)
        self.assertLess(time.monotonic() - started, 16 * 2 / 2, "the inputs went one after another")

    def test_batches_are_filled(self):
        results = sorted(function("batched").map(range(8)))
        self.assertEqual([number for number, _ in results], list(range(8)))
        self.assertGreater(max(size for _, size in results), 1)

    def test_a_single_use_container_takes_one_input(self):
        self.assertNotEqual(function("once").remote(), function("once").remote())

    def test_the_autoscaler_can_be_changed_while_running(self):
        target = function("short_window")
        target.autoscaler.update(min_containers=1)
        task = target.remote()
        other = function("alone").remote(0)
        wait_until(lambda: task in server.task_ids(), 10, "the container stays")
        target.autoscaler.update(min_containers=0)
        wait_until(lambda: task not in server.task_ids(), 60, "the container goes")
        self.assertTrue(other)

    def test_a_window_that_is_made_shorter_is_that_of_living_containers_too(self):
        target = function("long_window")
        task = target.remote()
        target.autoscaler.update(scaledown_window=2)
        wait_until(lambda: task not in server.task_ids(), 60, "the container goes")


class Processors(E2eTest):
    """What depends on how busy the processors are, so that nothing else runs beside it."""

    server = server

    def test_a_map_of_what_computes_has_about_as_many_containers_as_there_are_processors(self):
        tasks = set(function("costly").map(range(60)))
        print(f"{len(tasks)} containers on {os.cpu_count()} processors", flush=True)
        self.assertLessEqual(len(tasks), 2 * os.cpu_count())

    def test_a_map_of_what_waits_has_many_though_it_was_never_called(self):
        tasks = set(function("waits").map(range(80)))
        print(f"{len(tasks)} containers for what waits", flush=True)
        self.assertGreater(len(tasks), 16)

    def test_many_first_calls_of_a_new_image_wait_for_its_template(self):
        other = ThawServer().start()  # one that has no template, and had no time to make one ahead
        try:
            name = f"{APPS / 'scaling.py'}::many_first_calls"
            tasks = set(re.findall(r"ta-\w+", other.modal("run", name).stdout))
            shown = other.thaw("logs", "--starts", "--json", "--data", str(other.data)).stdout
            starts = [one for one in json.loads(shown) if one["container"] in tasks]
            booted = [one for one in starts if one["started_by"] == "L4"]
            print(f"{len(booted)} of {len(starts)} were booted", flush=True)
            self.assertGreater(len(starts), 8)
            self.assertLessEqual(len(booted), 4)
        finally:
            other.close()

    def test_starts_that_wait_for_something_of_their_own_keep_nobody_from_starting(self):
        deploy(server, "slow_starts.py")
        places = max(8, 4 * os.cpu_count())
        classes = [modal.Cls.from_name("e2e-slow-starts", name)() for name in ("Slow", "AlsoSlow")]
        for one in classes:
            for _ in range(2 * places):
                one.work.spawn()

        def starting():
            shown = server.thaw("ps", "--json", "--data", str(server.data)).stdout
            return [view for view in json.loads(shown) if view["status"] == "starting"]

        try:
            wait_until(lambda: len(starting()) >= places, 60, "all places are taken")
            call = modal.Function.from_name("e2e-slow-starts", "newcomer").spawn()
            self.assertEqual(call.get(timeout=60), "answered")
            self.assertGreaterEqual(len(starting()), places)
        finally:
            server.modal("app", "stop", "e2e-slow-starts", "--yes")


if __name__ == "__main__":
    main()
