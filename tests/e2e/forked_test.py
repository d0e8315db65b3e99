#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers that are forked from a template: the second start from zero, as users see it."""
import http.client
import json
import os
import pathlib
import signal
import socket
import urllib.request

from thaw_server import E2eTest, ThawServer, deploy, descendants_of, main, wait_until

server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "forked.py")


def function(name):
    return modal.Function.from_name("e2e-forked", name)


def ask_admin(path):
    connection = http.client.HTTPConnection("thaw")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(server.data / "admin.sock"))
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def starts():
    """Level by container, of every container so far."""
    told = ask_admin("/admin/starts") + ask_admin("/admin/ps")
    return {start["container"]: start["level"] for start in told}


def templates_ready():
    return server.log_path.read_text(errors="replace").count("template ready")


class Forked(E2eTest):
    server = server

    def level_of(self, task):
        return wait_until(lambda: starts().get(task), 30, f"the start of {task} is told")

    def forked(self, call):
        """Calls until a start is answered by a fork; what `call` returns begins with its task."""
        for _ in range(6):
            ready = templates_ready()
            result = call()
            task = result[0]
            level = self.level_of(task)
            wait_until(lambda: task not in server.task_ids(), 60, "the container is gone")
            if level == "L2":
                return result
            if ready == 0:
                wait_until(lambda: templates_ready() > ready, 90, "there is a template")
        self.fail("no start was a fork\n" + server.log_tail())

    def test_the_second_start_from_zero_is_a_fork_and_looks_like_a_boot(self):
        answer = self.forked(lambda: function("plain").remote("x"))
        self.assertEqual(answer[1], "x")
        self.forked(lambda: function("plain").remote("y"))
        facts = function("facts").remote()
        self.assertEqual(facts["NoNewPrivs"], "1")
        self.assertEqual(facts["Seccomp"], "2")
        self.assertEqual(facts["CapEff"], facts["CapBnd"])
        self.assertEqual(int(facts["CapBnd"], 16) & (1 << 21), 0, "CAP_SYS_ADMIN is left")
        self.assertEqual(facts["cwd"], "/root")
        self.assertEqual(facts["path0"], "/root")
        self.assertEqual(facts["main"], "modal._container_entrypoint")
        self.assertTrue(facts["argv"][0].endswith("_container_entrypoint.py"), facts["argv"])
        self.assertTrue(facts["host"].startswith("thaw-"))
        self.assertIn("modal._container_entrypoint", facts["cmdline"])
        self.assertTrue(facts["environ"])
        self.assertEqual(facts["limit"], "500")
        self.assertIn(facts["host"], facts["address"])

    def test_two_clones_share_no_random_numbers(self):
        self.forked(lambda: function("plain").remote())
        for name in ("seeds", "numpy_seeds"):
            values, tasks = [], 3
            for _ in range(tasks):
                values += function(name).remote()
                wait_until(lambda: not server.containers(), 60, "zero again")
                if name == "numpy_seeds":
                    wait_until(lambda: templates_ready() >= 2, 90, "a template with numpy")
            self.assertEqual(len(set(values)), len(values), (name, values))
        levels = list(starts().values())
        self.assertGreaterEqual(levels.count("L2"), 4, starts())

    def test_output_exceptions_generators_secrets_and_classes(self):
        self.forked(lambda: function("plain").remote())
        function("speak").remote("forked")
        logs = server.modal("app", "logs", "e2e-forked", "--timestamps", check=False).stdout
        self.assertIn("said forked", logs)
        self.assertIn("cried forked", logs)
        with self.assertRaisesRegex(ValueError, "as asked"):
            function("fail").remote()
        items = list(function("generate").remote_gen(3))
        self.assertEqual([number for _, number in items], [0, 1, 2])
        self.assertEqual(self.level_of(items[0][0]), "L2")
        task, value, present = function("secret").remote()
        self.assertEqual((value, present, self.level_of(task)), ("hidden", True, "L2"))
        counter = modal.Cls.from_name("e2e-forked", "Counter")(start=7)
        task, value, same = counter.add.remote(3)
        self.assertEqual((value, same, self.level_of(task)), (10, True, "L2"))

    def test_what_shapes_an_interpreter_is_not_inherited(self):
        self.forked(lambda: function("plain").remote())
        task, randomised, value = function("own_interpreter").remote()
        self.assertEqual(self.level_of(task), "L4")
        answer = self.forked(lambda: function("own_interpreter").remote())
        self.assertEqual(tuple(answer[1:]), (randomised, value))

    def test_web_endpoints(self):
        url = function("endpoint").get_web_url()

        def call():
            with urllib.request.urlopen(url + "?word=hello", timeout=60) as answer:
                body = json.load(answer)
            self.assertEqual(body["word"], "hello")
            return (body["task"],)

        self.forked(call)

    def test_limits_hold(self):
        self.forked(lambda: function("plain").remote())
        task, _ = function("eat").remote(1)
        self.assertEqual(self.level_of(task), "L2")
        with self.assertRaisesRegex(Exception, "memory"):
            function("eat").remote(600)
        with self.assertRaises(modal.exception.FunctionTimeoutError):
            function("dawdle").remote(60)

    def test_a_template_that_is_killed_costs_nothing_but_the_fork(self):
        self.forked(lambda: function("plain").remote())
        killed = 0
        for pid in descendants_of(server.process.pid):
            try:
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"/run/thaw/template.py" in command:
                os.kill(pid, signal.SIGKILL)
                killed += 1
        self.assertGreater(killed, 0)
        self.assertEqual(function("plain").remote("after")[1], "after")
        self.forked(lambda: function("plain").remote())  # and there is a new one

    def test_a_setting_switches_it_off(self):
        other = ThawServer(config="[cold_start]\nforked = false\n").start()
        self.addCleanup(other.close)
        for word in ("one", "two"):
            shown = other.modal("run", "forked.py::speak", "--word", word).stdout
            self.assertIn(f"said {word}", shown)
        self.assertNotIn("template ready", other.log_path.read_text())


if __name__ == "__main__":
    main()
