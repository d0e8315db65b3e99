#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dicts and queues: by the API, in containers, by the command line, by other versions of the
client; over the server's death; and two workspaces of which one fills its share."""
import asyncio
import concurrent.futures
import json
import os
import queue as std_queue
import re
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

from older_clients import client
from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

CONFIG = """
[state]
ephemeral_timeout_s = 3
mb_per_workspace = 128
"""
server = ThawServer.for_module(config=CONFIG)

import grpclib  # noqa: E402
import grpclib.client  # noqa: E402
import grpclib.exceptions  # noqa: E402
import modal  # noqa: E402
import modal.exception  # noqa: E402
import modal_proto.api_grpc  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402


def function(name):
    return modal.Function.from_name("e2e-state", name)


def new_dict(name):
    modal.Dict.objects.create(name)
    return modal.Dict.from_name(name)


def new_queue(name):
    modal.Queue.objects.create(name)
    return modal.Queue.from_name(name)


def json_of(*arguments):
    done = server.thaw(*arguments, "--json", "--data", str(server.data))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def setUpModule():
    deploy(server, "state.py")


class Dicts(E2eTest):
    server = server

    def test_what_a_dict_can_do(self):
        shared = new_dict("verbs")
        shared["a"] = 1
        shared[("t", 1)] = {"nested": [1, 2]}
        shared[b"bytes"] = None
        self.assertEqual(shared["a"], 1)
        self.assertEqual(shared[("t", 1)], {"nested": [1, 2]})
        self.assertIn(b"bytes", shared)
        self.assertNotIn("absent", shared)
        self.assertIsNone(shared.get("absent"))
        self.assertEqual(shared.get("absent", 5), 5)
        with self.assertRaises(KeyError):
            shared["absent"]
        self.assertTrue(shared.put("a", 2))
        self.assertFalse(shared.put("a", 3, skip_if_exists=True))
        self.assertTrue(shared.put("b", 3, skip_if_exists=True))
        self.assertEqual(shared["a"], 2)
        shared.update({"c": 4}, d=5)
        self.assertEqual(shared.len(), 6)
        self.assertEqual(shared.pop("c"), 4)
        self.assertEqual(shared.pop("c", "gone"), "gone")
        with self.assertRaises(KeyError):
            shared.pop("c")
        del shared["d"]
        self.assertEqual(set(shared.keys()), {"a", "b", b"bytes", ("t", 1)})
        self.assertEqual(dict(shared.items())["b"], 3)
        self.assertEqual(len(list(shared.values())), 4)
        shared.clear()
        self.assertEqual(shared.len(), 0)

    def test_containers_and_the_outside_see_the_same(self):
        shared = new_dict("seen")
        self.assertEqual(function("count_up").remote("seen", "k"), 1)
        shared["k"] = 10
        self.assertEqual(function("count_up").remote("seen", "k"), 11)
        self.assertEqual(shared["k"], 11)

    def test_one_is_reached_by_its_id(self):
        with modal.Dict.ephemeral() as shared, modal.Queue.ephemeral() as line:
            shared["from outside"] = 1
            function("by_id").remote(shared.object_id, line.object_id)
            self.assertEqual(shared["from inside"], 2)
            self.assertEqual(line.get(timeout=CALL_TIMEOUT), "from inside")
            self.assertIsNone(shared.info().name)
        known = new_dict("with-info")
        info = modal.Dict.from_id(known.hydrate().object_id).info()
        self.assertEqual(info.name, "with-info")
        self.assertLess(abs(info.created_at.timestamp() - time.time()), 600)

    def test_objects_are_created_listed_and_deleted(self):
        modal.Dict.objects.create("listed")
        modal.Dict.objects.create("listed", allow_existing=True)
        with self.assertRaises(modal.exception.AlreadyExistsError):
            modal.Dict.objects.create("listed")
        self.assertIn("listed", [one.name for one in modal.Dict.objects.list()])
        self.assertEqual(len(modal.Dict.objects.list(max_objects=1)), 1)
        modal.Dict.from_name("listed")["a"] = 1
        modal.Dict.objects.delete("listed")
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Dict.objects.delete("listed")
        modal.Dict.objects.delete("listed", allow_missing=True)
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Dict.from_name("listed").hydrate()
        # One with the same name is a new one.
        self.assertEqual(new_dict("listed").len(), 0)
        for number in range(120):
            modal.Queue.objects.create(f"many-{number}")
        names = {one.name for one in modal.Queue.objects.list()}
        self.assertTrue({f"many-{number}" for number in range(120)} <= names)

    def test_large_values_and_what_is_too_large(self):
        shared = new_dict("large")
        value = os.urandom(20 << 20)
        shared["large"] = value
        self.assertEqual(shared["large"], value)
        self.assertEqual(list(shared.values()), [value])
        self.assertEqual(shared.pop("large"), value)
        with self.assertRaises(modal.exception.RequestSizeError):
            shared.update({number: None for number in range(10_001)})
        line = new_queue("large")
        with self.assertRaises(modal.exception.RequestSizeError):
            line.put(b"x" * (1 << 20 | 1))
        line.put(b"x" * ((1 << 20) - 100))
        self.assertEqual(len(line.get()), (1 << 20) - 100)

    def test_iterating_while_others_write(self):
        shared = new_dict("iterated")
        shared.update({f"k{number}": number for number in range(3_000)})
        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                shared[f"k{number % 3_000}"] = number % 3_000
                shared[f"new{number}"] = -1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            found = [pair for pair in shared.items() if pair[1] != -1]
        finally:
            stop.set()
            writer.join()
        self.assertEqual(sorted(value for _, value in found), list(range(3_000)))

    def test_an_ephemeral_one_ends_with_its_client(self):
        with modal.Dict.ephemeral(_heartbeat_sleep=1) as shared:
            shared["a"] = 1
            time.sleep(5)
            self.assertEqual(shared["a"], 1)
            id = shared.object_id

        def is_gone():
            try:
                modal.Dict.from_id(id).hydrate()
                return False
            except modal.exception.NotFoundError:
                return True

        wait_until(is_gone, 30, "the ephemeral dict is gone")

    def test_a_container_finds_its_own_environment_only(self):
        server.rpc("EnvironmentCreate", pb.EnvironmentCreateRequest(name="other"))
        modal.Dict.objects.create("outside", environment_name="other")
        modal.Dict.from_name("outside", environment_name="other")["a"] = "not for you"
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Dict.from_name("outside").hydrate()
        said = function("in_another_environment").remote("outside")
        self.assertIn("NotFoundError", said)

    def test_a_request_that_comes_twice_is_done_once(self):
        line = new_queue("twice").hydrate()
        key = {"x-idempotency-key": "the same"}
        put = pb.QueuePutRequest(queue_id=line.object_id, values=[b"1", b"2"])
        server.rpc("QueuePut", put, key)
        server.rpc("QueuePut", put, key)
        self.assertEqual(line.len(), 2)
        get = pb.QueueGetRequest(queue_id=line.object_id, n_values=1)
        first = server.rpc("QueueGet", get, key).values
        self.assertEqual(server.rpc("QueueGet", get, key).values, first)
        self.assertEqual(line.len(), 1)


class Queues(E2eTest):
    server = server

    def test_what_a_queue_can_do(self):
        line = new_queue("verbs")
        line.put(1)
        line.put_many([2, 3])
        line.put("p", partition="p")
        self.assertEqual(line.len(), 3)
        self.assertEqual(line.len(partition="p"), 1)
        self.assertEqual(line.len(total=True), 4)
        self.assertEqual(list(line.iterate()), [1, 2, 3])
        self.assertEqual(line.get(), 1)
        self.assertEqual(line.get_many(10), [2, 3])
        self.assertIsNone(line.get(block=False))
        self.assertEqual(line.get_many(5, block=False), [])
        with self.assertRaises(std_queue.Empty):
            line.get(timeout=0.2)
        self.assertEqual(line.get(partition="p"), "p")
        line.put_many([1, 2], partition="q")
        line.put(3)
        line.clear(partition="q")
        self.assertEqual(line.len(total=True), 1)
        line.clear(all=True)
        self.assertEqual(line.len(total=True), 0)

    def test_a_get_waits_for_a_put(self):
        line = new_queue("waited")
        waiting = function("wait_for").spawn("waited", 60)
        wait_until(lambda: "thaw_queue_waits 1" in self.metrics(), CALL_TIMEOUT, "it waits")
        line.put("at last")
        self.assertEqual(waiting.get(timeout=CALL_TIMEOUT)[0], "at last")
        value, took = function("wait_for").remote("waited", 1)
        self.assertIsNone(value)
        self.assertGreaterEqual(took, 1)
        self.assertIn("thaw_queue_waits 0", self.metrics())

    def metrics(self):
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=CALL_TIMEOUT) as answer:
            return answer.read().decode()

    def test_a_client_that_leaves_waits_no_more_and_takes_nothing(self):
        line = new_queue("left")
        program = "import modal; modal.Queue.from_name('left').get()"
        child = subprocess.Popen([sys.executable, "-c", program], env=os.environ)
        wait_until(lambda: "thaw_queue_waits 1" in self.metrics(), CALL_TIMEOUT, "it waits")
        child.kill()
        child.wait()
        wait_until(lambda: "thaw_queue_waits 0" in self.metrics(), CALL_TIMEOUT, "it has left")
        line.put("for somebody else")
        self.assertEqual(line.get(timeout=CALL_TIMEOUT), "for somebody else")

    def test_a_full_partition_refuses_or_waits(self):
        line = new_queue("full")
        line.put_many(list(range(5_000)))
        with self.assertRaises(std_queue.Full):
            line.put("one too many", block=False)
        with self.assertRaises(std_queue.Full):
            line.put("one too many", timeout=0.5)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            putting = pool.submit(line.put, "in the end", timeout=CALL_TIMEOUT)
            self.assertEqual(line.get(), 0)
            putting.result()
        self.assertEqual(line.len(), 5_000)

    def test_producers_and_consumers_in_containers_lose_nothing(self):
        line = new_queue("flow")
        makers = [function("produce").spawn("flow", at * 500, 500) for at in range(4)]
        takers = [function("consume").spawn("flow", CALL_TIMEOUT) for _ in range(3)]
        for maker in makers:
            maker.get(timeout=CALL_TIMEOUT)
        line.put_many([None] * 3)
        found = [value for taker in takers for value in taker.get(timeout=CALL_TIMEOUT)]
        self.assertEqual(sorted(found), list(range(2_000)))

    def test_a_hundred_thousand_items(self):
        line = new_queue("bulk")
        begun = time.monotonic()
        for part in range(20):
            numbers = list(range(part * 5_000, (part + 1) * 5_000))
            line.put_many(numbers, partition=str(part))
        put = time.monotonic()
        self.assertEqual(line.len(total=True), 100_000)
        found = []
        for part in range(20):
            while len(found) < (part + 1) * 5_000:
                found += line.get_many(5_000, partition=str(part))
        print(f"100,000 items: {100_000 / (put - begun):.0f} a second put, "
              f"{100_000 / (time.monotonic() - put):.0f} a second taken")  # fmt: skip
        self.assertEqual(found, list(range(100_000)))

    def test_who_looks_sees_what_comes(self):
        line = new_queue("looked-at")
        line.put_many([1, 2])
        seen = []

        def look():
            seen.extend(line.iterate(item_poll_timeout=2))

        looker = threading.Thread(target=look)
        looker.start()
        wait_until(lambda: len(seen) == 2, CALL_TIMEOUT, "it looks")
        line.put(3)
        looker.join()
        self.assertEqual(seen, [1, 2, 3])
        self.assertEqual(line.len(), 3)


class CommandLine(E2eTest):
    server = server

    def test_verbs_of_dicts(self):
        modal_ = server.modal
        modal_("dict", "create", "by-cli")
        modal_("dict", "create", "by-cli")
        shared = modal.Dict.from_name("by-cli")
        shared.update({"key": "the value", "other": [1, 2]})
        self.assertIn("by-cli", modal_("dict", "list").stdout)
        self.assertIn("the value", modal_("dict", "get", "by-cli", "key").stdout)
        shown = modal_("dict", "items", "by-cli", "--all").stdout
        self.assertIn("other", shown)
        self.assertIn("[1, 2]", shown)
        self.assertEqual(len(json.loads(modal_("dict", "items", "by-cli", "--json").stdout)), 2)
        modal_("dict", "clear", "by-cli", "--yes")
        self.assertEqual(shared.len(), 0)
        modal_("dict", "delete", "by-cli", "--yes")
        failed = modal_("dict", "get", "by-cli", "key", check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn("not found", failed.stdout + failed.stderr)

    def test_verbs_of_queues(self):
        modal_ = server.modal
        modal_("queue", "create", "by-cli")
        line = modal.Queue.from_name("by-cli")
        line.put_many(["first", "second"])
        line.put("apart", partition="p")
        listed = json.loads(modal_("queue", "list", "--json").stdout)
        (mine,) = [row for row in listed if "by-cli" in row.values()]
        numbers = [value for value in mine.values() if str(value).isdigit()]
        self.assertEqual([int(value) for value in numbers], [2, 3])
        self.assertIn("first", modal_("queue", "peek", "by-cli").stdout)
        self.assertIn("apart", modal_("queue", "peek", "by-cli", "-p", "p").stdout)
        self.assertIn("2", modal_("queue", "len", "by-cli").stdout)
        self.assertIn("3", modal_("queue", "len", "by-cli", "--total").stdout)
        modal_("queue", "clear", "by-cli", "--all", "--yes")
        self.assertEqual(line.len(total=True), 0)
        modal_("queue", "delete", "by-cli", "--yes")
        self.assertNotEqual(modal_("queue", "len", "by-cli", check=False).returncode, 0)


class OtherClients(E2eTest):
    server = server

    def check(self, name):
        done = client(name).modal(server, "run", "state.py", "--name", re.sub(r"\W", "-", name))
        for line in (
            "counted 42 42",
            "contains True False a default",
            "len 3 keys ['local', 'x', 'y'] sum 45",
            "items [('local', 42), ('x', 1), ('y', 2)] popped 1",
            "queued 120 first 0 more [1, 2, 3]",
            "partition 1 in a partition 116",
            "seen [4, 5] 4",
            "consumed 115 None",
            "ephemeral b c",
            "cleared 0 0",
        ):
            self.assertIn(line, done.stdout)

    def test_a_client_of_1_2(self):
        self.check("modal-1.2.txt")

    def test_a_client_of_1_0(self):
        self.check("modal-1.0.txt")


class Shares(E2eTest):
    server = server

    def test_who_fills_its_share_is_told_so_and_the_others_go_on(self):
        json_of("workspace", "create", "greedy")
        token = json_of("token", "create", "greedy", "--workspace", "greedy")
        client = modal.Client.from_credentials(token["token"], token["secret"])
        shared = modal.Dict.from_name("filled", create_if_missing=True, client=client)
        own = new_dict("beside-the-greedy")
        with self.assertRaisesRegex(Exception, "mb_per_workspace"):
            for number in range(200):
                shared[number] = b"x" * (1 << 20)
                own[number] = number
        self.assertGreater(shared.len(), 100)
        own["after"] = 1
        self.assertEqual(own["after"], 1)
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Dict.from_id(shared.hydrate().object_id).hydrate()
        with self.assertRaises(modal.exception.NotFoundError):
            modal.Dict.from_name("filled").hydrate()
        shared.pop(0)
        shared["again"] = b"x" * (1 << 19)


class Deaths(E2eTest):
    server = server

    def stubborn(self, name, request):
        """One request, repeated with its key until it is answered, as a client does for a while."""
        metadata = {**self.token, "x-idempotency-key": uuid.uuid4().hex}

        async def ask():
            host, port = server.address.split(":")
            async with grpclib.client.Channel(host, int(port)) as channel:
                method = getattr(modal_proto.api_grpc.ModalClientStub(channel), name)
                return await method(request, metadata=metadata, timeout=CALL_TIMEOUT)

        while True:
            try:
                return asyncio.run(ask())
            except (OSError, grpclib.exceptions.StreamTerminatedError):
                time.sleep(0.02)
            except grpclib.GRPCError as error:
                if error.status != grpclib.Status.UNAVAILABLE:
                    raise
                time.sleep(0.02)

    def test_what_was_acknowledged_is_there_after_the_death_of_the_server(self):
        variables = server.client_environment()
        self.token = {
            "x-modal-token-id": variables["MODAL_TOKEN_ID"],
            "x-modal-token-secret": variables["MODAL_TOKEN_SECRET"],
        }
        dict_id = new_dict("survivor").hydrate().object_id
        queue_id = new_queue("survivor").hydrate().object_id
        acknowledged = []
        taken = []
        stop = threading.Event()

        def put():
            number = 0
            while not stop.is_set():
                number += 1
                value = str(number).encode()
                entry = pb.DictEntry(key=value, value=value)
                update = pb.DictUpdateRequest(dict_id=dict_id, updates=[entry])
                self.stubborn("DictUpdate", update)
                self.stubborn("QueuePut", pb.QueuePutRequest(queue_id=queue_id, values=[value]))
                acknowledged.append(number)

        def take(timeout=1.0):
            request = pb.QueueGetRequest(queue_id=queue_id, n_values=3, timeout=timeout)
            found = [int(value) for value in self.stubborn("QueueGet", request).values]
            taken.extend(found)
            return found

        def take_on():
            while not stop.is_set():
                take()

        threads = [threading.Thread(target=put), threading.Thread(target=take_on)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            count = len(acknowledged)
            wait_until(lambda: len(acknowledged) > count + 30, CALL_TIMEOUT, "it goes on")
            server.kill()
            server.start()
        count = len(acknowledged)
        wait_until(lambda: len(acknowledged) > count + 20, CALL_TIMEOUT, "it goes on")
        stop.set()
        for thread in threads:
            thread.join()
        for number in acknowledged:
            key = str(number).encode()
            answer = self.stubborn("DictGet", pb.DictGetRequest(dict_id=dict_id, key=key))
            self.assertEqual(answer.value, key)
        while take(timeout=0):
            pass
        # What was put once is taken once, in order, whatever died in between.
        self.assertEqual(taken, acknowledged)


if __name__ == "__main__":
    main()
