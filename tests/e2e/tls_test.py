#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server with TLS and an authority of its own, asked by the real clients: Modal's, curl, Node's
fetch, requests, httpx, and openssl for what no client should do."""
import asyncio
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading

from thaw_server import CALL_TIMEOUT, ROOT, THAW_BIN, E2eTest, ThawServer, deploy, main, wait_until

import aiohttp
import certifi
import modal_proto.api_grpc
from grpclib.client import Channel
from modal_proto import api_pb2

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="thaw-tls-"))
TLS = FOLDER / "tls"
AUTHORITY = TLS / "authority.pem"


def thaw(*arguments):
    return subprocess.run(
        [str(THAW_BIN), *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


def trusting_certifi():
    """A folder to put first in PYTHONPATH: certifi with the authority behind its own, as the guide
    says; the installed one is shared with other tests."""
    shim = FOLDER / "python"
    shutil.copytree(pathlib.Path(certifi.__file__).parent, shim / "certifi")
    with open(shim / "certifi" / "cacert.pem", "ab") as roots:
        roots.write(AUTHORITY.read_bytes())
    return str(shim)


INIT = thaw("tls", "init", "--folder", TLS, "--name", "fn.localhost")
if INIT.returncode != 0:
    raise SystemExit(f"thaw tls init failed: {INIT.stderr}")
PYTHON_PATH = trusting_certifi()
server = ThawServer(config=INIT.stdout).start()
ENVIRONMENT = {**server.client_environment(), "PYTHONPATH": PYTHON_PATH}


def setUpModule():
    deploy(server, "tls.py", env=ENVIRONMENT)


def tearDownModule():
    server.close()
    shutil.rmtree(FOLDER)


def run(*command, env=None, check=True, timeout=CALL_TIMEOUT, stdin=""):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=timeout, input=stdin,
        env={**os.environ, **ENVIRONMENT, **(env or {})},
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done


def own_address():
    return f"https://127.0.0.1:{server.port}"


def trusting():
    return ssl.create_default_context(cafile=AUTHORITY)


def shown(*options, check=True):
    """What `openssl s_client` says of a handshake."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", AUTHORITY]
    done = run(*command, *options, check=check)
    return done.stdout + done.stderr


def serial():
    with socket.create_connection(("127.0.0.1", server.port), timeout=CALL_TIMEOUT) as plain:
        with trusting().wrap_socket(plain, server_hostname="localhost") as secured:
            return secured.getpeercert()["serialNumber"]


class AnotherMachine:
    """A network of its own, linked to this one: what asks from there comes from elsewhere."""

    host = "10.213.77.1"

    def __init__(self):
        self.name = f"thaw-tls-{os.getpid()}"
        link = f"tls{os.getpid()}"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {link} type veth peer name far netns {self.name}",
            f"ip address add {self.host}/30 dev {link}",
            f"ip link set {link} up",
            f"ip -n {self.name} address add 10.213.77.2/30 dev far",
            f"ip -n {self.name} link set far up",
        ):
            subprocess.run(command.split(), check=True, timeout=CALL_TIMEOUT)

    def run(self, *command):
        return run("ip", "netns", "exec", self.name, *command, check=False)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=True, timeout=CALL_TIMEOUT)


def web_address():
    """Of the application, as the client tells it."""
    program = (
        "import modal; f = modal.Function.from_name('e2e-tls', 'tell'); print(f.get_web_url())"
    )
    return run(sys.executable, "-c", program).stdout.strip()


def client(program):
    """What a program of the real client prints."""
    return run(sys.executable, "-c", "import modal\n" + program).stdout.strip()


def answer_of(address, text):
    """What comes back from a tunnel by TLS."""
    with socket.create_connection(address, timeout=CALL_TIMEOUT) as plain:
        with trusting().wrap_socket(plain, server_hostname=address[0]) as secured:
            sender = threading.Thread(target=secured.sendall, args=(text,))
            sender.start()
            got = b""
            while len(got) < len(text) and (piece := secured.recv(65536)):
                got += piece
            sender.join()
            return got


class Tunnels(E2eTest):
    server = server

    def test_a_port_of_a_function_is_reached_by_tls_as_its_client_says(self):
        program = """
call = modal.Function.from_name("e2e-tls", "forwards").spawn(600)
places = modal.Dict.from_name("e2e-tls", create_if_missing=True)
while (place := places.get("tunnel")) is None:
    pass
print(call.object_id, place[0], *place[1])
"""
        call, url, host, port = client(program).split()
        self.assertEqual(url, f"https://{host}:{port}")
        address = (host, int(port))
        for text in (b"hello", os.urandom(3 << 20)):
            self.assertEqual(answer_of(address, text), text)
        # Who does not speak TLS reaches nothing, and holds nobody up.
        with socket.create_connection(address, timeout=CALL_TIMEOUT) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            self.assertNotIn(b"GET /", plain.recv(65536))
        with socket.create_connection(address, timeout=CALL_TIMEOUT):
            self.assertEqual(answer_of(address, b"again"), b"again")
        client(f"modal.FunctionCall.from_id('{call}').cancel()")

    def test_a_port_of_a_sandbox_is_reached_by_tls(self):
        program = """
app = modal.App.lookup("e2e-tls-box", create_if_missing=True)
box = modal.Sandbox.create("python3", "-m", "http.server", "8000", app=app, encrypted_ports=[8000],
                           timeout=600)
tunnel = box.tunnels()[8000]
print(box.object_id, tunnel.url)
"""
        box, url = client(program).split()
        said = wait_until(
            lambda: run("curl", "--fail", "--silent", url, check=False).stdout,
            CALL_TIMEOUT, "its server answers",
        )  # fmt: skip
        self.assertIn("Directory listing", said)
        client(f"modal.Sandbox.from_id('{box}').terminate()")


class Clients(E2eTest):
    server = server

    def test_the_environment_names_the_bundle_and_an_https_address(self):
        self.assertEqual(ENVIRONMENT["MODAL_SERVER_URL"], own_address())
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE",
                     "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):  # fmt: skip
            self.assertEqual(ENVIRONMENT[name], str(TLS / "bundle.pem"))
        self.assertEqual(ENVIRONMENT["NODE_EXTRA_CA_CERTS"], str(AUTHORITY))
        bundle = (TLS / "bundle.pem").read_text()
        self.assertIn(AUTHORITY.read_text(), bundle)
        self.assertGreater(bundle.count("BEGIN CERTIFICATE"), 10, "the machine's own are missing")

    def test_the_real_client_calls_with_large_arguments_and_results(self):
        program = (
            "import modal, os; turn = modal.Function.from_name('e2e-tls', 'turn')\n"
            "data = os.urandom(5_000_000)\n"
            "assert turn.remote(data) == data[::-1]\n"
            "assert list(turn.map([b'ab', b'cd'])) == [b'ba', b'dc']\n"
            "print('the same')"
        )
        self.assertEqual(run(sys.executable, "-c", program).stdout.strip(), "the same")

    def test_a_client_that_does_not_trust_the_authority_is_told_so(self):
        program = "import modal; modal.Function.from_name('e2e-tls', 'turn').hydrate()"
        done = run(sys.executable, "-c", program, env={"PYTHONPATH": ""}, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("CERTIFICATE_VERIFY_FAILED", done.stderr)

    def test_the_address_of_an_application_is_https_where_it_was_asked_for(self):
        address = web_address()
        self.assertTrue(address.startswith(own_address() + "/web/"), address)
        seen = json.loads(run("curl", "-sS", "-d", "12345", address).stdout)
        self.assertEqual((seen["scheme"], seen["size"]), ("https", 5))

    def test_curl_speaks_both_protocols_and_sends_much(self):
        body = FOLDER / "body"
        body.write_bytes(os.urandom(20_000_000))
        for flag, version in (("--http2", "2"), ("--http1.1", "1.1")):
            answer = run("curl", "-sS", flag, "-w", "\n%{http_version}", "--data-binary",
                         f"@{body}", web_address()).stdout  # fmt: skip
            seen, spoken = answer.rsplit("\n", 1)
            self.assertEqual((spoken, json.loads(seen)["size"]), (version, 20_000_000))

    def test_nodes_fetch_trusts_the_authority(self):
        if not shutil.which("node"):
            self.skipTest("this machine has no Node.js")
        program = f"fetch('{web_address()}').then(r => r.json()).then(j => console.log(j.scheme))"
        self.assertEqual(run("node", "-e", program).stdout.strip(), "https")

    def test_requests_and_httpx_read_the_variables(self):
        made = subprocess.run(
            [ROOT / "tools" / "client", "tests/clients/https.txt"],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        python = os.path.join(made.stdout.strip().splitlines()[-1], "python")
        for module in ("requests", "httpx"):
            # With a path: httpx follows no redirect to it.
            ask = f"{module}.get('{web_address()}/').json()['scheme']"
            program = f"import {module}; print({ask})"
            done = run(python, "-c", program, env={"PYTHONPATH": ""})
            self.assertEqual(done.stdout.strip(), "https")

    def test_websockets_go_over_tls(self):
        async def talk():
            address = web_address().replace("https:", "wss:")
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(address, ssl=trusting(), max_msg_size=0) as socket:
                    for size in (1, 70_000, 1_000_000):
                        data = os.urandom(size)
                        await socket.send_bytes(data)
                        self.assertEqual(await socket.receive_bytes(timeout=CALL_TIMEOUT), data)

        asyncio.run(talk())

    def test_each_asker_gets_signed_addresses_as_it_asked(self):
        token = {
            "x-modal-token-id": ENVIRONMENT["MODAL_TOKEN_ID"],
            "x-modal-token-secret": ENVIRONMENT["MODAL_TOKEN_SECRET"],
        }

        async def upload_url(host, secured):
            context = trusting() if secured else None
            if context:
                context.set_alpn_protocols(["h2"])
            async with Channel(host, server.port, ssl=context) as channel:
                stub = modal_proto.api_grpc.ModalClientStub(channel)
                request = api_pb2.BlobCreateRequest(
                    content_md5="", content_sha256_base64="A" * 43 + "=", content_length=10
                )
                reply = await stub.BlobCreate(request, metadata=token, timeout=CALL_TIMEOUT)
            return reply.upload_url

        for host in ("localhost", "127.0.0.1"):
            for secured, scheme in ((True, "https"), (False, "http")):
                address = asyncio.run(upload_url(host, secured))
                self.assertTrue(address.startswith(f"{scheme}://{host}:{server.port}/"), address)

    def test_plain_requests_of_this_machine_still_work(self):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", "/healthz")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()


class Handshakes(E2eTest):
    server = server

    def test_old_versions_are_refused_and_new_ones_are_not(self):
        for option in ("-tls1", "-tls1_1"):
            said = shown(option, "-cipher", "ALL:@SECLEVEL=0", check=False)
            self.assertIn("alert protocol version", said)
            self.assertIn("no peer certificate available", said)
        for option, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            said = shown(option, "-alpn", "h2")
            self.assertIn(name, said)
            self.assertIn("Verify return code: 0 (ok)", said)
            self.assertIn("ALPN protocol: h2", said)

    def test_who_never_finishes_takes_nothing_from_others(self):
        half = b"\x16\x03\x01\x02\x00\x01"
        stopped = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(300)]
        try:
            for one in stopped:
                one.sendall(half)
            context = trusting()
            other = socket.create_connection(
                ("127.0.0.1", server.port), timeout=CALL_TIMEOUT, source_address=("127.0.0.2", 0)
            )
            with context.wrap_socket(other, server_hostname="localhost") as secured:
                secured.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                self.assertTrue(secured.recv(100).startswith(b"HTTP/1.1 200"))
        finally:
            for one in stopped:
                one.close()

    def test_renewed_and_damaged_certificates(self):
        # One connection lives through all of it.
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=CALL_TIMEOUT)
        with trusting().wrap_socket(plain, server_hostname="localhost") as kept:

            def still_served():
                kept.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                head = b""
                while b"\r\n\r\n" not in head:
                    head += kept.recv(4096)
                self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)

            still_served()
            before = serial()
            self.assertEqual(thaw("tls", "renew", "--folder", TLS).returncode, 0)
            wait_until(lambda: serial() != before, 60, "the new certificate is shown")
            renewed = serial()
            good = (TLS / "server.pem").read_text()
            (TLS / "server.pem").write_text(good[:200])
            wait_until(
                lambda: "changed certificates are not used" in server.log_path.read_text(), 60,
                "it is said that the file is damaged",
            )  # fmt: skip
            self.assertIn(f"{TLS}/server.pem", server.log_path.read_text())
            self.assertEqual(serial(), renewed)
            (TLS / "server.pem").write_text(good)
            still_served()
        self.assertEqual(server.process.poll(), None)


class Starts(E2eTest):
    server = server

    def refused(self, config, listen="127.0.0.1:0"):
        """What a server says that does not start."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "thaw.toml")
            path.write_text(config)
            done = thaw("serve", "--listen", listen, "--data", f"{folder}/data", "--config", path)
            self.assertFalse(pathlib.Path(folder, "data").exists(), "it has begun all the same")
        self.assertEqual(done.returncode, 1, done.stderr)
        return done.stderr

    def test_what_init_makes_is_for_its_owner(self):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in TLS.iterdir()}
        self.assertEqual(modes, {"authority.pem": 0o644, "authority.key": 0o600,
                                 "server.pem": 0o600, "bundle.pem": 0o644})  # fmt: skip
        again = thaw("tls", "init", "--folder", TLS)
        self.assertEqual(again.returncode, 1)
        self.assertIn("thaw tls renew", again.stderr)
        said = shown("-showcerts", "-servername", "localhost")
        self.assertIn("Verify return code: 0 (ok)", said)
        text = run("openssl", "x509", "-in", TLS / "server.pem", "-noout", "-text").stdout
        for name in ("DNS:localhost", "IP Address:127.0.0.1", "DNS:fn.localhost",
                     "DNS:*.fn.localhost", "IP Address:0:0:0:0:0:0:0:1"):  # fmt: skip
            self.assertIn(name, text)

    def test_a_folder_beside_it_stays(self):
        with tempfile.TemporaryDirectory() as folder:
            beside = pathlib.Path(folder, "tls.making")
            beside.mkdir()
            (beside / "own").write_text("somebody's")
            self.assertEqual(thaw("tls", "init", "--folder", f"{folder}/tls").returncode, 0)
            self.assertEqual(sorted(os.listdir(folder)), ["tls", "tls.making"])
            self.assertEqual((beside / "own").read_text(), "somebody's")

    def test_bad_names_leave_nothing_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            done = thaw("tls", "init", "--folder", f"{folder}/tls", "--name", "no name")
            self.assertEqual((done.returncode, os.listdir(folder)), (1, []))
            self.assertIn("no name", done.stderr)
            lost = thaw("tls", "renew", "--folder", f"{folder}/tls")
            self.assertEqual(lost.returncode, 1)
            self.assertIn("authority.pem", lost.stderr)

    def test_certificates_that_cannot_be_used_stop_the_start_and_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            damaged = pathlib.Path(folder, "damaged.pem")
            damaged.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
            expired = pathlib.Path(folder, "expired.pem")
            run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-subj", "/CN=localhost", "-keyout", f"{folder}/key",
                "-out", f"{folder}/request")  # fmt: skip
            run("openssl", "x509", "-req", "-in", f"{folder}/request", "-signkey",
                f"{folder}/key", "-days", "-1", "-out", expired)  # fmt: skip
            config = '[server]\ntls = [{{ cert = "{}", key = "{}" }}]\n'
            for cert, key, named in (
                (damaged, f"{folder}/key", "damaged.pem"),
                (f"{folder}/none.pem", f"{folder}/key", "none.pem"),
                (folder, f"{folder}/key", folder),
                (expired, f"{folder}/key", "expired.pem"),
                (TLS / "server.pem", f"{folder}/key", f"{folder}/key"),
                (TLS / "server.pem", f"{folder}/none", f"{folder}/none"),
            ):
                with self.subTest(named=named):
                    self.assertIn(named, self.refused(config.format(cert, key)))
        self.assertIn("server.tls", self.refused("[server]\ntls = []\n"))
        self.assertIn("server.tls", self.refused("[server]\ntls = [{ certificate = 1 }]\n"))

    def test_to_the_world_it_listens_with_tls_or_with_a_reason(self):
        said = self.refused("", listen="0.0.0.0:0")
        self.assertRegex(said, re.compile("plain_because.*", re.S))
        self.assertIn("thaw tls init", said)
        self.assertIn("plain_because", self.refused('[server]\nplain_because = " "\n', "0.0.0.0:0"))
        for config in ('[server]\nplain_because = "a proxy in front does TLS"\n', INIT.stdout):
            other = ThawServer(listen="0.0.0.0:0", config=config).start()
            other.close()

    def test_other_machines_come_over_tls(self):
        other = ThawServer(listen="0.0.0.0:0", config=INIT.stdout).start()
        machine = AnotherMachine()
        try:
            address = f"{machine.host}:{other.port}/healthz"
            plain = ("curl", "-sS", "-w", "%{http_code}")
            self.assertTrue(machine.run(*plain, f"http://{address}").stdout.endswith("426"))
            said = machine.run("curl", "-sSv", "--http2-prior-knowledge", f"http://{address}")
            self.assertNotEqual(said.returncode, 0, said.stdout)
            secured = machine.run(*plain, "--cacert", AUTHORITY, "--connect-to",
                                  f"::{machine.host}:{other.port}",
                                  f"https://localhost:{other.port}/healthz")  # fmt: skip
            self.assertTrue(secured.stdout.endswith("200"), secured)
            # By its own addresses this one may ask as before.
            own = run(*plain, f"http://{address}").stdout
            self.assertTrue(own.endswith("200"), own)
        finally:
            machine.close()
            other.close()


if __name__ == "__main__":
    main()
