#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exceptions that are hard to carry, and ends of programs: the caller is told, and nobody hangs."""
import sys
import traceback

from thaw_server import APPS, CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402

sys.path.insert(0, str(APPS))


def setUpModule():
    deploy(server, "failures.py")


def function(name):
    return modal.Function.from_name("e2e-failures", name)


def logged():
    done = server.thaw("logs", "e2e-failures", "--data", str(server.data))
    return done.stdout + done.stderr


class Exceptions(E2eTest):
    server = server

    def caught(self, kind, name="act"):
        with self.assertRaises(BaseException) as caught:
            function(name).spawn(kind).get(timeout=CALL_TIMEOUT)
        self.assertNotIsInstance(caught.exception, AssertionError)
        return caught.exception

    def test_one_whose_constructor_wants_more_is_told_with_its_words(self):
        error = self.caught("picky")
        self.assertIn("Picky", str(error))
        self.assertIn("7: why", str(error))

    def test_one_that_says_how_it_is_made_is_made_so(self):
        import failures

        error = self.caught("restored")
        self.assertIsInstance(error, failures.Restored)
        self.assertEqual((error.code, error.detail), (7, "why"))

    def test_one_that_cannot_be_pickled_is_told_with_its_words(self):
        self.assertIn("it holds a lock", str(self.caught("locked")))

    def test_one_of_a_module_that_the_caller_has_not_is_told_with_its_words(self):
        error = self.caught("only there")
        self.assertIn("a_module_of_the_container", str(error))
        self.assertIn("from there", str(error))

    def test_the_cause_of_one_is_in_the_log(self):
        self.assertEqual(repr(self.caught("chained")), "RuntimeError('what came of it')")
        wait_until(lambda: "what came of it" in logged(), CALL_TIMEOUT, "it is in the log")
        self.assertIn("ValueError: the cause of it", logged())
        self.assertIn("direct cause of the following exception", logged())

    def test_notes_come_along(self):
        self.assertEqual(self.caught("noted").__notes__, ["with a note"])

    def test_the_line_that_raised_is_in_the_callers_traceback(self):
        try:
            function("act").remote("noted")
        except ValueError:
            lines = traceback.format_exc()
        self.assertIn("/root/failures.py", lines)
        self.assertIn("in noted", lines)

    def test_groups_are_groups(self):
        error = self.caught("grouped")
        self.assertIsInstance(error, ExceptionGroup)
        kinds = [type(one) for one in error.exceptions]
        self.assertEqual(kinds, [ValueError, TypeError, ExceptionGroup])
        keys, rest = error.split(KeyError)
        self.assertEqual(keys.exceptions[0].exceptions[0].args, ("k",))
        self.assertEqual(len(rest.exceptions), 2)
        self.assertEqual(len(self.caught("tasks").exceptions), 2)

    def test_those_that_a_client_or_a_server_could_take_for_its_own(self):
        error = self.caught("timeout")
        self.assertEqual((type(error), str(error)), (TimeoutError, "its own, not the platform's"))
        error = self.caught("interrupted read")
        self.assertEqual((type(error), error.errno, error.filename),
                         (InterruptedError, 4, "/a/file"))  # fmt: skip

    def test_one_whose_text_is_odd(self):
        self.assertEqual(self.caught("unicode").args, ("\0 and \x1b[31m and \U0001f9ca",))

    def test_one_that_cannot_be_shown_ends_its_call(self):
        self.caught("silent")
        self.assertEqual(function("act").remote("thread"), "the function is fine")

    def test_of_coroutines_batches_and_maps(self):
        self.assertIsInstance(self.caught("grouped", "act_async"), ExceptionGroup)
        for result in function("batch").map(["noted"] * 3, return_exceptions=True):
            self.assertEqual(str(result), "a plain one")
        kinds = ["noted", "thread", "picky", "locked", "timeout"]
        results = list(function("act").map(kinds, return_exceptions=True))
        self.assertEqual(results[1], "the function is fine")
        self.assertTrue(all(isinstance(results[n], Exception) for n in (0, 2, 3, 4)), results)

    def test_of_a_generator_behind_what_it_had_yielded(self):
        found = []
        with self.assertRaises(ExceptionGroup):
            for item in function("some_and_then").remote_gen("grouped", 5):
                found.append(item)
        # The client raises what has failed as soon as it knows, whatever it has not read yet.
        self.assertEqual(found, list(range(len(found))))


class Ends(E2eTest):
    server = server

    def tearDown(self):
        self.assertEqual(function("act").remote("thread"), "the function is fine")

    def told(self, kind):
        # Not Exception: what ends an interpreter is raised again as what it was.
        with self.assertRaises(BaseException) as caught:
            function("act").spawn(kind).get(timeout=CALL_TIMEOUT)
        self.assertNotIsInstance(caught.exception, (AssertionError, TimeoutError))
        return repr(caught.exception)

    def test_sys_exit_tells_its_reason(self):
        self.assertIn("the reason why", self.told("system exit"))

    def test_an_exit_with_zero_is_an_end_without_a_result(self):
        self.assertRegex(self.told("exit 0"), "(?i)exit.*0")

    def test_signals_are_named(self):
        self.assertRegex(self.told("abort"), "(?i)abort|signal 6")
        self.assertRegex(self.told("terminate"), "(?i)terminat|signal 15|SIGTERM")
        self.assertRegex(self.told("overflow"), "(?i)segmentation|signal 11|SIGSEGV")

    def test_a_result_too_deep_to_be_sent_is_an_error(self):
        self.assertRegex(self.told("deep result"), "(?i)recursion|signal 11|segmentation")

    def test_a_generator_whose_container_dies_is_an_error_behind_what_it_had_yielded(self):
        found = []
        with self.assertRaisesRegex(Exception, "(?i)exit.*0"):
            for item in function("some_and_then").remote_gen("exit 0", 3):
                found.append(item)
        self.assertEqual(found, [0, 1, 2][: len(found)])

    def test_a_class_that_ends_while_it_is_entered_is_told_so(self):
        Entered = modal.Cls.from_name("e2e-failures", "Entered")
        self.assertEqual(Entered().ask.remote(), "fine")
        for how, words in (("exit", "5"), ("system exit", "6"), ("group", "several")):
            with self.assertRaises(BaseException) as caught:
                Entered(how=how).ask.spawn().get(timeout=CALL_TIMEOUT)
            self.assertIn(words, repr(caught.exception), how)


if __name__ == "__main__":
    main()
