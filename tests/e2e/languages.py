# SPDX-License-Identifier: Apache-2.0
"""What the unmodified clients of other languages do against a server, whichever language it is.

Each test runs one small program of ours, in the language, with that client; the program asserts
what it sees, and ends. A module of tests gives the language, and takes the classes made here:

    globals().update(languages.tests_of(Language(...), server))
"""
import json
import os
import subprocess
import unittest
import urllib.request

import modal

from thaw_server import (
    BUILD_TIMEOUT, CALL_TIMEOUT, ROOT, E2eTest, deploy, skip_all, wait_until,
)  # fmt: skip

APP = "e2e-languages"
CANNOT = 77  # how tools/client says that this machine lacks something


class Language:
    """Starts programs with one client; `client` is the list that tools/client installs."""

    def __init__(self, server, client):
        command = [str(ROOT / "tools" / "client"), client]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if found.returncode == CANNOT:
            skip_all(found.stderr.strip())
        if found.returncode != 0:
            raise AssertionError(f"{' '.join(command)} failed\n{found.stderr}")
        self.home = found.stdout.strip().splitlines()[-1]
        self.server = server

    def command(self, program):
        raise NotImplementedError

    def run(self, program, facts=None, env=None, timeout=CALL_TIMEOUT):
        """Runs `FILE.NAME` with what it is to know; returns what it printed."""
        environment = {**os.environ, **self.server.client_environment(), **(env or {})}
        command = [*self.command(program), json.dumps(facts or {})]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != 0:
            raise AssertionError(
                f"{program} ended with {done.returncode}\n--- stdout\n{done.stdout}"
                f"--- stderr\n{done.stderr}"
            )
        return done.stdout


def tests_of(language, server):
    """The test cases, by name, for a module's namespace."""

    class LanguageTest(E2eTest):
        run_program = staticmethod(language.run)

    LanguageTest.server = server

    class Calls(LanguageTest):
        @classmethod
        def setUpClass(cls):
            deploy(server, "languages.py")

        def test_values_go_there_and_back(self):
            self.run_program("calls.values")

        def test_arguments_by_name(self):
            self.run_program("calls.keywords")

        def test_a_date_arrives_as_a_date(self):
            self.run_program("calls.dates")

        def test_an_exception_tells_its_text(self):
            self.run_program("calls.exceptions")

        def test_a_functions_time_limit_has_its_own_error(self):
            self.run_program("calls.time_limit")

        def test_a_container_that_dies_each_time_is_a_failure_with_its_reason(self):
            self.run_program("calls.deaths")

        def test_spawned_calls_are_got_later_and_again(self):
            out = self.run_program("calls.spawned")
            # What one client has spawned another finds.
            self.assertEqual(modal.FunctionCall.from_id(out.split()[-1]).get(timeout=60), "later")
            call = modal.Function.from_name(APP, "add").spawn(1)
            self.run_program("calls.found", {"call": call.object_id})

        def test_a_call_is_cancelled(self):
            self.run_program("calls.cancelled")

        def test_large_arguments_and_results(self):
            self.run_program("calls.large")

        def test_a_generator_gives_how_many_it_yielded(self):
            self.run_program("calls.generator")

        def test_what_does_not_exist_is_not_found(self):
            self.run_program("calls.not_found")

        def test_a_page_has_an_address_and_is_not_called(self):
            out = self.run_program("calls.page")
            with urllib.request.urlopen(out.split()[-1] + "/here", timeout=CALL_TIMEOUT) as answer:
                self.assertEqual(answer.read(), b"a page of /here")

        def test_statistics_and_the_autoscaler(self):
            self.run_program("calls.scaling")

        def test_options_make_a_variant(self):
            self.run_program("calls.options")

        def test_a_function_is_found_by_its_id(self):
            id = modal.Function.from_name(APP, "add").hydrate().object_id
            self.run_program("calls.by_id", {"function": id})

        def test_many_at_once(self):
            self.run_program("calls.many")

        def test_logs_of_a_function(self):
            self.run_program("calls.logs")

    class Classes(LanguageTest):
        @classmethod
        def setUpClass(cls):
            deploy(server, "languages.py")

        def test_a_class_without_parameters(self):
            self.run_program("classes.plain")

        def test_parameters_and_their_defaults(self):
            self.run_program("classes.parameters")

        def test_what_does_not_exist_is_not_found(self):
            self.run_program("classes.not_found")

        def test_options_make_a_variant(self):
            self.run_program("classes.options")

    class Queues(LanguageTest):
        def test_items_come_in_order(self):
            self.run_program("queues.order")

        def test_partitions_are_apart(self):
            self.run_program("queues.partitions")

        def test_iteration_leaves_them(self):
            self.run_program("queues.iterate")

        def test_waiting_for_one_ends(self):
            self.run_program("queues.waiting")

        def test_a_full_one_says_so(self):
            self.run_program("queues.full")

        def test_names(self):
            self.run_program("queues.names")

        def test_items_of_python_and_for_python(self):
            name = f"of-python-{os.getpid()}"
            queue = modal.Queue.from_name(name, create_if_missing=True)
            queue.put_many([1, "zwei", [3, 4.5], {"five": None}, True])
            self.addCleanup(modal.Queue.objects.delete, name)
            self.run_program("queues.of_python", {"queue": name})
            answers = [queue.get(timeout=CALL_TIMEOUT) for _ in range(4)]
            self.assertEqual(answers, [-6, "sieben", [8.5, False], {"nine": None}])

    class Things(LanguageTest):
        def test_secrets(self):
            modal.Secret.objects.create("languages", {"KEY": "of the store"}, allow_existing=True)
            self.run_program("things.secrets")

        def test_volumes(self):
            self.run_program("things.volumes")

        def test_apps(self):
            deploy(server, "languages.py")
            self.run_program("things.apps")

        def test_environments(self):
            self.run_program("things.environments")

        def test_images(self):
            self.run_program("things.images", timeout=BUILD_TIMEOUT)

        def test_what_is_not_served_says_so(self):
            self.run_program("things.not_served")

        def test_a_wrong_token_is_refused(self):
            self.run_program("things.wrong_token", env={"MODAL_TOKEN_SECRET": "as-wrong"})

    class Sandboxes(LanguageTest):
        @classmethod
        def setUpClass(cls):
            language.run("things.images", timeout=BUILD_TIMEOUT)

        def in_each_generation(self, program, facts=None):
            for second in ("1", "0"):
                with self.subTest(second_generation=second):
                    self.run_program(program, facts, env={"MODAL_SANDBOX_V2": second})

        def test_output_and_exit_code(self):
            self.in_each_generation("sandboxes.output")

        def test_input(self):
            self.in_each_generation("sandboxes.input")

        def test_processes(self):
            self.in_each_generation("sandboxes.processes")

        def test_a_process_has_a_time_limit(self):
            self.run_program("sandboxes.process_limit")

        def test_a_time_limit_ends_it(self):
            self.in_each_generation("sandboxes.time_limit")

        def test_it_is_terminated(self):
            self.in_each_generation("sandboxes.terminated")

        def test_names_tags_and_lists(self):
            self.in_each_generation("sandboxes.names")

        def test_secrets_variables_and_volumes(self):
            modal.Secret.objects.create("languages", {"KEY": "of the store"}, allow_existing=True)
            name = f"languages-{os.getpid()}"
            volume = modal.Volume.from_name(name, create_if_missing=True)
            volume.hydrate()
            self.addCleanup(modal.Volume.objects.delete, name)
            self.run_program("sandboxes.mounts", {"volume": name})
            self.assertEqual(b"".join(volume.read_file("file")), b"kept")

        def test_files(self):
            self.run_program("sandboxes.files")

        def test_its_files_become_an_image(self):
            self.run_program("sandboxes.snapshot")

        def test_ports(self):
            self.in_each_generation("sandboxes.ports")

        def test_python_finds_it(self):
            id = self.run_program("sandboxes.left_running").split()[-1]
            sandbox = modal.Sandbox.from_id(id)
            self.addCleanup(sandbox.terminate)
            self.assertEqual(sandbox.exec("echo", "of python").stdout.read(), "of python\n")
            self.run_program("sandboxes.found", {"sandbox": id})
            wait_until(lambda: sandbox.poll() is not None, CALL_TIMEOUT, "the other ended it")

    cases = [Calls, Classes, Queues, Things, Sandboxes]
    assert all(issubclass(case, unittest.TestCase) for case in cases)
    return {case.__name__: case for case in cases}
