#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""User code and callers that go wrong: an error says what, and nothing else breaks."""
import re
import time

from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main

server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    for name in ("trouble.py", "import_error.py", "syntax_error.py"):
        deploy(server, name)


def function(name, app="e2e-trouble"):
    return modal.Function.from_name(app, name)


class Callers(E2eTest):
    server = server

    def test_a_wrong_token_is_refused_with_the_word_token(self):
        environment = {"MODAL_TOKEN_ID": "ak-wrong", "MODAL_TOKEN_SECRET": "as-wrong"}
        done = server.modal("app", "list", env=environment, check=False, timeout=CALL_TIMEOUT)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("token", done.stderr.lower())

    def test_the_right_id_with_a_wrong_secret_is_refused(self):
        environment = {"MODAL_TOKEN_SECRET": "as-wrong"}
        done = server.modal("app", "list", env=environment, check=False, timeout=CALL_TIMEOUT)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("token", done.stderr.lower())

    def test_an_unknown_app_function_and_class_are_named(self):
        for app, name in (("e2e-absent", "f"), ("e2e-trouble", "absent_function")):
            with self.assertRaisesRegex(modal.exception.NotFoundError, name):
                function(name, app).hydrate()
        with self.assertRaisesRegex(modal.exception.NotFoundError, "AbsentClass"):
            modal.Cls.from_name("e2e-trouble", "AbsentClass").hydrate()

    def test_an_unknown_environment_is_named(self):
        done = server.modal("deploy", APPS / "where.py", "--env", "e2e-absent", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("e2e-absent", done.stdout + done.stderr)

    def test_what_is_not_served_is_named_and_not_passed_over(self):
        app = modal.App("e2e-not-served")
        role = "arn:aws:iam::123456789012:role/reader"
        buckets = {"/bucket": modal.CloudBucketMount("bucket", oidc_auth_role_arn=role)}
        app.function(serialized=True, name="f", volumes=buckets)(lambda: 1)
        with self.assertRaisesRegex(Exception, "oidc_auth_role_arn"):
            app.deploy()

    def test_wrong_arguments_are_the_functions_own_type_error(self):
        with self.assertRaises(TypeError):
            function("still_fine").remote()


class UserCode(E2eTest):
    server = server

    def tearDown(self):
        self.assertEqual(function("still_fine").remote(1), 2, "an innocent function suffers")

    def assert_start_fails(self, app, expected):
        started = time.monotonic()
        with self.assertRaisesRegex(Exception, expected):
            function("never", app).remote()
        self.assertLess(time.monotonic() - started, CALL_TIMEOUT)

    def test_an_import_error_reaches_the_caller(self):
        self.assert_start_fails("e2e-import-error", "a_module_that_is_not_there")

    def test_a_syntax_error_reaches_the_caller(self):
        self.assert_start_fails("e2e-syntax-error", "(?i)syntax")

    def test_a_container_that_cannot_start_is_not_started_in_a_loop(self):
        call = function("never", "e2e-import-error").spawn()
        seen = set()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            seen |= server.task_ids()
            time.sleep(0.02)
        self.assertLess(len(seen), 12, "containers are started without a pause")
        with self.assertRaisesRegex(Exception, "a_module_that_is_not_there"):
            call.get(timeout=CALL_TIMEOUT)

    def test_a_function_that_exits_the_process_is_an_error_with_the_code(self):
        with self.assertRaisesRegex(Exception, "(?i)exit.*23"):
            function("exits").remote(23)

    def test_a_function_that_hangs_is_ended_at_its_timeout(self):
        started = time.monotonic()
        with self.assertRaises(modal.exception.FunctionTimeoutError):
            function("hangs").remote()
        self.assertLess(time.monotonic() - started, 60)

    def test_a_function_that_eats_its_memory_is_told_so(self):
        with self.assertRaisesRegex(Exception, "(?i)memory"):
            function("eats_memory").remote()

    def test_endless_recursion_is_a_python_error(self):
        with self.assertRaises(RecursionError):
            function("deep_recursion").remote()

    def test_a_value_that_cannot_be_sent_is_an_error(self):
        with self.assertRaisesRegex(Exception, "(?i)pickle|serializ"):
            function("cannot_be_pickled").remote()

    def test_retries_end_with_the_last_exception(self):
        with self.assertRaisesRegex(RuntimeError, "again and again"):
            function("always_fails").remote("again and again")

    def test_much_output_arrives_in_order_and_whole(self):
        done = server.modal("run", APPS / "trouble.py")
        # The local print may come between the bytes of a line: the client prints both.
        lines = re.findall(r"line (\d+) x+$", done.stdout.replace("done", ""), re.M)
        self.assertEqual([int(number) for number in lines], list(range(20000)))
        self.assertIn("done", done.stdout)


if __name__ == "__main__":
    main()
