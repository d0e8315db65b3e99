#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A deployment is published as a whole or not at all, wherever the server is killed meanwhile.

PUBLISH_KILLS=50 PUBLISH_SEED=1 tests/e2e/publish_test.py kills more often, at the same moments.
"""
import os
import random
import threading
import time

from thaw_server import E2eTest, ThawServer, main

KILLS = int(os.environ.get("PUBLISH_KILLS", "8"))
SEED = int(os.environ.get("PUBLISH_SEED", random.SystemRandom().randrange(10**6)))
LATEST_KILL_S = 0.03  # after the client has asked; about what a publication takes
NAMES = [f"part_{number}" for number in range(4)]

server = ThawServer.for_module()

import modal  # noqa: E402
import modal.runner  # noqa: E402


def app_of(version):
    app = modal.App("e2e-published", image=modal.Image.debian_slim())
    secret = modal.Secret.from_dict({"VERSION": version})

    def version_of():
        import os

        return os.environ["VERSION"]

    for name in NAMES:
        app.function(name=name, serialized=True, secrets=[secret])(version_of)
    return app


def versions():
    return {modal.Function.from_name("e2e-published", name).remote() for name in NAMES}


class Killer(threading.Thread):
    """Kills the server so long after it was asked to publish, and starts it again."""

    def __init__(self, delay):
        super().__init__()
        self.delay = delay

    def run(self):
        time.sleep(self.delay)
        server.kill()
        server.start()


def deploy_and_kill(app, delay):
    """Whether the client was told that it is published."""
    killer = Killer(delay)
    publish = modal.runner._publish_app

    async def watched(*arguments, **named):
        killer.start()
        return await publish(*arguments, **named)

    modal.runner._publish_app = watched
    try:
        app.deploy()
        return True
    except Exception as error:  # noqa: BLE001 - what the client makes of a lost connection
        print(f"not told after {delay * 1e3:.1f} ms: {type(error).__name__}", flush=True)
        return False
    finally:
        modal.runner._publish_app = publish
        killer.join()
        assert server.process.poll() is None, server.log_tail()


class Publish(E2eTest):
    server = server

    def test_a_kill_while_it_is_published_leaves_the_old_or_the_new_one_whole(self):
        print(f"PUBLISH_SEED={SEED}", flush=True)
        chance = random.Random(SEED)
        app_of("0").deploy()
        now, told = "0", 0
        for number in range(1, KILLS + 1):
            was_told = deploy_and_kill(app_of(str(number)), chance.uniform(0, LATEST_KILL_S))
            told += was_told
            seen = versions()
            self.assertEqual(len(seen), 1, f"parts of two deployments: {seen}")
            self.assertIn(seen, ({str(number)},) if was_told else ({now}, {str(number)}))
            [now] = seen
        print(f"{KILLS} kills, {told} were told that it is published", flush=True)
        # And nothing of all this is in the way of the next one.
        app_of("last").deploy()
        self.assertEqual(versions(), {"last"})


if __name__ == "__main__":
    main()
