#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Options given with a call, autoscalers that are told at run time, batches side by side."""
import json

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

APP = "e2e-options"


def function(name):
    return modal.Function.from_name(APP, name)


def setUpModule():
    deploy(server, "options.py")


def running(name):
    return [view for view in server.running() if view["function"] == name]


def most_at_once(spans):
    """Of (began, ended) pairs, the most that overlap."""
    moments = sorted([(began, 1) for began, _ in spans] + [(ended, -1) for _, ended in spans])
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


class Options(E2eTest):
    server = server

    def test_environment_and_secrets_of_a_call_are_its_containers_own(self):
        plain, task = function("told").remote("COLOUR")
        self.assertEqual(plain, "red")
        teal = function("told").with_options(env={"COLOUR": "teal"})
        colour, other = teal.remote("COLOUR")
        self.assertEqual(colour, "teal")
        self.assertNotEqual(task, other)
        self.assertEqual(function("told").remote("COLOUR")[0], "red")
        secret = function("told").with_options(secrets=[modal.Secret.from_dict({"TASTE": "sour"})])
        self.assertEqual(secret.remote("TASTE")[0], "sour")
        # One set of options is one pool, whoever asks for it.
        self.assertEqual(teal.remote("COLOUR")[0], "teal")

    def test_a_volume_and_a_timeout_may_be_given_with_a_call(self):
        volume = modal.Volume.from_name("e2e-options", create_if_missing=True)
        with volume.batch_upload(force=True) as batch:
            batch.put_file(__file__, "a-file")
        self.assertEqual(
            function("readable").with_options(volumes={"/there": volume}).remote(), ["a-file"]
        )
        with self.assertRaises(modal.exception.FunctionTimeoutError):
            function("meets").with_options(timeout=1).remote(20)

    def test_concurrency_may_be_given_with_a_call(self):
        wide = function("meets").with_concurrency(max_inputs=4)
        results = list(wide.map([2.0] * 4))
        self.assertEqual(len({task for _, _, task in results}), 1)
        self.assertGreater(most_at_once([(began, ended) for began, ended, _ in results]), 1)

    def test_batching_may_be_given_with_a_call(self):
        self.assertEqual(function("doubled").remote(4), (8, 0))
        batched = function("doubled").with_batching(max_batch_size=3, wait_ms=2000)
        results = list(batched.map(range(6)))
        self.assertEqual([value for value, _ in results], [0, 2, 4, 6, 8, 10])
        self.assertGreater(max(size for _, size in results), 1)
        self.assertLessEqual(max(size for _, size in results), 3)

    def test_batches_run_side_by_side_in_one_container(self):
        results = list(function("both").map(range(6)))
        self.assertEqual([number for number, *_ in results], list(range(6)))
        sizes = {size for _, size, *_ in results}
        self.assertLessEqual(max(sizes), 2)
        spans = {(began, ended) for _, _, began, ended in results}
        self.assertGreater(most_at_once(list(spans)), 1, "one batch after the other")

    def test_an_autoscaler_that_is_told_keeps_containers_and_lets_them_go(self):
        server.modal("function", "autoscaler", "update", f"{APP}/told", "--min-containers", "2")
        wait_until(lambda: len(running("told")) >= 2, CALL_TIMEOUT, "two are kept")
        settings = function("told").autoscaler.settings()
        self.assertEqual(settings.min_containers, 2)
        shown = json.loads(
            server.modal("function", "info", f"{APP}/told", "--json").stdout
        )
        self.assertEqual(shown["min_containers"], 2)
        function("told").autoscaler.update(min_containers=0)
        wait_until(lambda: not running("told"), CALL_TIMEOUT, "none is kept")

    def test_options_that_make_no_sense_are_refused_with_a_reason(self):
        with self.assertRaisesRegex(modal.exception.InvalidError, "no region that is known"):
            function("told").with_options(region="atlantis").remote("x")
        with self.assertRaisesRegex(modal.exception.InvalidError, "no GPU that is known"):
            function("told").with_options(gpu="abacus").remote("x")

    def test_a_version_of_before_is_not_found_as_if_it_were_the_live_one(self):
        wanted = pb.FunctionGetRequest(app_name=APP, object_tag="told", app_version=1)
        self.assertTrue(server.rpc("FunctionGet", wanted).function_id)
        wanted.app_version = 7
        with self.assertRaisesRegex(Exception, "version 7"):
            server.rpc("FunctionGet", wanted)


if __name__ == "__main__":
    main()
