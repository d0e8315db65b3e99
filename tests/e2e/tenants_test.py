#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two workspaces on one server: nothing of one is read, changed, stopped or even noticed by the
other, by its tokens or by its containers, through any RPC and any path."""
import asyncio
import base64
import hashlib
import http.client
import json
import pickle
import socket
import types
import urllib.parse
import urllib.request

from thaw_server import CALL_TIMEOUT, E2eTest, ThawServer, deploy, main, wait_until

server = ThawServer.for_module()

import grpclib  # noqa: E402
import grpclib.client  # noqa: E402
import modal  # noqa: E402
import modal_proto.api_grpc  # noqa: E402
from modal_proto import api_pb2 as pb  # noqa: E402

import tenants_walk  # noqa: E402

loop = asyncio.new_event_loop()


def json_of(*arguments):
    done = server.thaw(*arguments, "--json", "--data", str(server.data))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Asker:
    """One who calls RPCs with a token."""

    def __init__(self, token, secret):
        self.metadata = {"x-modal-token-id": token, "x-modal-token-secret": secret}

    def all(self, asked, patience=CALL_TIMEOUT, **metadata):
        """(status, message, reply as bytes) of each (RPC, serialised request)."""

        async def run():
            host, port = server.address.split(":")
            async with grpclib.client.Channel(host, int(port)) as channel:
                stub = modal_proto.api_grpc.ModalClientStub(channel)
                return [await self._one(stub, name, data, patience, metadata)
                        for name, data in asked]  # fmt: skip

        return loop.run_until_complete(run())

    async def _one(self, stub, name, data, patience, metadata):
        method = getattr(stub, name)
        try:
            reply = await method(
                method.request_type.FromString(data),
                metadata={**self.metadata, **metadata}, timeout=patience,
            )  # fmt: skip
            parts = reply if isinstance(reply, list) else [reply]
            return "OK", "", b"".join(part.SerializeToString() for part in parts)
        except grpclib.GRPCError as error:
            return error.status.name, error.message, b""
        except asyncio.TimeoutError:
            return "TIMEOUT", "", b""

    def ask(self, name, request=None, **metadata):
        data = b"" if request is None else request.SerializeToString()
        ((status, message, reply),) = self.all([(name, data)], **metadata)
        assert status == "OK", f"{name}: {status} {message}"
        return getattr(pb, REPLIES[name]).FromString(reply) if REPLIES[name] else None


SERVICE = pb.DESCRIPTOR.services_by_name["ModalClient"]
REPLIES = {
    method.name: method.output_type.name if method.output_type.name != "Empty" else ""
    for method in SERVICE.methods
}


class Tenant:
    """A workspace with one of everything."""

    def __init__(self, name, variables):
        self.name = name
        self.variables = {**variables, "MODAL_SERVER_URL": server.url}
        self.asker = Asker(variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"])
        self.password = f"password-of-{name}"
        self.client = modal.Client.from_credentials(
            variables["MODAL_TOKEN_ID"], variables["MODAL_TOKEN_SECRET"]
        )

    def function(self, name):
        return modal.Function.from_name(f"shop-{self.name}", name, client=self.client)

    def in_container(self, asked):
        """As this tenant's container: the answers to what it asks by its own socket."""
        return self.function("ask").remote(asked)

    def fill(self):
        ask = self.asker.ask
        names = types.SimpleNamespace()
        names.app_name, names.environment = f"shop-{self.name}", f"only-{self.name}"
        names.secret_name, names.volume_name = f"key-{self.name}", f"data-{self.name}"
        names.mount_name = f"mount-{self.name}"
        ask("EnvironmentCreate", pb.EnvironmentCreateRequest(name=names.environment))
        names.secret = ask("SecretGetOrCreate", pb.SecretGetOrCreateRequest(
            deployment_name=names.secret_name, object_creation_type=1,
            env_dict={"PASSWORD": self.password})).secret_id  # fmt: skip
        names.volume = ask("VolumeGetOrCreate", pb.VolumeGetOrCreateRequest(
            deployment_name=names.volume_name, object_creation_type=1)).volume_id  # fmt: skip
        names.nfs_name = f"shared-{self.name}"
        names.nfs = ask("SharedVolumeGetOrCreate", pb.SharedVolumeGetOrCreateRequest(
            deployment_name=names.nfs_name, object_creation_type=1)).shared_volume_id  # fmt: skip
        ask("SharedVolumePutFile", pb.SharedVolumePutFileRequest(
            shared_volume_id=names.nfs, path="private.txt",
            data=self.name.encode()))  # fmt: skip
        names.dict_name, names.queue_name = f"notes-{self.name}", f"line-{self.name}"
        names.dict = ask("DictGetOrCreate", pb.DictGetOrCreateRequest(
            deployment_name=names.dict_name, object_creation_type=1)).dict_id  # fmt: skip
        names.queue = ask("QueueGetOrCreate", pb.QueueGetOrCreateRequest(
            deployment_name=names.queue_name, object_creation_type=1)).queue_id  # fmt: skip
        note = pb.DictEntry(key=b"a", value=f"a note of {self.name}".encode())
        ask("DictUpdate", pb.DictUpdateRequest(dict_id=names.dict, updates=[note]))
        ask("QueuePut", pb.QueuePutRequest(queue_id=names.queue, values=[note.value]))
        content = f"a private file of {self.name}".encode()
        names.file = hashlib.sha256(content).hexdigest()
        ask("MountPutFile", pb.MountPutFileRequest(sha256_hex=names.file, data=content))
        file = pb.MountFile(filename="/private.txt", sha256_hex=names.file)
        names.mount = ask("MountGetOrCreate", pb.MountGetOrCreateRequest(
            files=[file], object_creation_type=4)).mount_id  # fmt: skip
        ask("MountGetOrCreate", pb.MountGetOrCreateRequest(
            deployment_name=names.mount_name, files=[file], object_creation_type=1))  # fmt: skip
        names.blob = self.upload(f"a blob of {self.name}".encode())
        deploy(server, "tenants.py", env={**self.variables, "TENANT": self.name})
        hold = self.function("hold")
        done = hold.spawn()
        assert done.get(timeout=CALL_TIMEOUT) == self.password
        names.done_call, names.function = done.object_id, hold.object_id
        arguments = pb.FunctionInput(args=pickle.dumps(((3000,), {})), data_format=1)
        running = ask("FunctionMap", pb.FunctionMapRequest(
            function_id=names.function, function_call_type=pb.FUNCTION_CALL_TYPE_UNARY,
            function_call_invocation_type=pb.FUNCTION_CALL_INVOCATION_TYPE_ASYNC,
            pipelined_inputs=[pb.FunctionPutInputsItem(idx=0, input=arguments)]))  # fmt: skip
        names.call = running.function_call_id
        names.input = running.pipelined_inputs[0].input_id
        names.app = ask("AppGetByDeploymentName", pb.AppGetByDeploymentNameRequest(
            name=names.app_name)).app_id  # fmt: skip
        layout = ask("AppGetLayout", pb.AppGetLayoutRequest(app_id=names.app)).app_layout
        names.cls = next(iter(layout.class_ids.values()))
        names.image = ask("ImageGetOrCreate", pb.ImageGetOrCreateRequest(
            image=pb.Image(dockerfile_commands=["FROM debian:12-slim", f"ENV OF={self.name}"]),
            builder_version="2025.06")).image_id  # fmt: skip
        ask("ImageJoinStreaming", pb.ImageJoinStreamingRequest(image_id=names.image, timeout=55))
        names.image_name = f"picture-{self.name}:v1"
        ask("ImagePublish", pb.ImagePublishRequest(image_id=names.image, tag=names.image_name))
        held = pb.Sandbox(
            image_id=names.image, entrypoint_args=["sleep", "100000"], timeout_secs=30000,
            name="held",
        )
        made = ask("SandboxCreateV2", pb.SandboxCreateV2Request(
            app_id=names.app, definition=held,
            tags=[pb.SandboxTag(tag_name="of", tag_value=self.name)]))  # fmt: skip
        names.sandbox, names.sandbox_task = made.sandbox_id, made.task_id
        wait_until(lambda: self.task_of("hold"), CALL_TIMEOUT, "it holds")
        names.container = self.task_of("hold")
        self.names = names

    def task_of(self, function):
        shown = json_of("ps")
        busy = [v for v in shown if v["function"] == function and v["status"] == "busy"]
        return next((v["container"] for v in busy if v["app"] == f"shop-{self.name}"), "")

    def upload(self, content):
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        reply = self.asker.ask("BlobCreate", pb.BlobCreateRequest(
            content_sha256_base64=digest, content_length=len(content)))  # fmt: skip
        item = reply.multiparts.items[0]
        for method, url in (("PUT", item.upload_urls[0]), ("POST", item.completion_url)):
            body = content if method == "PUT" else b"<x/>"
            urllib.request.urlopen(urllib.request.Request(url, body, method=method)).read()
        return reply.blob_id

    def state(self):
        """All that a stranger could have changed."""
        ask, names = self.asker.ask, self.names
        call = ask("FunctionCallGetInfo", pb.FunctionCallGetInfoRequest(
            function_call_id=names.call)).info  # fmt: skip
        apps = ask("AppList").apps
        return {
            "apps": sorted((a.app_id, a.state) for a in apps if a.name == names.app_name),
            "layout": sorted(ask("AppGetLayout", pb.AppGetLayoutRequest(
                app_id=names.app)).app_layout.function_ids.items()),
            "secrets": sorted((s.label, *s.metadata.keys) for s in ask("SecretList").items),
            "volumes": sorted((v.label, v.volume_id) for v in ask("VolumeList").items),
            "shared": sorted((v.label, v.shared_volume_id)
                             for v in ask("SharedVolumeList").items),
            "shared files": sorted(entry.path for entry in ask(
                "SharedVolumeListFilesStream", pb.SharedVolumeListFilesRequest(
                    shared_volume_id=names.nfs, path="/")).entries),
            "dicts": sorted((d.name, d.dict_id) for d in ask("DictList").dicts),
            "note": ask("DictGet", pb.DictGetRequest(dict_id=names.dict, key=b"a")).value,
            "images": sorted((i.tag, i.image_id) for i in ask("ImageListTags").items),
            "queues": sorted((q.name, q.queue_id, q.total_size) for q in ask("QueueList").queues),
            "sandboxes": sorted(
                (s.id, s.name, *(f"{t.tag_name}={t.tag_value}" for t in s.tags))
                for s in ask("SandboxList").sandboxes),
            "environments": sorted(e.name for e in ask("EnvironmentList").items),
            "holds": (call.total_inputs, call.pending_inputs.total, self.task_of("hold")),
        }  # fmt: skip


alpha = beta = None


def setUpModule():
    global alpha, beta
    json_of("workspace", "create", "beta")
    made = json_of("token", "create", "walker", "--workspace", "beta")
    alpha = Tenant("alpha", server.client_environment())
    beta = Tenant(
        "beta", {"MODAL_TOKEN_ID": made["token"], "MODAL_TOKEN_SECRET": made["secret"],
                 "MODAL_CONFIG_PATH": "/nonexistent"},
    )  # fmt: skip
    for tenant in (alpha, beta):
        tenant.fill()


def masked(text, *worlds):
    """Whose things it speaks of does not matter, only what it says."""
    values = {(value, kind) for names in worlds for kind, value in vars(names).items()}
    for value, kind in sorted(values, key=lambda item: -len(item[0])):
        text = text.replace(value, f"<{kind}>")
    return text


class Walk(E2eTest):
    server = server

    def test_every_rpc_of_the_service_is_served_with_an_entry_here_or_not_at_all(self):
        """The walk forgets none: what has no entry says that it is not served."""
        listed = set(tenants_walk.NAMES) | tenants_walk.OWN
        rest = [method.name for method in SERVICE.methods if method.name not in listed]
        answers = beta.asker.all([(name, b"") for name in rest], patience=10)
        served = [name for name, answer in zip(rest, answers) if answer[0] != "UNIMPLEMENTED"]
        self.assertEqual(served, [], "served, but with no entry in tenants_walk.py")
        self.assertEqual(listed - {method.name for method in SERVICE.methods}, set())

    def walk(self, victim, attacker, ask, shared=()):
        """Inside of a workspace some kinds of things are `shared` by its environments."""
        before = victim.state()
        strangers = tenants_walk.strangers_to(victim.names)
        asked = []
        for name, entries in sorted(tenants_walk.NAMES.items()):
            for number, entry in enumerate(entries):
                if tenants_walk.kinds_named_by(entry, victim.names, attacker.names) & set(shared):
                    continue
                real = entry(victim.names, attacker.names).SerializeToString()
                never = entry(strangers, attacker.names).SerializeToString()
                asked += [(f"{name} {number}", name, real, never)]
        answers = ask([pair for _, name, real, never in asked
                       for pair in ((name, real), (name, never))])  # fmt: skip
        for index, (title, name, _, _) in enumerate(asked):
            with self.subTest(rpc=title):
                real, never = answers[2 * index], answers[2 * index + 1]
                self.assertEqual(real[0], never[0], f"{real[1]} | {never[1]}")
                both = (victim.names, strangers)
                self.assertEqual(masked(real[1], *both), masked(never[1], *both))
                self.assertEqual(len(real[2]), len(never[2]), real[2][:300])
                self.assertNotIn(victim.password.encode(), real[2])
        self.assertEqual(victim.state(), before)
        self.assertEqual(victim.function("hold").get_current_stats().num_total_runners, 1)

    def test_a_token_of_another_workspace_finds_nothing(self):
        self.walk(alpha, beta, beta.asker.all)
        self.walk(beta, alpha, alpha.asker.all)

    def test_a_container_of_another_workspace_finds_nothing(self):
        self.walk(alpha, beta, beta.in_container)
        self.walk(beta, alpha, alpha.in_container)

    def test_lists_are_the_askers_own(self):
        for attacker, victim in ((alpha, beta), (beta, alpha)):
            asked = [(name, b"" if request is None else request.SerializeToString())
                     for name, request in tenants_walk.LISTS.items()]  # fmt: skip
            for ask in (attacker.asker.all, attacker.in_container):
                for (name, _), (status, message, reply) in zip(asked, ask(asked)):
                    self.assertEqual(status, "OK", f"{name}: {message}")
                    for value in (victim.name, *vars(victim.names).values()):
                        self.assertNotIn(value.encode(), reply, name)

    def test_an_idempotency_key_is_each_askers_own(self):
        made = [
            tenant.asker.all(
                [("AppCreate", pb.AppCreateRequest(description="d").SerializeToString())],
                **{"x-idempotency-key": "the-same"},
            )[0][2]
            for tenant in (alpha, beta, alpha)
        ]
        ids = [pb.AppCreateResponse.FromString(reply).app_id for reply in made]
        self.assertEqual(ids[0], ids[2])
        self.assertNotEqual(ids[0], ids[1])

    def test_a_container_has_no_part_in_inputs_that_others_have(self):
        """Neither in those that run elsewhere, nor in those that wait for their only container."""
        arguments = pb.FunctionInput(args=pickle.dumps(((0,), {})), data_format=1)
        made = alpha.asker.ask("FunctionMap", pb.FunctionMapRequest(
            function_id=alpha.names.function, function_call_type=pb.FUNCTION_CALL_TYPE_UNARY,
            function_call_invocation_type=pb.FUNCTION_CALL_INVOCATION_TYPE_ASYNC,
            pipelined_inputs=[pb.FunctionPutInputsItem(idx=0, input=arguments)]))  # fmt: skip
        waits = (made.function_call_id, made.pipelined_inputs[0].input_id)
        forged = pb.GenericResult(status=1, data=b"forged" * 100_000)
        asked = [("FunctionGetInputs", pb.FunctionGetInputsRequest(
            function_id=alpha.names.function, batch_max_size=10))]  # fmt: skip
        for call, put in (waits, (alpha.names.call, alpha.names.input)):
            output = pb.FunctionPutOutputsItem(input_id=put, function_call_id=call, result=forged)
            chunk = pb.DataChunk(index=1, data_format=1, data=b"forged")
            asked += [
                ("FunctionPutOutputs", pb.FunctionPutOutputsRequest(outputs=[output])),
                ("FunctionCallPutDataOut", pb.FunctionCallPutDataRequest(
                    function_call_id=call, data_chunks=[chunk])),
                ("FunctionCallGetDataIn", pb.FunctionCallGetDataRequest(function_call_id=call)),
            ]  # fmt: skip
        for tenant in (beta, alpha):
            answers = tenant.in_container([(n, r.SerializeToString()) for n, r in asked])
            polled, *others = answers
            self.assertIn(polled[0], ("OK", "TIMEOUT"))
            self.assertEqual(polled[2], b"")
            # An output of what a container does not have is dropped, as one that comes too late.
            self.assertEqual([one[0] for one in others], ["OK", "NOT_FOUND", "NOT_FOUND"] * 2)
            for call in (waits[0], alpha.names.call):
                info = alpha.asker.ask("FunctionCallGetInfo", pb.FunctionCallGetInfoRequest(
                    function_call_id=call)).info  # fmt: skip
                self.assertEqual((info.pending_inputs.total, info.total_inputs), (1, 1))
        alpha.asker.ask("FunctionCallCancel", pb.FunctionCallCancelRequest(
            function_call_id=waits[0]))  # fmt: skip

    def test_only_the_container_that_has_a_request_answers_it(self):
        """Neither another workspace's container, nor another one of the same app."""
        url = alpha.function("site").get_web_url()
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=CALL_TIMEOUT)
        connection.putrequest("POST", parts.path or "/")
        connection.putheader("content-length", "10")
        connection.endheaders(b"12345")

        def call_id():
            printed = server.thaw("logs", "shop-alpha", "--data", str(server.data)).stdout
            calls = [line.split()[1] for line in printed.splitlines() if line.startswith("CALL ")]
            return calls[-1] if calls else None

        call = wait_until(call_id, CALL_TIMEOUT, "the request has come")
        chunks = [
            pb.DataChunk(index=i + 1, data_format=pb.DATA_FORMAT_ASGI, data=e.SerializeToString())
            for i, e in enumerate([
                pb.Asgi(http_response_start=pb.Asgi.HttpResponseStart(status=200)),
                pb.Asgi(http_response_body=pb.Asgi.HttpResponseBody(body=b"forged")),
            ])
        ]  # fmt: skip
        forged = pb.FunctionCallPutDataRequest(function_call_id=call, data_chunks=chunks)
        reads = pb.FunctionCallGetDataRequest(function_call_id=call)
        for tenant in (beta, alpha):
            for status, _, reply in tenant.in_container([
                ("FunctionCallPutDataOut", forged.SerializeToString()),
                ("FunctionCallGetDataIn", reads.SerializeToString()),
            ]):  # fmt: skip
                self.assertEqual((status, reply), ("NOT_FOUND", b""))
        connection.send(b"67890")
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.read()), (200, b"genuine: 1234567890"))
        connection.close()


class Reach(E2eTest):
    """How far a container acts inside of its own workspace."""

    server = server
    FAR = ("SecretList", pb.SecretListRequest(environment_name="main").SerializeToString())

    @classmethod
    def setUpClass(cls):
        cls.environment = alpha.names.environment
        variables = {**alpha.variables, "MODAL_ENVIRONMENT": cls.environment, "TENANT": "dev"}
        ask = alpha.asker.ask
        ask("SecretGetOrCreate", pb.SecretGetOrCreateRequest(
            deployment_name="key-dev", environment_name=cls.environment,
            object_creation_type=1, env_dict={"PASSWORD": "dev"}))  # fmt: skip
        volume = ask("VolumeGetOrCreate", pb.VolumeGetOrCreateRequest(
            deployment_name="data-dev", environment_name=cls.environment,
            object_creation_type=1)).volume_id  # fmt: skip
        nfs = ask("SharedVolumeGetOrCreate", pb.SharedVolumeGetOrCreateRequest(
            deployment_name="shared-dev", environment_name=cls.environment,
            object_creation_type=1)).shared_volume_id  # fmt: skip
        deploy(server, "tenants.py", env=variables)
        found = ask("FunctionGet", pb.FunctionGetRequest(
            app_name="shop-dev", object_tag="hold", environment_name=cls.environment))  # fmt: skip
        cls.names = types.SimpleNamespace(
            app=found.handle_metadata.app_id, function=found.function_id,
            image=alpha.names.image, volume=volume, image_name="picture-dev:v1", nfs=nfs,
        )  # fmt: skip

    def of(self, name):
        return modal.Function.from_name(
            "shop-dev", name, environment_name=self.environment, client=alpha.client
        )

    def test_a_container_finds_nothing_of_another_environment(self):
        victim = types.SimpleNamespace(**{**vars(alpha), "state": alpha.state})
        victim.function = alpha.function
        victim.names = types.SimpleNamespace(**{**vars(alpha.names), "environment": "main"})
        Walk.walk(
            self, victim, self, lambda asked: self.of("ask").remote(asked),
            shared=("image", "mount", "mount_name", "file", "blob"),
        )  # fmt: skip
        made = self.of("ask").remote([
            ("EnvironmentCreate", pb.EnvironmentCreateRequest(name="new").SerializeToString()),
            self.FAR,
            ("SecretList", pb.SecretListRequest().SerializeToString()),
        ])  # fmt: skip
        self.assertEqual([one[0] for one in made], ["PERMISSION_DENIED", "NOT_FOUND", "OK"])

    def test_a_container_makes_no_function_that_has_more_than_itself(self):
        definition = pb.Function(
            function_name="f", image_id=self.names.image,
            experimental_options={"thaw_reach": "workspace"},
        )  # fmt: skip
        request = pb.FunctionCreateRequest(app_id=self.names.app, function=definition)
        asked = [("FunctionCreate", request.SerializeToString())]
        for name, status in (("ask", "PERMISSION_DENIED"), ("ask_far", "OK")):
            self.assertEqual(self.of(name).remote(asked)[0][0], status)

    def test_a_function_may_ask_for_all_of_its_workspace(self):
        ((status, _, reply),) = self.of("ask_far").remote([self.FAR])
        self.assertEqual(status, "OK")
        labels = {item.label for item in pb.SecretListResponse.FromString(reply).items}
        self.assertIn("key-alpha", labels)
        self.assertNotIn("key-beta", labels)

    def test_a_function_with_restricted_access_does_its_own_work_only(self):
        listed = [("SecretList", b""), ("AppList", b""), ("AppCreate", b"")]
        answers = self.of("ask_walled").remote(listed)
        self.assertEqual({status for status, _, _ in answers}, {"PERMISSION_DENIED"})
        self.assertIn("restrict_modal_access", answers[0][1])


class Paths(E2eTest):
    server = server

    def get(self, path, host=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=CALL_TIMEOUT)
        connection.request("GET", path, headers={**headers, **({"host": host} if host else {})})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    # What each path of the server may tell a stranger. A new path needs an entry.
    EXPECTED = {
        "/admin": lambda self: self.assert_refused("/admin/ps", 403),
        "/ai-api": lambda self: self.assert_refused(
            "/ai-api/models/search", 401, host="workers-binding.ai"
        ),
        "/ai-gateway": lambda self: self.assert_refused(
            "/ai-gateway/run", 401, host="workers-binding.ai"
        ),
        "/api/v1": lambda self: [
            self.assert_refused(f"/api/v1/{path}", 401) for path in ("functions", "cost")
        ],
        "/apps": lambda self: self.assert_same("/apps/{}", "app"),
        "/blobs": lambda self: self.assert_signed("/blobs/{}", "blob"),
        "/client/v4": lambda self: self.assert_refused(
            "/client/v4/accounts/a/ai/models/search", 401
        ),
        "/fn": lambda self: self.assertEqual(self.get("/fn/no-such-function/")[0], 404),
        "/healthz": lambda self: self.assertEqual(
            set(json.loads(self.get("/healthz")[1])), {"status", "version", "uptime_s"}
        ),
        "/login": lambda self: self.assertEqual(self.get("/login/tf-no-such-login")[0], 404),
        "/metrics": lambda self: self.assert_refused(
            "/metrics", 401, **{"x-forwarded-for": "203.0.113.9"}
        ),
        "/replicate/files": lambda self: self.assert_refused(
            "/replicate/files/" + "0" * 64 + "/a", 403
        ),
        "/replicate/v1": lambda self: self.assert_refused("/replicate/v1/predictions", 401),
        "/run": lambda self: self.assert_refused("/run", 401, host="workers-binding.ai"),
        "/v2": lambda self: self.assert_refused("/v2/", 401),
        "/volumes": lambda self: self.assert_signed("/volumes/{}", "volume"),
        "/web": lambda self: self.assertEqual(self.get("/web/no-such-label/")[0], 404),
        "/workers-ai/remote": lambda self: self.assert_refused(
            "/workers-ai/remote/key", 401, **{"mf-url": "https://workers-binding.ai/run"}
        ),
    }

    def routes(self):
        connection = http.client.HTTPConnection("thaw")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(server.data / "admin.sock"))
        connection.request("GET", "/admin/routes")
        routes = json.loads(connection.getresponse().read())
        connection.close()
        return routes

    def assert_refused(self, path, status, **headers):
        self.assertEqual(self.get(path, **headers)[0], status)

    def assert_same(self, path, kind):
        strangers = tenants_walk.strangers_to(alpha.names)
        real, never = getattr(alpha.names, kind), getattr(strangers, kind)
        answers = [self.get(path.format(one)) for one in (real, never)]
        self.assertEqual(answers[0][0], answers[1][0])
        self.assertEqual(answers[0][1].replace(real.encode(), never.encode()), answers[1][1])

    def assert_signed(self, path, kind):
        """Another's signature, or one made up, opens nothing."""
        reply = beta.asker.ask("BlobGet", pb.BlobGetRequest(blob_id=beta.names.blob))
        query = urllib.parse.urlsplit(reply.download_url).query
        for tail in ("", "?" + query, "?op=get&until=9999999999&sig=" + "0" * 64):
            thing = getattr(alpha.names, kind).removeprefix("bl-")
            self.assertEqual(self.get(path.format(thing) + tail)[0], 403, tail)

    def test_every_path_tells_a_stranger_nothing(self):
        routes = self.routes()
        self.assertEqual(sorted(routes), sorted(self.EXPECTED), "a path has no entry here")
        for route in routes:
            with self.subTest(route=route):
                self.EXPECTED[route](self)

    def test_a_containers_own_socket_opens_no_more_than_the_listener(self):
        found = beta.function("fetch").remote([
            ("/admin/ps", "thaw"), ("/admin/tokens", "thaw"), ("/metrics", "thaw"),
            (f"/blobs/{alpha.names.file}", "thaw"), (f"/volumes/{alpha.names.volume}", "thaw"),
        ])  # fmt: skip
        self.assertEqual([status for status, _ in found], [403, 403, 401, 403, 403])

    def test_metrics_are_for_who_runs_the_server(self):
        self.assertEqual(self.get("/metrics")[0], 200)  # on the machine itself
        through_a_proxy = {"x-forwarded-for": "203.0.113.9"}
        for tenant, status in ((alpha, 200), (beta, 401)):
            pair = f"{tenant.variables['MODAL_TOKEN_ID']}:{tenant.variables['MODAL_TOKEN_SECRET']}"
            basic = "Basic " + base64.b64encode(pair.encode()).decode()
            found = self.get("/metrics", authorization=basic, **through_a_proxy)
            self.assertEqual(found[0], status)


class Workspaces(E2eTest):
    server = server

    def test_the_same_names_in_two_workspaces_are_two_things(self):
        answers, urls = [], []
        for tenant in (alpha, beta):
            env = {**tenant.variables, "TENANT": "twin"}
            tenant.asker.ask("SecretGetOrCreate", pb.SecretGetOrCreateRequest(
                deployment_name="key-twin", object_creation_type=1,
                env_dict={"PASSWORD": tenant.password}))  # fmt: skip
            tenant.asker.ask("VolumeGetOrCreate", pb.VolumeGetOrCreateRequest(
                deployment_name="data-twin", object_creation_type=1))  # fmt: skip
            deploy(server, "tenants.py", env=env)
        for tenant in (alpha, beta):
            hold, site = (
                modal.Function.from_name("shop-twin", name, client=tenant.client)
                for name in ("hold", "site")
            )
            answers.append(hold.remote())
            urls.append(site.get_web_url())
        self.assertEqual(answers, [alpha.password, beta.password])
        self.assertNotEqual(urls[0], urls[1])
        for url in urls:
            with urllib.request.urlopen(url, timeout=CALL_TIMEOUT) as answer:
                self.assertEqual(answer.read(), b"genuine: ")

    def test_the_administrator_sees_whose_each_thing_is(self):
        shown = {view["app"]: view["workspace"] for view in json_of("ps")}
        self.assertEqual((shown["shop-alpha"], shown["shop-beta"]), ("thaw", "beta"))
        functions = {view["app"]: view["workspace"] for view in json_of("functions")}
        self.assertEqual(functions["shop-beta"], "beta")
        tokens = {item["name"]: item["workspace"] for item in json_of("token", "list")}
        self.assertEqual(tokens["walker"], "beta")
        self.assertEqual({w["name"] for w in json_of("workspace", "list")}, {"thaw", "beta"})
        table = server.thaw("ps", "--data", str(server.data)).stdout
        self.assertIn("WORKSPACE", table)
        for workspace, found in (("beta", True), ("thaw", False)):
            done = server.thaw(
                "logs", "shop-beta", "--workspace", workspace, "--data", str(server.data)
            )
            self.assertEqual("holding password-of-beta" in done.stdout, found)

    def test_a_workspace_has_one_name_that_can_be_part_of_a_host(self):
        for name in ("beta", "thaw", "127", "a_b", "a--b", "A", "", "x" * 21):
            done = server.thaw("workspace", "create", name, "--data", str(server.data))
            self.assertNotEqual(done.returncode, 0, name)
        done = server.thaw(
            "token", "create", "--workspace", "no-such", "--data", str(server.data)
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("thaw workspace create", done.stderr)


if __name__ == "__main__":
    main()
