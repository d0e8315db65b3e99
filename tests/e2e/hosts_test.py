#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each function has a host of its own; no label takes another host, least of all the server's."""
import http.client
import json
import pathlib
import tempfile

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main

DOMAIN = "fn.example.com"
server = ThawServer.for_module(
    config=f'[web]\ndomain = "{DOMAIN}"\ntrusted_proxies = ["127.0.0.2/32"]\n'
)

import modal  # noqa: E402

LABELLED = """
import modal
app = modal.App("e2e-labelled", image=modal.Image.debian_slim(python_version="3.11"))

@app.function()
@modal.web_server(8000, label="{label}")
def steal():
    pass
"""


def setUpModule():
    deploy(server, "hosts.py")


def get(path, host, source="127.0.0.1", **headers):
    """From an address of the loopback network, to any host's name."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=CALL_TIMEOUT, source_address=(source, 0)
    )
    connection.request("GET", path, headers={"host": host, **headers})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def get_json(path, host, **more):
    return json.loads(get(path, host, **more)[2])


class Hosts(E2eTest):
    server = server

    def test_a_functions_host_is_all_its_own(self):
        for host in (
            f"e2e-hosts-echo.{DOMAIN}", f"E2E-Hosts-ECHO.{DOMAIN.upper()}:443",
            f"e2e-hosts-echo.localhost:{server.port}", "e2e-hosts-echo.localhost.",
        ):  # fmt: skip
            for path in ("/", "/change", "/healthz", "/metrics", "/apps/x", "/blobs/x?sig=1"):
                seen = get_json(path, host)
                self.assertEqual((seen["path"], seen["root_path"]), (path.split("?")[0], ""))
        self.assertEqual(get_json("/a", f"e2e-hosts-program.{DOMAIN}")["path"], "/a")

    def test_every_other_host_is_the_servers(self):
        for host in (
            "127.0.0.1", f"127.0.0.1:{server.port}", "localhost", "LOCALHOST:80", "[::1]:80",
            "thaw.example.com", "e2e-hosts-echo.example.com", "e2e-hosts-echo",
            f"thaw.{DOMAIN}", f"a.e2e-hosts-echo.{DOMAIN}", DOMAIN,
        ):  # fmt: skip
            status, _, body = get("/healthz", host)
            self.assertEqual((status, json.loads(body)["status"]), (200, "ok"), host)

    def test_a_host_that_is_none_is_refused(self):
        name = f"e2e-hosts-echo.{DOMAIN}"
        for host in ("", f"x@{name}", f"{name}/", f"{name}:x", f"{name} x", f"{name}, {name}"):
            self.assertEqual(get("/healthz", host)[0], 400, host)

    def test_a_host_without_a_function_is_404_and_not_the_server(self):
        self.assertEqual(get("/healthz", f"no-such-label.{DOMAIN}")[0], 404)
        self.assertEqual(get("/admin/ps", f"no-such-label.{DOMAIN}")[0], 404)

    def test_a_label_that_could_stand_for_the_server_or_an_address_is_refused(self):
        for label in ("127", "0", "localhost", "thaw", "WWW", "a_b", "a.b", "-a", "a--b"):
            with self.subTest(label=label), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "labelled.py")
                path.write_text(LABELLED.format(label=label))
                done = server.modal("deploy", path, check=False)
                said = " ".join((done.stdout + done.stderr).split())
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("label= of steal", said)
        self.assertEqual(get("/healthz", f"127.0.0.1:{server.port}")[0], 200)

    def test_labels_are_the_same_in_all_cases(self):
        seen = get_json("/web/E2E-hosts-Echo/x", "127.0.0.1")
        self.assertEqual(seen["path"], "/web/E2E-hosts-Echo/x")


class Addresses(E2eTest):
    server = server

    def test_the_printed_address_is_the_functions_own_host(self):
        for name in ("echo", "old_style", "program"):
            url = modal.Function.from_name("e2e-hosts", name).get_web_url()
            label = "e2e-hosts-" + name.replace("_", "-")
            self.assertEqual(url, f"http://{label}.{DOMAIN}:{server.port}")
        self.assertIn(f"e2e-hosts-echo.{DOMAIN}:{server.port}", deploy(server, "hosts.py"))

    def test_the_path_is_the_second_address_and_ends_with_a_slash(self):
        for label in ("e2e-hosts-echo", "e2e-hosts-program"):
            status, headers, _ = get(f"/web/{label}?a=1", "127.0.0.1")
            headers = {name.lower(): value for name, value in headers.items()}
            self.assertEqual((status, headers["location"]), (307, f"/web/{label}/?a=1"))
        self.assertEqual(get_json("/web/e2e-hosts-echo/", "127.0.0.1")["path"],
                         "/web/e2e-hosts-echo/")  # fmt: skip
        self.assertEqual(get_json("/web/e2e-hosts-program/", "127.0.0.1")["path"], "/")

    def test_where_an_application_sends_its_caller_to_stays_its_own(self):
        """On the path it is put below it; on the host nothing is changed."""
        own = f"127.0.0.1:{server.port}"
        for label in ("e2e-hosts-echo", "e2e-hosts-program"):
            root, host = f"/web/{label}", f"{label}.{DOMAIN}"
            for sent, on_path in (
                ("/there?x=1", f"{root}/there?x=1"), (f"{root}/x", f"{root}/x"),
                ("there", "there"), (f"http://{own}/there", f"http://{own}{root}/there"),
                (f"//{own}/there", f"//{own}{root}/there"),
                ("https://elsewhere.example/there", "https://elsewhere.example/there"),
            ):  # fmt: skip
                query = "?to=" + sent.encode().hex()
                for path, at, expected in ((f"{root}/a", own, on_path), ("/a", host, sent)):
                    status, headers, _ = get(path + query, at)
                    headers = {name.lower(): value for name, value in headers.items()}
                    self.assertEqual((status, headers["location"]), (307, expected))


FORWARDED = {
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "public.example",
}


class Proxies(E2eTest):
    server = server

    def seen_by(self, name, source):
        """(scheme, client, host) as each kind of application is told them."""
        label = f"e2e-hosts-{name}"
        seen = get_json(f"/web/{label}/", "127.0.0.1", source=source, **FORWARDED)
        if name == "old-style":
            return seen["wsgi.url_scheme"], seen["REMOTE_ADDR"], seen["HTTP_HOST"]
        told = {}
        for key, value in seen["headers"]:
            self.assertNotIn(key.lower(), told, "a header comes twice")
            told[key.lower()] = value
        if name == "echo":
            self.assertEqual(told["x-forwarded-for"], seen["client"][0])
            self.assertEqual(told["x-forwarded-proto"], seen["scheme"])
            return seen["scheme"], seen["client"][0], told["host"]
        return told["x-forwarded-proto"], told["x-forwarded-for"], told["x-forwarded-host"]

    def test_a_trusted_proxy_is_believed(self):
        for name in ("echo", "old-style", "program"):
            with self.subTest(kind=name):
                self.assertEqual(
                    self.seen_by(name, "127.0.0.2"), ("https", "203.0.113.9", "public.example")
                )

    def test_a_stranger_is_not(self):
        for name in ("echo", "old-style", "program"):
            with self.subTest(kind=name):
                self.assertEqual(
                    self.seen_by(name, "127.0.0.3"), ("http", "127.0.0.3", "127.0.0.1")
                )

    def test_a_trusted_proxy_names_the_host_of_a_function(self):
        headers = {"x-forwarded-host": f"e2e-hosts-echo.{DOMAIN}"}
        seen = get_json("/healthz", "127.0.0.1", source="127.0.0.2", **headers)
        self.assertEqual(seen["path"], "/healthz")
        status, _, body = get("/healthz", "127.0.0.1", source="127.0.0.3", **headers)
        self.assertEqual(json.loads(body)["status"], "ok")


if __name__ == "__main__":
    main()
