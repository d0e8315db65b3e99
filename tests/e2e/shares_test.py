#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers are shared: no function keeps another from one."""
from thaw_server import E2eTest, ThawServer, deploy, main, wait_until

MOST = 4  # containers of the server; one function can have all but one
server = ThawServer.for_module(config=f"[containers]\nmax = {MOST}\n")

import modal  # noqa: E402


def setUpModule():
    deploy(server, "shares.py")


def function(name):
    return modal.Function.from_name("e2e-shares", name)


def greedy():
    return modal.Cls.from_name("e2e-shares", "Greedy")()


class Shares(E2eTest):
    server = server

    def test_1_more_kept_containers_than_one_function_can_have_are_refused_with_the_limit(self):
        for asked in (MOST, 2**31 - 1):
            with self.assertRaises(Exception) as refused:
                function("newcomer").autoscaler.update(min_containers=asked)
            self.assertIn(f"{MOST - 1} of the {MOST} containers", str(refused.exception))
        # A bound that is out of all proportion is no bound, and no error.
        function("newcomer").autoscaler.update(max_containers=2**31 - 1)
        self.assertTrue(function("newcomer").remote())

    def test_2_a_call_of_another_function_is_answered_though_one_wants_all_containers(self):
        calls = [greedy().work.spawn(30) for _ in range(2 * MOST)]
        wait_until(lambda: len(server.task_ids()) >= MOST - 1, 60, "the greedy one has its share")
        started = function("newcomer").remote()
        self.assertIn(started, server.task_ids())
        for call in calls:
            call.cancel()

    def test_3_what_is_only_kept_gives_way_to_a_call_with_its_exit_hooks(self):
        kept = {greedy().work.remote(0)}
        wait_until(lambda: len(server.task_ids()) >= MOST - 1, 60, "the greedy one keeps its share")
        held = function("holds").spawn(40)
        answered = function("newcomer").remote()
        self.assertTrue(answered)
        self.assertTrue(kept)
        shown = server.thaw("logs", "--starts", "--data", str(server.data)).stdout
        self.assertIn("made room for another function", shown)
        held.cancel()


if __name__ == "__main__":
    main()
