#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is not served, or cannot be, is refused by the deployment: not accepted and then ignored."""
import asyncio
import json
import pathlib
import tempfile
import textwrap
import urllib.error
import urllib.request

from thaw_server import CALL_TIMEOUT, ROOT, E2eTest, ThawServer, main

server = ThawServer.for_module()

import grpclib.client  # noqa: E402
import modal  # noqa: E402
import modal_proto.api_grpc  # noqa: E402

HEAD = """
import modal

image = modal.Image.debian_slim(python_version="3.11")
app = modal.App("{name}", image=image)
"""

SCHEDULED = HEAD + """
@app.function(schedule={schedule})
def by_the_clock():
    print("it ran")
"""

LABELLED = HEAD + """
@app.function(image=image.pip_install("fastapi==0.165.0"))
@modal.fastapi_endpoint(label="{label}")
def endpoint():
    return "{name}"
"""

LONG = HEAD + """
image = image.pip_install("fastapi==0.165.0")

@app.function(image=image)
@modal.fastapi_endpoint()
def first():
    return "first"

@app.function(image=image)
@modal.fastapi_endpoint()
def second():
    return "second"
"""


def modal_with(verb, text, check=True, **values):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "refused.py")
        path.write_text(textwrap.dedent(text).format(**values))
        return server.modal(verb, path, check=check)


def said(done):
    return " ".join((done.stdout + done.stderr).split())


def fetch(path):
    with urllib.request.urlopen(f"{server.url}/{path}", timeout=CALL_TIMEOUT) as answer:
        return json.loads(answer.read())


class Schedules(E2eTest):
    server = server

    def test_a_schedule_that_never_comes_is_refused_by_name(self):
        for schedule, why in (
            ('modal.Cron("0 0 30 2 *")', "never comes"),
            ('modal.Cron("61 * * * *")', "minute: '61'"),
            ('modal.Cron("0 6 * * *", timezone="Mars/Olympus")', "no time zone 'Mars/Olympus'"),
            ("modal.Period()", "at least a second"),
            ("modal.Period(days=-1)", "0 to"),
        ):
            with self.subTest(schedule=schedule):
                values = {"name": "e2e-scheduled", "schedule": schedule}
                done = modal_with("deploy", SCHEDULED, check=False, **values)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(why, said(done))
                self.assertIn("by_the_clock", said(done))

    def test_run_by_hand_it_works_as_it_would_without(self):
        values = {"name": "e2e-by-hand", "schedule": "modal.Period(days=1)"}
        done = modal_with("run", SCHEDULED, **values)
        self.assertIn("it ran", done.stdout)
        self.assertIn("'by_the_clock' has a schedule", said(done))


class Labels(E2eTest):
    server = server

    def test_a_label_that_another_app_holds_is_refused_until_that_app_is_stopped(self):
        modal_with("deploy", LABELLED, name="e2e-holder", label="wanted")
        modal_with("deploy", LABELLED, name="e2e-holder", label="wanted")
        done = modal_with("deploy", LABELLED, check=False, name="e2e-thief", label="wanted")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("e2e-holder", said(done))
        self.assertEqual(fetch("web/wanted/"), "e2e-holder")
        server.modal("app", "stop", "e2e-holder", "--yes")
        modal_with("deploy", LABELLED, name="e2e-thief", label="wanted")
        self.assertEqual(fetch("web/wanted/"), "e2e-thief")

    def test_a_label_that_its_own_app_gave_up_is_free(self):
        modal_with("deploy", LABELLED, name="e2e-changes", label="before")
        modal_with("deploy", LABELLED, name="e2e-changes", label="after")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            fetch("web/before/")
        self.assertEqual(caught.exception.code, 404)
        modal_with("deploy", LABELLED, name="e2e-next", label="before")
        self.assertEqual(fetch("web/before/"), "e2e-next")

    def test_endpoints_of_an_app_with_a_long_name_have_addresses_of_their_own(self):
        name = "e2e-" + "long-" * 11 + "name"
        modal_with("deploy", LONG, name=name)
        for function in ("first", "second"):
            url = modal.Function.from_name(name, function).get_web_url()
            with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as answer:
                self.assertEqual(json.loads(answer.read()), function)


class Rpcs(E2eTest):
    server = server

    @staticmethod
    async def ask(names):
        """Each of the client's own methods of these names, and the error that it gets."""
        host, port = server.address.split(":")
        variables = server.client_environment()
        token = {
            "x-modal-token-id": variables["MODAL_TOKEN_ID"],
            "x-modal-token-secret": variables["MODAL_TOKEN_SECRET"],
        }
        said = {}
        async with grpclib.client.Channel(host, int(port)) as channel:
            stub = modal_proto.api_grpc.ModalClientStub(channel)
            for name in names:
                method = getattr(stub, name)
                try:
                    await method(method.request_type(), metadata=token, timeout=CALL_TIMEOUT)
                except grpclib.GRPCError as failure:
                    said[name] = (failure.status, failure.message)
        return said

    def test_an_rpc_that_is_not_served_names_its_feature_as_the_reference_does(self):
        wanted = {}
        for line in (ROOT / "docs/reference/modal-rpcs.md").read_text().splitlines():
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) == 6 and cells[1] not in ("RPC", "---") and not cells[4]:
                wanted[cells[1].split()[0]] = cells[2]
        said = asyncio.run(self.ask(wanted))
        self.assertGreater(len(said), 100)
        for name, (status, message) in said.items():
            with self.subTest(rpc=name):
                self.assertIs(status, grpclib.Status.UNIMPLEMENTED)
                self.assertIn(f"does not serve {wanted[name]} yet ({name})", message)


if __name__ == "__main__":
    main()
