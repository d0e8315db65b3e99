# SPDX-License-Identifier: Apache-2.0
"""Runs a function as a step of an image's build: `python -m thaw_build NAME DIGEST`.

The client's own entrypoint runs it, as in any container, and is told what to do by a server in this
process: there is one input, and the step has worked if its output is a success. What the function
writes to the disk is the layer. It may use secrets, volumes and the network; what else a container
asks the platform for (other functions, dicts, sandboxes) is not there while an image is built.

THAW_BUILD_0, THAW_BUILD_1 … are the parts of a JSON object in base64: what the client's containers
are told and answered, the input if there is one, and the limit of time in seconds.
"""

import asyncio
import base64
import contextlib
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile

PREFIX = "THAW_BUILD_"
FOLDER = "/run"  # of no layer
SERVICE = "/modal.client.ModalClient/"
HOLD_S = 10  # a heartbeat


def told():
    """What the server has left for this step, taken out of the environment."""
    parts = []
    while (part := os.environ.pop(f"{PREFIX}{len(parts)}", None)) is not None:
        parts.append(part)
    return json.loads(base64.b64decode("".join(parts)))


class Build:
    """What the container is answered, and what it has said."""

    def __init__(self, arguments, given):
        from modal_proto import api_pb2

        self.pb = api_pb2
        self.arguments = arguments
        self.input = api_pb2.FunctionInput()
        if given:
            self.input.ParseFromString(given)
        else:
            self.input.args = pickle.dumps(((), {}), protocol=4)
            self.input.data_format = api_pb2.DATA_FORMAT_PICKLE
        self.input.final_input = True
        self.is_given = False
        self.failure = None
        self.succeeded = False

    async def hello(self, request):
        return self.pb.ClientHelloResponse()

    async def nothing(self, request):
        from google.protobuf.empty_pb2 import Empty

        return Empty()

    async def heartbeat(self, request):
        await asyncio.sleep(HOLD_S)
        return self.pb.ContainerHeartbeatResponse()

    async def next_input(self, request):
        item = self.pb.FunctionGetInputsItem(input_id="in-build", function_call_id="fc-build")
        if self.is_given:
            item.kill_switch = True
        else:
            item.input.CopyFrom(self.input)
        self.is_given = True
        return self.pb.FunctionGetInputsResponse(inputs=[item])

    def hear(self, result):
        if result.status == self.pb.GenericResult.GENERIC_STATUS_SUCCESS:
            self.succeeded = True
        else:
            self.failure = result.exception or "it gave no reason"

    async def outputs(self, request):
        for item in request.outputs:
            self.hear(item.result)
        return await self.nothing(request)

    async def task_result(self, request):
        if request.result.status > self.pb.GenericResult.GENERIC_STATUS_SUCCESS:
            self.hear(request.result)
        return await self.nothing(request)

    async def commit(self, request):
        return self.pb.VolumeCommitResponse(skip_reload=True)

    async def objects(self, request):
        reply = self.pb.AppGetObjectsResponse()
        for given in self.arguments["objects"]:
            reply.items.add().object.ParseFromString(base64.b64decode(given))
        return reply

    async def serialized(self, request):
        reply = self.pb.FunctionGetSerializedResponse()
        reply.ParseFromString(base64.b64decode(self.arguments["serialized"]))
        return reply

    def __mapping__(self):
        from google.protobuf.empty_pb2 import Empty
        from grpclib.const import Cardinality, Handler

        served = {
            "ClientHello": (self.hello, Empty, "ClientHelloResponse"),
            "ContainerHello": (self.nothing, Empty, Empty),
            "ContainerHeartbeat": (
                self.heartbeat, "ContainerHeartbeatRequest", "ContainerHeartbeatResponse",
            ),
            "FunctionGetInputs": (
                self.next_input, "FunctionGetInputsRequest", "FunctionGetInputsResponse",
            ),
            "FunctionPutOutputs": (self.outputs, "FunctionPutOutputsRequest", Empty),
            "TaskResult": (self.task_result, "TaskResultRequest", Empty),
            "VolumeCommit": (self.commit, "VolumeCommitRequest", "VolumeCommitResponse"),
            "AppGetObjects": (self.objects, "AppGetObjectsRequest", "AppGetObjectsResponse"),
            "FunctionGetSerialized": (
                self.serialized, "FunctionGetSerializedRequest", "FunctionGetSerializedResponse",
            ),
        }  # fmt: skip
        found = {}
        for name, (answer, *types) in served.items():
            kinds = [getattr(self.pb, t, None) if isinstance(t, str) else t for t in types]
            if None not in kinds:
                found[SERVICE + name] = Handler(
                    answering(answer), Cardinality.UNARY_UNARY, *kinds
                )
        return found


def answering(answer):
    async def handle(stream):
        await stream.send_message(await answer(await stream.recv_message()))

    return handle


def command_of(arguments, folder):
    """The entrypoint, told what to run in both ways that clients know."""
    path = os.path.join(folder, "arguments.pb")
    with open(path, "wb") as file:
        file.write(base64.b64decode(arguments["container"]))
    word = [arguments["word"]] if arguments["word"] else []
    return [sys.executable, "-u", "-m", "modal._container_entrypoint", *word], path


def environment_for(arguments, folder, path):
    environment = {**os.environ, **arguments["environment"]}
    environment["MODAL_SERVER_URL"] = "unix://" + os.path.join(folder, "api.sock")
    environment["MODAL_CONTAINER_ARGUMENTS_PATH"] = path
    return environment


async def run(arguments, folder):
    from grpclib.server import Server

    given = base64.b64decode(arguments["input"])
    build = Build(arguments, given)
    server = Server([build])
    await server.start(path=os.path.join(folder, "api.sock"))
    command, path = command_of(arguments, folder)
    child = await asyncio.create_subprocess_exec(
        *command, env=environment_for(arguments, folder, path), cwd=arguments["folder"],
        stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        code = await asyncio.wait_for(child.wait(), arguments["seconds"])
    except asyncio.TimeoutError:
        child.send_signal(signal.SIGKILL)
        await child.wait()
        return f"it did not end within {arguments['seconds']} s"
    finally:
        server.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 1)
    if build.failure:
        return build.failure
    if not build.succeeded:
        return f"its program ended with exit code {code} and without a result"
    return None


def main():
    arguments = told()
    folder = tempfile.mkdtemp(prefix="thaw-build-", dir=FOLDER)
    os.makedirs(arguments["folder"], exist_ok=True)
    try:
        failure = asyncio.run(run(arguments, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if failure:
        sys.exit(f"the function {sys.argv[1]} has failed: {failure}")


if __name__ == "__main__":
    main()
