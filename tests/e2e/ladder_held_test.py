#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever a program holds at its snapshot point: it comes back, or there is no snapshot."""
import concurrent.futures
import re
import subprocess

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until
from ladder import NO_SNAPSHOT, Ladder, need_criu

need_criu()
# Without forks, so that what is not restored is booted.
server = ThawServer.for_module(config="[cold_start]\nforked = false\nfrozen = false\n")
ladder = Ladder(server)

import modal  # noqa: E402

COMES_BACK = {
    "Pipes": "before after in a fifo",
    "Mapped": ["after", "before", "mine", True],
    "SharedMemory": ["before", "child"],
    "Locks": ["held", "held"],
    "Waiting": [["event", "listener", "pair"], "in flight", ["signal"], 3],
    "Processes": ["echo", 0, 7],
    "Surroundings": ["/srv/here", "0o640", "set", "changed", [333, 444], False],
}
SHARED_FILE = "weights"
REFUSED = {
    "Forked": (True, "connection to this server"),
    "Inotify": ("news", "fsnotify"),
    "Daemon": ("daemon", "no longer its child"),
    "SystemV": (True, "System V"),
    "OutsideSocket": (True, "connection to this server"),
}


def setUpModule():
    deploy(server, "ladder_held.py")


def instance(name, **parameters):
    return modal.Cls.from_name("e2e-ladder-held", name)(**parameters)


def function(name):
    return modal.Function.from_name("e2e-ladder-held", name)


def use_all(names):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(lambda name: instance(name).use.remote(), names)))


def port_on_the_bridge():
    """Where containers reach the server: a TCP address outside of them."""
    listening = subprocess.check_output(["ss", "-Htlnp"], text=True)
    mine = [line for line in listening.splitlines() if f"pid={server.process.pid}," in line]
    found = re.search(r"(172\.\d+\.\d+\.\d+:\d+)", "\n".join(mine))
    return found[1]


class Held(E2eTest):
    server = server

    def test_1_what_it_holds_comes_back_or_it_starts_without_a_snapshot(self):
        restored = {"ComesBack": COMES_BACK, "ShmFile": SHARED_FILE}
        expected = restored | {name: value for name, (value, _) in REFUSED.items()}
        for name, answer in use_all(expected).items():
            self.assertEqual(answer["value"], expected[name], f"{name}, booted")
        for name in restored:
            ladder.wait_for_snapshot(f"{name}.*")
        for name, (_, reason) in REFUSED.items():
            [refusal, *_] = wait_until(
                lambda: ladder.events(NO_SNAPSHOT, function=f"{name}.*"), 60, f"{name} is refused"
            )
            self.assertIn(reason, refusal["reason"])
        for name in expected:
            ladder.end(f"{name}.*")
        for name, answer in use_all(expected).items():
            with self.subTest(name):
                self.assertEqual(answer["value"], expected[name])
                level = ladder.level_of(answer["task"])
                self.assertEqual(level, "L3" if name in restored else "L4")
        log = server.thaw("logs", "e2e-ladder-held", "--data", str(server.data)).stderr
        self.assertRegex(log, r"thaw: no memory snapshot of Daemon\.\*: .*no longer its child")

    def test_2_a_connection_to_the_outside_is_closed(self):
        outside = instance("OutsideConnection", address=port_on_the_bridge())
        self.assertEqual(outside.use.remote()["value"], [True, "HTTP/"])
        running = [container["function"] for container in ladder.running()]
        name = next(name for name in running if name.startswith("OutsideConnection"))
        answer = ladder.restored(name, outside.use.remote)
        self.assertEqual(answer["value"], [False, "HTTP/"])

    def test_3_volumes_are_there_and_up_to_date(self):
        function("write").remote("weights", "weights of a model")
        function("write").remote("news", "old,")
        self.assertEqual(instance("OnVolume").use.remote()["value"], "old,")
        self.assertEqual(instance("MappedOnVolume").use.remote()["value"], "weights")
        ladder.wait_for_snapshot("OnVolume.*")
        function("write").remote("news", "new,")
        answer = ladder.restored("OnVolume.*", instance("OnVolume").use.remote)
        self.assertEqual(answer["value"], "new,")
        answer = ladder.restored("MappedOnVolume.*", instance("MappedOnVolume").use.remote)
        self.assertEqual(answer["value"], "weights")
        self.assertEqual(function("read").remote("mine")[-9:], "old,new,")
        self.assertEqual(function("read").remote("loaded"), "xx")  # a boot, and the snapshot's own

    def test_4_a_snapshot_that_never_can_be_restored_is_given_up(self):
        function("write").remote("log", "short")
        log = instance("OpenOnVolume").use
        self.assertEqual(log.remote()["value"], "short")
        ladder.wait_for_snapshot("OpenOnVolume.*")
        function("write").remote("log", "longer than before")
        ladder.end("OpenOnVolume.*")
        before = ladder.metric("thaw_start_fallbacks_total", level="L3", reason="restore_failed")
        answer = log.remote()
        self.assertEqual(answer["value"], "longer than before")
        self.assertEqual(ladder.level_of(answer["task"]), "L4")
        told = ladder.start_of(answer["task"])["fell_from"]
        self.assertIn(("L3", "restore_failed"), [(f["level"], f["reason"]) for f in told])
        after = ladder.metric("thaw_start_fallbacks_total", level="L3", reason="restore_failed")
        self.assertEqual(after, before + 1)

    def test_5_kept_and_buffered_containers_are_restored_too(self):
        # It was started while its app was being deployed, and knew all of its app all the same.
        self.assertEqual(ladder.events("container failed to start"), [])
        kept = instance("Kept").use.remote()
        ladder.wait_for_snapshot("Kept.*")
        server.modal("container", "stop", "--yes", kept["task"])

        def another():
            return [v for v in ladder.running() if v["function"] == "Kept.*"
                    and v["container"] != kept["task"] and v["status"] == "warm"]  # fmt: skip

        [view] = wait_until(another, CALL_TIMEOUT, "another container is kept")
        self.assertEqual(view["started_by"], "L3")
        again = instance("Kept").use.remote()
        self.assertEqual(again["task"], view["container"])
        self.assertNotEqual(again["value"], kept["value"])
        ladder.restored("Buffered.*", self.buffered)

    def buffered(self):
        call = instance("Buffered").use.spawn()
        started = wait_until(
            lambda: len({v["container"] for v in ladder.running()
                         if v["function"] == "Buffered.*" and v["status"] in ("warm", "busy")}) > 1,
            CALL_TIMEOUT, "there is a container more than calls")  # fmt: skip
        self.assertTrue(started)
        return call.get(timeout=CALL_TIMEOUT)


if __name__ == "__main__":
    main()
