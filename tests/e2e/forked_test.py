#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers that are forked from a template: the second start from zero, as users see it."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.request

from thaw_server import E2eTest, ThawServer, deploy, descendants_of, main, wait_until

SPARE = re.compile(r"/thaw-[^/]+/[^/]+/tt-\d+-s\d+$", re.M)
server = ThawServer.for_module()

import modal  # noqa: E402


def setUpModule():
    deploy(server, "forked.py")


def function(name):
    return modal.Function.from_name("e2e-forked", name)


def starts():
    """Level by container, of every container so far."""
    return {start["container"]: start["level"] for start in server.starts()}


def in_spare(pid):
    """Whether the kernel counts the process with a fork that was made ahead."""
    try:
        return SPARE.search(pathlib.Path(f"/proc/{pid}/cgroup").read_text()) is not None
    except OSError:
        return False


def waiting_spares(of=None):
    """The interpreters of spares that wait for their order, or will in a moment."""
    found = set()
    for pid in descendants_of((of or server).process.pid):
        if in_spare(pid):
            try:
                place = pathlib.Path(f"/proc/{pid}")
                niceness = place.joinpath("stat").read_text().rpartition(")")[2].split()[16]
                command = place.joinpath("cmdline").read_bytes()
                if b"template.py" in command and niceness == "19":
                    found.add(pid)
            except OSError:
                continue
    return found


def groups_below():
    """The cgroups of the server's containers and templates that have a process."""
    found = set()
    for pid in descendants_of(server.process.pid):
        try:
            text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        except OSError:
            continue
        found |= set(re.findall(r"/thaw-[^/]+/[^/]+/([^/\n]+)$", text, re.M))
    return found


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
        self.assertEqual(self.level_of(facts["task"]), "L2")
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
        values = []
        for _ in range(3):
            values += self.forked(lambda: function("seeds").remote())[1:]
        self.assertEqual(len(set(values)), len(values), values)

    def test_two_clones_with_numpy_in_the_template_share_no_random_numbers_and_no_key(self):
        values = []
        while len(values) < 12:
            task, there, *drawn = self.forked(lambda: function("numpy_seeds").remote())
            if there:
                values += drawn
            else:
                wait_until(lambda: templates_ready() > 1, 90, "a template with numpy")
        self.assertEqual(len(set(values)), len(values), values)

    def test_a_start_takes_a_spare_once_and_another_one_is_made(self):
        self.forked(lambda: function("plain").remote())
        spares = wait_until(waiting_spares, 30, "a spare waits")
        task, _ = function("plain").remote()
        process = server.user_process(task)
        self.assertEqual(self.level_of(task), "L2")
        self.assertFalse(process is not None and in_spare(process), "it counts as a spare")
        if process in spares:  # several images have theirs, and each its own
            self.assertIn(task, pathlib.Path(f"/proc/{process}/cgroup").read_text())
        wait_until(lambda: waiting_spares() - spares, 30, "there is a new one")
        wait_until(lambda: task not in server.task_ids(), 60, "the container is gone")
        wait_until(lambda: not server.containers(), 60, "no container is left")
        wait_until(
            lambda: all(name.startswith("tt-") for name in groups_below()), 30, "no group is left"
        )

    def test_a_spare_that_is_killed_costs_nothing_and_is_replaced(self):
        self.forked(lambda: function("plain").remote())
        killed = wait_until(waiting_spares, 30, "a spare waits")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(function("plain").remote("after")[1], "after")
        wait_until(lambda: waiting_spares() - killed, 60, "there are new ones")
        self.forked(lambda: function("plain").remote())

    def test_fifty_at_once(self):
        self.forked(lambda: function("plain").remote())
        wait_until(waiting_spares, 30, "a spare waits")
        answers = list(function("hold").map(range(50), kwargs={"seconds": 8}))
        self.assertEqual([number for _, number, _ in answers], list(range(50)))
        tasks = {task for task, _, _ in answers}
        self.assertEqual(len({drawn for _, _, drawn in answers}), 50, "random numbers are shared")
        levels = [self.level_of(task) for task in tasks]
        self.assertGreaterEqual(levels.count("L2"), 0.9 * len(tasks), levels)
        self.assertGreaterEqual(len(tasks), 20)

    def test_a_drain_leaves_neither_templates_nor_spares(self):
        other = ThawServer(config="[cold_start]\nspare_forks = 3\n").start()
        self.addCleanup(other.close)
        other.modal("run", "forked.py::speak", "--word", "one")
        spares = wait_until(lambda: len(waiting_spares(other)) == 3 and waiting_spares(other), 90,
                            "three spares wait")
        group = re.search(r"/thaw-[^/]+/", pathlib.Path(f"/proc/{min(spares)}/cgroup").read_text())
        below = descendants_of(other.process.pid)
        other.stop()
        self.assertEqual(other.process.returncode, 0)
        left = [pid for pid in below if pathlib.Path(f"/proc/{pid}").exists()]
        self.assertFalse(left, "processes are left")
        for hierarchy in pathlib.Path("/sys/fs/cgroup").iterdir():
            self.assertFalse((hierarchy / group[0].strip("/")).exists(), "cgroups are left")

    def test_what_forks_import_of_the_image_is_there_before_the_next(self):
        def there():
            answer = function("was_numpy_there").remote()
            self.assertEqual(answer[3], 2500)
            wait_until(lambda: answer[0] not in server.task_ids(), 60, "the container is gone")
            return answer[1]

        self.forked(lambda: function("was_numpy_there").remote())
        wait_until(there, 120, "numpy is in the template", pause=2)

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
        task, value, present = self.forked(lambda: function("secret").remote())
        self.assertEqual((value, present), ("hidden", True))
        counter = modal.Cls.from_name("e2e-forked", "Counter")(start=7)
        task, value, same = counter.add.remote(3)
        self.assertEqual((value, same, self.level_of(task)), (10, True, "L2"))

    def test_what_shapes_an_interpreter_is_not_inherited(self):
        self.forked(lambda: function("plain").remote())
        wanted = subprocess.run([sys.executable, "-c", "print(hash('thaw'))"], check=True,
                                text=True, stdout=subprocess.PIPE,
                                env={"PYTHONHASHSEED": "7"}).stdout
        answer = self.forked(lambda: function("own_interpreter").remote())
        self.assertEqual(tuple(answer[1:]), (1, int(wanted)))

    def test_a_deployed_function_has_a_template_before_its_first_call(self):
        other = ThawServer().start()
        self.addCleanup(other.close)
        other.modal("deploy", "forked.py")
        wait_until(lambda: waiting_spares(other), 90, "a template with its spare")
        self.assertFalse(other.containers())
        shown = other.thaw("functions", "--json", "--data", str(other.data)).stdout
        self.assertEqual(json.loads(shown), [], "a function that nobody called costs a pool")

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
