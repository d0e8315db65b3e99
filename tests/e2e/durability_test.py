#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was acknowledged survives: a container killed, the server killed, a restart."""
import json
import os
import re
import signal

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, environment_of, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402
from modal._serialization import serialize  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402


def setUpModule():
    deploy(server, "sleeper.py")
    deploy(server, "calls.py")


def spawn_and_see_it_run(mark):
    """Returns a spawned call, and the container and process that its first attempt runs in."""
    call = modal.Function.from_name("e2e-sleeper", "sleep").spawn(8, mark)

    def find():
        logs = server.modal("app", "logs", "e2e-sleeper", check=False).stdout
        found = re.search(rf"sleeping {mark} in (ta-\w+)", logs)
        return found and found.group(1)

    task_id = wait_until(find, 120, "the spawned call runs", pause=0.5)
    return call, task_id, server.user_process(task_id)


class Durability(E2eTest):
    server = server

    def assert_ran_twice(self, call):
        """By the server's own record: the output that is kept is of the second attempt."""
        shown = server.thaw("ps", "--call", call.object_id, "--json", "--data", str(server.data))
        record = json.loads(shown.stdout)
        self.assertTrue(record["durable"])
        self.assertEqual((record["inputs"], record["unfinished"]), (1, 0))
        [output] = record["outputs"]
        self.assertEqual((output["attempts"], output["outcome"]), (2, "success"))

    def test_a_call_whose_container_is_killed_runs_again(self):
        call, first, pid = spawn_and_see_it_run("container")
        os.kill(pid, signal.SIGKILL)
        self.assertNotEqual(call.get(timeout=CALL_TIMEOUT), first)
        self.assert_ran_twice(call)
        wait_until(lambda: not environment_of(pid), 10, "the killed process is reaped")

    def test_a_call_survives_the_servers_death(self):
        call, first, pid = spawn_and_see_it_run("server")
        server.kill()
        server.start()
        self.assertNotEqual(call.get(timeout=CALL_TIMEOUT), first)
        self.assert_ran_twice(call)
        self.assertEqual(environment_of(pid), {}, "a container of the dead server lives on")

    def test_many_acknowledged_calls_survive_the_servers_death(self):
        square = modal.Function.from_name("e2e-calls", "square")
        calls = [square.spawn(number) for number in range(50)]
        server.kill()
        server.start()
        results = [call.get(timeout=CALL_TIMEOUT) for call in calls]
        self.assertEqual(results, [number**2 for number in range(50)])

    def test_a_spawn_that_is_asked_for_again_after_the_servers_death_is_made_once(self):
        square = modal.Function.from_name("e2e-calls", "square").hydrate()
        arguments = pb.FunctionInput(args=serialize(((12,), {})), data_format=pb.DATA_FORMAT_PICKLE)
        request = pb.FunctionMapRequest(
            function_id=square.object_id,
            function_call_type=pb.FUNCTION_CALL_TYPE_UNARY,
            function_call_invocation_type=pb.FUNCTION_CALL_INVOCATION_TYPE_ASYNC,
            pipelined_inputs=[pb.FunctionPutInputsItem(idx=0, input=arguments)],
        )
        key = {"x-idempotency-key": "asked again and again"}
        first = server.rpc("FunctionMap", request, key)
        server.kill()
        server.start()
        again = server.rpc("FunctionMap", request, key)
        self.assertEqual(again, first)
        call = modal.FunctionCall.from_id(first.function_call_id)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), 144)
        server.stop()
        server.start()
        # It has ended meanwhile, and is not run again.
        self.assertEqual(server.rpc("FunctionMap", request, key), first)
        other = server.rpc("FunctionMap", request, {"x-idempotency-key": "another"})
        self.assertNotEqual(other.function_call_id, first.function_call_id)
        shown = server.thaw("ps", "--call", first.function_call_id, "--json", "--data",
                            str(server.data)).stdout  # fmt: skip
        record = json.loads(shown)
        self.assertEqual((record["inputs"], len(record["outputs"])), (1, 1))

    def test_results_are_still_there_after_a_clean_restart(self):
        call = modal.Function.from_name("e2e-calls", "square").spawn(31)
        self.assertEqual(call.get(timeout=CALL_TIMEOUT), 961)
        self.assertEqual(server.stop(), 0)
        server.start()
        self.assertEqual(modal.FunctionCall.from_id(call.object_id).get(timeout=30), 961)
        self.assertEqual(modal.Function.from_name("e2e-calls", "add").remote(1, 2), 3)


if __name__ == "__main__":
    main()
