#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Classes: enter once per container, methods, parameters, exit hooks."""
import json

from thaw_server import APPS, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "classes.py")


def instance(name, **parameters):
    return modal.Cls.from_name("e2e-classes", name)(**parameters)


class Classes(E2eTest):
    server = server

    def test_enter_runs_once_and_the_state_stays(self):
        counter = instance("Counter")
        first = counter.bump.remote()
        second = counter.bump.remote(10)
        self.assertEqual((first["entered"], second["entered"]), (1, 1))
        if first["task"] == second["task"]:
            self.assertEqual(second["calls"], first["calls"] + 10)
        self.assertEqual(first["task"], second["task"], "a warm call went to another container")

    def test_methods_may_be_generators_and_coroutines(self):
        counter = instance("Counter")
        self.assertEqual(list(counter.items.remote_gen(4)), [0, 1, 2, 3])
        self.assertEqual(counter.later.remote("quiet"), "QUIET")

    def test_a_methods_exception_is_raised_again(self):
        with self.assertRaisesRegex(LookupError, "a method's own error"):
            instance("Counter").fail.remote()

    def test_a_method_can_be_spawned_and_mapped(self):
        counter = instance("Counter")
        self.assertEqual(counter.later.spawn("a").get(timeout=60), "A")
        self.assertEqual(list(counter.later.map(["b", "c"])), ["B", "C"])

    def test_parameters_reach_the_instance_and_split_the_containers(self):
        text, task = instance("Greeter", greeting="salut", times=2).greet.remote("ada")
        self.assertEqual(text, "salut ada salut ada")
        other_text, other_task = instance("Greeter").greet.remote("bob")
        self.assertEqual(other_text, "hello bob")
        self.assertNotEqual(task, other_task)

    def test_options_given_at_the_call_hold_for_their_containers_only(self):
        counter = modal.Cls.from_name("e2e-classes", "Counter")
        plain = counter().setting.remote("COLOUR")
        tuned = counter.with_options(
            scaledown_window=20, secrets=[modal.Secret.from_dict({"COLOUR": "teal"})]
        )()
        self.assertEqual(tuned.setting.remote("COLOUR"), "teal")
        self.assertIsNone(plain)
        self.assertIsNone(counter().setting.remote("COLOUR"), "the option leaked")
        wide = counter.with_concurrency(max_inputs=4)()
        self.assertEqual(sorted(wide.later.map("abcd")), ["A", "B", "C", "D"])

    def test_a_failing_enter_reaches_the_caller(self):
        with self.assertRaisesRegex(Exception, "the model file is missing"):
            instance("BrokenEnter").use.remote()

    def test_an_idle_container_runs_its_exit_hook_and_goes(self):
        task = instance("Leaver").stay.remote()
        wait_until(lambda: task not in server.task_ids(), 60, "the idle container is gone")
        logs = wait_until(
            lambda: "leaver has left" in server.modal("app", "logs", "e2e-classes").stdout,
            30, "the exit hook's line is in the log", pause=1,
        )  # fmt: skip
        self.assertTrue(logs)

    def test_container_starts_are_shown_of_the_app_that_is_named(self):
        def apps(*name):
            shown = server.thaw("logs", "--starts", *name, "--json", "--data", str(server.data))
            return {start["app"] for start in json.loads(shown.stdout)}

        self.assertEqual(apps("e2e-classes"), {"e2e-classes"})
        self.assertEqual(apps("e2e-absent"), set())

    def test_modal_run_calls_methods_of_a_class(self):
        done = server.modal("run", APPS / "classes.py")
        self.assertIn("from a class: 5", done.stdout)
        self.assertIn("leaver has entered", done.stdout)
        self.assertIn("leaver has left", done.stdout)


if __name__ == "__main__":
    main()
