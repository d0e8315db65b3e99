#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that are harmed, and everything else that has changed since: the snapshot is not used."""
import os
import pathlib
import shutil
import tempfile

from thaw_server import APPS, E2eTest, ThawServer, main
from ladder import CRIU, Ladder, need_criu

need_criu()


class OtherMachine(ThawServer):
    """A server whose next start may find another CPU, another boot or another CRIU."""

    hidden = {}  # file of the kernel: what the server reads instead

    def command(self):
        command = super().command()
        binds = "".join(f"mount --bind {fake} {real} && " for real, fake in self.hidden.items())
        if not binds:
            return command
        return ["unshare", "-m", "sh", "-c", f'{binds} exec "$@"', "sh", *command]


# Without forks, so that what is not restored is booted.
CONFIG = "[cold_start]\nforked = false\nfrozen = false\n"
server = OtherMachine.for_module(config=CONFIG)
ladder = Ladder(server)

import modal  # noqa: E402

APP = "e2e-ladder-attack"


def setUpModule():
    deploy("WORD=first")


def deploy(secret, app_file=APPS / "ladder_attack.py"):
    server.modal("secret", "create", "--force", APP, secret)
    server.modal("deploy", app_file)


def function(name):
    return modal.Function.from_name(APP, name)


def wait():
    return function("wait").remote()


class Keys(E2eTest):
    server = server

    def fallbacks(self, reason):
        return ladder.metric("thaw_start_fallbacks_total", level="L3", reason=reason)

    def test_1_files_that_are_harmed_are_found_out(self):
        ladder.restored("other", function("other").remote)
        ladder.restored("wait", wait)
        mine = function("other").hydrate().object_id
        theirs = function("wait").hydrate().object_id

        def cut(folder):
            path = folder / "images/pages-1.img"
            os.truncate(path, path.stat().st_size // 2)

        def flip(folder):
            path = folder / "images/pages-1.img"
            with open(path, "r+b") as file:
                file.seek(path.stat().st_size // 3)
                byte = file.read(1)[0]
                file.seek(-1, 1)
                file.write(bytes([byte ^ 1]))

        def take_away(folder):
            (folder / "images/inventory.img").unlink()

        def link(folder):
            """To the same bytes, which somebody may change later."""
            path = folder / "images/pages-1.img"
            copy = server.folder / "pages-1.img"
            shutil.copy2(path, copy)
            path.unlink()
            path.symlink_to(copy)

        def link_all(folder):
            """To the other function's."""
            shutil.rmtree(folder / "images")
            (folder / "images").symlink_to(ladder.snapshot_folder(theirs) / "images")

        def swap(folder):
            """Both functions have now the other's files."""
            ours, others = folder / "images", ladder.snapshot_folder(theirs) / "images"
            ours.rename(folder / "aside")
            others.rename(ours)
            (folder / "aside").rename(others)

        def change_root(folder):
            path = folder / "upper/root"
            path.mkdir(exist_ok=True, parents=True)
            (path / "ladder_attack.py").write_text("raise SystemExit('hostile')")

        for harm, restarted in ((cut, False), (take_away, True), (link, False), (link_all, False),
                                (flip, True), (change_root, False), (swap, False)):  # fmt: skip
            with self.subTest(harm.__name__):
                count = ladder.taken("other")
                ladder.end()
                if restarted:
                    server.stop()
                harm(ladder.snapshot_folder(mine))
                if restarted:
                    server.start()
                damaged = 0 if restarted else self.fallbacks("snapshot_damaged")
                answer = function("other").remote()
                self.assertTrue(answer["other"])
                self.assertEqual(ladder.level_of(answer["task"]), "L4")
                # After a start all are looked at: the call may come before or behind that.
                found = self.fallbacks("snapshot_damaged") + self.fallbacks("no_snapshot")
                self.assertGreater(found, damaged)
                ladder.wait_for_snapshot("other", count + 1)
                ladder.restored("other", function("other").remote)
        self.assertIn("secret", wait())  # after the swap: not the other's

    def test_2_a_snapshot_of_another_workspace_is_not_found(self):
        """Moved below another workspace's folder, with its own name and whole."""
        ladder.restored("other", function("other").remote)
        folder = ladder.snapshot_folder(function("other").hydrate().object_id)
        ladder.end()
        server.stop()
        stranger = folder.parent.parent / "ws-stranger"
        stranger.mkdir()
        folder.rename(stranger / folder.name)
        server.start()
        self.assertFalse((stranger / folder.name).exists(), "it was kept for a stranger")
        answer = function("other").remote()
        self.assertEqual(ladder.level_of(answer["task"]), "L4")

    def test_3_other_code_image_and_secrets_do_not_find_the_snapshot(self):
        before = ladder.restored("wait", wait)
        self.assertEqual((before["version"], before["colour"]), (1, "green"))
        text = (APPS / "ladder_attack.py").read_text()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="thaw-e2e-attack-"))
        self.addCleanup(shutil.rmtree, folder)
        count = ladder.taken("wait")
        for change, expected in (
            (("VERSION = 1", "VERSION = 2"), (2, "green", "first")),
            (('"COLOUR": "green"', '"COLOUR": "blue"'), (2, "blue", "first")),
            ((), (2, "blue", "second")),
        ):
            with self.subTest(change):
                text = text.replace(*change) if change else text
                (folder / "ladder_attack.py").write_text(text)
                deploy(f"WORD={expected[2]}", folder / "ladder_attack.py")
                ladder.end("wait")
                count += 1
                answer = wait()
                self.assertEqual(
                    (answer["version"], answer["colour"], answer["secret"]), expected
                )
                self.assertEqual(ladder.level_of(answer["task"]), "L4")
                ladder.wait_for_snapshot("wait", count)
        after = ladder.restored("wait", wait)
        self.assertEqual((after["version"], after["colour"], after["secret"]), expected)
        deploy("WORD=first")

    def test_4_each_set_of_parameters_has_its_own(self):
        counts = {}
        for size in (2, 3):
            counted = modal.Cls.from_name(APP, "Sized")(size=size).count
            self.assertEqual(counted.remote()["count"], size)
            name = ladder.starts()[-1]["function"]
            counts[name] = counts.get(name, 0) + 1
            ladder.wait_for_snapshot(name, counts[name])
        for size in (2, 3):
            ladder.end()
            answer = modal.Cls.from_name(APP, "Sized")(size=size).count.remote()
            self.assertEqual((answer["count"], ladder.level_of(answer["task"])), (size, "L3"))

    def test_5_another_cpu_boot_or_criu_does_not_find_the_snapshot(self):
        ladder.restored("other", function("other").remote)
        identifier = function("other").hydrate().object_id
        folder = ladder.snapshot_folder(identifier)
        ladder.end()
        server.stop()
        server.start()  # nothing else has changed: it is found again
        answer = function("other").remote()
        self.assertEqual(ladder.level_of(answer["task"]), "L3")

        fake = server.folder / "cpuinfo"
        fake.write_text(pathlib.Path("/proc/cpuinfo").read_text().replace(" sse2 ", " "))
        boot = server.folder / "boot_id"
        boot.write_text("00000000-0000-0000-0000-000000000000\n")
        criu = server.folder / "criu"
        criu.write_bytes(CRIU.read_bytes() + b"\0")
        criu.chmod(0o755)
        self.addCleanup(self.back_to_this_machine)
        for hidden, config in (
            ({"/proc/cpuinfo": fake}, CONFIG),
            ({"/proc/sys/kernel/random/boot_id": boot}, CONFIG),
            ({}, f'{CONFIG}criu = "{criu}"\n'),
        ):
            with self.subTest(hidden or config):
                ladder.end()
                server.stop()
                server.hidden, server.config = hidden, config
                server.start()
                self.assertFalse(folder.exists())
                count = ladder.taken("other")
                answer = function("other").remote()
                self.assertEqual(ladder.level_of(answer["task"]), "L4")
                ladder.wait_for_snapshot("other", count + 1)
                folder = ladder.snapshot_folder(identifier)
        ladder.restored("other", function("other").remote)

    def back_to_this_machine(self):
        server.stop()
        server.hidden, server.config = {}, CONFIG
        server.start()


if __name__ == "__main__":
    main()
