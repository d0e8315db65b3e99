# SPDX-License-Identifier: Apache-2.0
"""Every RPC that is served, with another's things in it.

NAMES has the RPCs whose request names something: each is made twice, once with what another tenant
has and once with what never existed, and nobody can tell the two apart. OWN has those that name
nothing of others. Whatever is in neither must not be served: a new RPC needs an entry here.
"""
import secrets
import types

from modal_proto import api_pb2 as pb

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def never_existed(thing):
    """A name of the same shape: `fu-x7…` for a function's id, hex for a digest."""
    if ":" in thing:  # an image's name and its tag
        name, colon, tag = thing.partition(":")
        return never_existed(name) + colon + tag
    head, dash, tail = thing.rpartition("-")
    if not dash and len(thing) == 64:
        return secrets.token_hex(32)
    letters = "0123456789abcdef" if head == "bl" else ALPHABET
    text = "".join(secrets.choice(letters) for _ in tail)
    return head + dash + (text.upper() if tail.isupper() else text)


def strangers_to(world):
    return types.SimpleNamespace(**{n: never_existed(v) for n, v in vars(world).items()})


def kinds_named_by(entry, names, own):
    """Which of another's things a request names."""
    used = set()

    class Recorder:
        def __getattr__(self, kind):
            used.add(kind)
            return getattr(names, kind)

    entry(Recorder(), own)
    return used


def _items(x):
    return [pb.FunctionPutInputsItem(idx=0, input=pb.FunctionInput(args=b"x", data_format=1))]


def _chunks(x):
    body = pb.Asgi(http_response_body=pb.Asgi.HttpResponseBody(body=b"forged"))
    chunk = pb.DataChunk(index=1, data_format=pb.DATA_FORMAT_ASGI, data=body.SerializeToString())
    return [chunk]


def _function(own, **fields):
    """A definition of the asker's own app that refers to something of another."""
    values = {"function_name": "f", "image_id": own.image, **fields}
    return pb.FunctionCreateRequest(app_id=own.app, function=pb.Function(**values))


def _older(kind, texts):
    """A message with texts in fields that this client does not know any more."""
    data = b""
    for field, text in texts.items():
        for number in (field << 3 | 2, len(text)):
            data += bytes([number & 127 | 128, number >> 7]) if number > 127 else bytes([number])
        data += text.encode()
    return kind.FromString(data)


def _image(**fields):
    return pb.ImageGetOrCreateRequest(
        image=pb.Image(dockerfile_commands=["FROM base"], **fields), builder_version="2025.06"
    )


def _publish(own, **fields):
    return pb.AppPublishRequest(
        app_id=own.app, name="stolen", app_state=pb.APP_STATE_INITIALIZING, **fields
    )


def _sandbox_creations(message):
    """One in another's app, and in one's own with each thing of another."""

    def in_own(**fields):
        return lambda x, own: message(
            app_id=own.app,
            definition=pb.Sandbox(
                image_id=own.image, timeout_secs=60, **{k: f(x) for k, f in fields.items()}
            ),
        )

    return [
        lambda x, own: message(app_id=x.app, definition=pb.Sandbox(image_id=own.image)),
        lambda x, own: message(app_id=own.app, definition=pb.Sandbox(image_id=x.image)),
        in_own(mount_ids=lambda x: [x.mount]),
        in_own(secret_ids=lambda x: [x.secret]),
        in_own(volume_mounts=lambda x: [pb.VolumeMount(volume_id=x.volume, mount_path="/data")]),
        in_own(cloud_bucket_mounts=lambda x: [_bucket(x)]),
    ]


def _bucket(x):
    """A bucket by the keys of a secret."""
    return pb.CloudBucketMount(
        bucket_name="weights", mount_path="/b", credentials_secret_id=x.secret
    )


# RPC: requests from (x: what is named, own: what the asker has).
NAMES = {
    "AppClientDisconnect": [lambda x, own: pb.AppClientDisconnectRequest(app_id=x.app)],
    "AppCountLogs": [
        lambda x, own: pb.AppCountLogsRequest(app_id=x.app, bucket_secs=60),
        lambda x, own: pb.AppCountLogsRequest(app_id=x.image, bucket_secs=60),
    ],
    "AppCreate": [
        lambda x, own: pb.AppCreateRequest(description="d", environment_name=x.environment)
    ],
    "AppDeploymentHistory": [lambda x, own: pb.AppDeploymentHistoryRequest(app_id=x.app)],
    "AppDeploy": [lambda x, own: pb.AppDeployRequest(app_id=x.app, name="stolen")],
    "AppFetchLogs": [
        lambda x, own: pb.AppFetchLogsRequest(app_id=x.app, limit=10),
        lambda x, own: pb.AppFetchLogsRequest(app_id=x.image, limit=10),
        lambda x, own: pb.AppFetchLogsRequest(app_id=own.app, limit=10, function_id=x.function),
        lambda x, own: pb.AppFetchLogsRequest(app_id=own.app, limit=10, task_id=x.container),
    ],
    "AppGetByDeploymentName": [
        lambda x, own: pb.AppGetByDeploymentNameRequest(name=x.app_name, environment_name="main"),
        lambda x, own: pb.AppGetByDeploymentNameRequest(
            name=x.app_name, environment_name=x.environment
        ),
    ],
    "AppGetLayout": [lambda x, own: pb.AppGetLayoutRequest(app_id=x.app)],
    "AppGetObjects": [
        lambda x, own: pb.AppGetObjectsRequest(app_id=x.app, include_unindexed=True)
    ],
    "AppGetInfo": [lambda x, own: pb.AppGetInfoRequest(app_id=x.app)],
    "AppGetLifecycle": [lambda x, own: pb.AppGetLifecycleRequest(app_id=x.app)],
    "AppGetLogs": [lambda x, own: pb.AppGetLogsRequest(app_id=x.app, timeout=1)],
    "AppGetOrCreate": [
        lambda x, own: pb.AppGetOrCreateRequest(app_name=x.app_name, environment_name="main"),
        lambda x, own: pb.AppGetOrCreateRequest(app_name="a", environment_name=x.environment),
    ],
    "AppHeartbeat": [lambda x, own: pb.AppHeartbeatRequest(app_id=x.app)],
    "AppList": [lambda x, own: pb.AppListRequest(environment_name=x.environment)],
    "AppLookup": [
        lambda x, own: pb.AppLookupRequest(app_name=x.app_name, environment_name="main"),
        lambda x, own: pb.AppLookupRequest(app_name=x.app_name, environment_name=x.environment),
    ],
    "AppPublish": [
        lambda x, own: pb.AppPublishRequest(app_id=x.app, name="stolen"),
        lambda x, own: _publish(own, function_ids={"f": x.function}),
        lambda x, own: _publish(own, class_ids={"c": x.cls}),
    ],
    "AppGetTags": [lambda x, own: pb.AppGetTagsRequest(app_id=x.app)],
    "AppPromote": [lambda x, own: pb.AppPromoteRequest(app_id=x.app, version=1)],
    "AppRollback": [
        lambda x, own: pb.AppRollbackRequest(app_id=x.app, version=-1),
        lambda x, own: pb.AppRollbackRequest(app_id=x.app, version=1),
    ],
    "AppRollover": [lambda x, own: pb.AppRolloverRequest(app_id=x.app)],
    "AppSetObjects": [
        lambda x, own: pb.AppSetObjectsRequest(app_id=x.app),
        lambda x, own: pb.AppSetObjectsRequest(
            app_id=own.app,
            indexed_object_ids={"f": x.function},
            new_app_state=pb.APP_STATE_INITIALIZING,
        ),
        lambda x, own: pb.AppSetObjectsRequest(
            app_id=own.app,
            indexed_object_ids={"c": x.cls},
            new_app_state=pb.APP_STATE_INITIALIZING,
        ),
    ],
    "AppSetTags": [lambda x, own: pb.AppSetTagsRequest(app_id=x.app, tags={"a": "stolen"})],
    "AppStop": [lambda x, own: pb.AppStopRequest(app_id=x.app)],
    "BlobGet": [lambda x, own: pb.BlobGetRequest(blob_id=x.blob)],
    "ClassCreate": [lambda x, own: pb.ClassCreateRequest(app_id=x.app)],
    "ClassGet": [
        lambda x, own: pb.ClassGetRequest(
            app_name=x.app_name, object_tag="Counter", environment_name="main"
        )
    ],
    "ContainerExec": [
        lambda x, own: pb.ContainerExecRequest(task_id=x.container, command=["true"]),
        lambda x, own: pb.ContainerExecRequest(task_id=x.sandbox_task, command=["true"]),
    ],
    "ContainerExecGetOutput": [
        lambda x, own: pb.ContainerExecGetOutputRequest(exec_id=x.sandbox_task + ":x", timeout=1)
    ],
    "ContainerExecPutInput": [
        lambda x, own: pb.ContainerExecPutInputRequest(exec_id=x.sandbox_task + ":x")
    ],
    "ContainerExecWait": [
        lambda x, own: pb.ContainerExecWaitRequest(exec_id=x.sandbox_task + ":x", timeout=0)
    ],
    "ContainerStop": [
        lambda x, own: pb.ContainerStopRequest(task_id=x.container),
        lambda x, own: pb.ContainerStopRequest(task_id=x.sandbox_task),
    ],
    "EnvironmentDelete": [lambda x, own: pb.EnvironmentDeleteRequest(name=x.environment)],
    "EnvironmentGetOrCreate": [
        lambda x, own: pb.EnvironmentGetOrCreateRequest(deployment_name=x.environment)
    ],
    "EnvironmentUpdate": [
        lambda x, own: pb.EnvironmentUpdateRequest(
            current_name=x.environment, name={"value": "stolen"}
        ),
        lambda x, own: pb.EnvironmentUpdateRequest(
            current_name=x.environment, web_suffix={"value": "stolen"}
        ),
    ],
    "FunctionBindParams": [
        lambda x, own: pb.FunctionBindParamsRequest(function_id=x.function),
        lambda x, own: pb.FunctionBindParamsRequest(
            function_id=own.function,
            function_options=pb.FunctionOptions(replace_secret_ids=True, secret_ids=[x.secret]),
        ),
        lambda x, own: pb.FunctionBindParamsRequest(
            function_id=own.function,
            function_options=pb.FunctionOptions(cloud_bucket_mounts=[_bucket(x)]),
        ),
    ],
    "FunctionCallCancel": [
        lambda x, own: pb.FunctionCallCancelRequest(function_call_id=x.call),
        lambda x, own: pb.FunctionCallCancelRequest(
            function_call_id=x.call, terminate_containers=True
        ),
    ],
    "FunctionCallCount": [
        lambda x, own: pb.FunctionCallCountRequest(function_id=x.function, all_variants=True)
    ],
    "FunctionCallFetch": [
        lambda x, own: pb.FunctionCallFetchRequest(function_id=x.function, tail={"count": 9})
    ],
    "FunctionCallFromId": [lambda x, own: pb.FunctionCallFromIdRequest(function_call_id=x.call)],
    "FunctionCallGetDataIn": [
        lambda x, own: pb.FunctionCallGetDataRequest(function_call_id=x.call)
    ],
    "FunctionCallGetDataOut": [
        lambda x, own: pb.FunctionCallGetDataRequest(function_call_id=x.call)
    ],
    "FunctionCallGetInfo": [lambda x, own: pb.FunctionCallGetInfoRequest(function_call_id=x.call)],
    "FunctionCallPutDataOut": [
        lambda x, own: pb.FunctionCallPutDataRequest(
            function_call_id=x.call, data_chunks=_chunks(x)
        )
    ],
    "FunctionCreate": [
        lambda x, own: pb.FunctionCreateRequest(
            app_id=x.app, function=pb.Function(function_name="f", image_id=own.image)
        ),
        lambda x, own: _function(own, image_id=x.image),
        lambda x, own: _function(own, secret_ids=[x.secret]),
        lambda x, own: _function(own, cloud_bucket_mounts=[_bucket(x)]),
        lambda x, own: _function(own, mount_ids=[x.mount]),
        lambda x, own: _function(
            own, volume_mounts=[pb.VolumeMount(volume_id=x.volume, mount_path="/data")]
        ),
        lambda x, own: pb.FunctionCreateRequest(
            app_id=own.app, function=_older(pb.Function, {54: x.function, 55: "hold"})
        ),
        lambda x, own: _function(
            own,
            shared_volume_mounts=[
                pb.SharedVolumeMount(shared_volume_id=x.nfs, mount_path="/data")
            ],
        ),
    ],
    "FunctionFinishInputs": [
        lambda x, own: pb.FunctionFinishInputsRequest(function_call_id=x.call)
    ],
    "FunctionGet": [
        lambda x, own: pb.FunctionGetRequest(
            app_name=x.app_name, object_tag="hold", environment_name="main"
        ),
        lambda x, own: pb.FunctionGetRequest(
            app_name=x.app_name, object_tag="hold", environment_name=x.environment
        ),
    ],
    "FunctionGetById": [lambda x, own: pb.FunctionGetByIdRequest(function_id=x.function)],
    "FunctionGetCallGraph": [
        lambda x, own: pb.FunctionGetCallGraphRequest(function_call_id=x.call),
        lambda x, own: pb.FunctionGetCallGraphRequest(function_call_id=x.done_call),
    ],
    "FunctionGetCurrentStats": [
        lambda x, own: pb.FunctionGetCurrentStatsRequest(function_id=x.function)
    ],
    "FunctionGetDynamicConcurrency": [
        lambda x, own: pb.FunctionGetDynamicConcurrencyRequest(
            function_id=x.function, target_concurrency=1, max_concurrency=2
        )
    ],
    "FunctionGetOutputs": [
        lambda x, own: pb.FunctionGetOutputsRequest(function_call_id=x.call, timeout=0),
        lambda x, own: pb.FunctionGetOutputsRequest(function_call_id=x.done_call, timeout=0),
    ],
    "FunctionGetSerialized": [
        lambda x, own: pb.FunctionGetSerializedRequest(function_id=x.function)
    ],
    "FunctionMap": [
        lambda x, own: pb.FunctionMapRequest(function_id=x.function, pipelined_inputs=_items(x))
    ],
    "FunctionPrecreate": [
        lambda x, own: pb.FunctionPrecreateRequest(app_id=x.app, function_name="f"),
        lambda x, own: _older(
            pb.FunctionPrecreateRequest, {1: own.app, 2: "f", 6: x.function, 7: "hold"}
        ),
    ],
    "FunctionPutInputs": [
        lambda x, own: pb.FunctionPutInputsRequest(function_call_id=x.call, inputs=_items(x))
    ],
    "FunctionPutOutputs": [
        lambda x, own: pb.FunctionPutOutputsRequest(
            outputs=[
                pb.FunctionPutOutputsItem(
                    input_id=x.input, result=pb.GenericResult(status=1, data=b"forged")
                )
            ]
        )
    ],
    "FunctionGetSchedulingParams": [
        lambda x, own: pb.FunctionGetSchedulingParamsRequest(function_id=x.function)
    ],
    "FunctionUpdateSchedulingParams": [
        lambda x, own: pb.FunctionUpdateSchedulingParamsRequest(
            function_id=x.function, settings=pb.AutoscalerSettings(max_containers=1)
        )
    ],
    "ImageBuildChainGet": [lambda x, own: pb.ImageBuildChainGetRequest(image_id=x.image)],
    "ImageDelete": [lambda x, own: pb.ImageDeleteRequest(image_id=x.image)],
    "ImageFromId": [lambda x, own: pb.ImageFromIdRequest(image_id=x.image)],
    "ImageGetByTag": [
        lambda x, own: pb.ImageGetByTagRequest(tag=x.image_name),
        lambda x, own: pb.ImageGetByTagRequest(tag=f"{x.environment}/{own.image_name}"),
    ],
    "ImageGetOrCreate": [
        lambda x, own: _image(base_images=[pb.BaseImage(docker_tag="base", image_id=x.image)]),
        lambda x, own: _image(
            base_images=[pb.BaseImage(docker_tag="base", image_id=own.image)],
            context_mount_id=x.mount,
        ),
        lambda x, own: _image(
            base_images=[pb.BaseImage(docker_tag="base", image_id=own.image)],
            secret_ids=[x.secret],
        ),
        lambda x, own: _image(
            base_images=[pb.BaseImage(docker_tag="base", image_id=own.image)],
            image_registry_config=pb.ImageRegistryConfig(secret_id=x.secret),
        ),
        lambda x, own: _image(
            base_images=[pb.BaseImage(docker_tag="base", image_id=own.image)],
            volume_mounts=[pb.VolumeMount(volume_id=x.volume, mount_path="/v")],
        ),
    ],
    "ImageJoinStreaming": [
        lambda x, own: pb.ImageJoinStreamingRequest(
            image_id=x.image, timeout=1, include_logs_for_finished=True
        )
    ],
    "ImageListTags": [
        lambda x, own: pb.ImageListTagsRequest(environment_name=x.environment),
        lambda x, own: pb.ImageListTagsRequest(image_id=x.image),
    ],
    "ImageNameDelete": [lambda x, own: pb.ImageNameDeleteRequest(tag=x.image_name)],
    "ImagePublish": [
        lambda x, own: pb.ImagePublishRequest(image_id=x.image, tag=own.image_name),
        lambda x, own: pb.ImagePublishRequest(image_id=own.image, tag=f"{x.environment}/a:1"),
    ],
    "ImageTagRevisions": [lambda x, own: pb.ImageTagRevisionsRequest(tag=x.image_name)],
    "MountBatchedCheckExistence": [
        lambda x, own: pb.MountBatchedCheckExistenceRequest(sha256_hex_hashes=[x.file])
    ],
    "MountGetOrCreate": [
        lambda x, own: pb.MountGetOrCreateRequest(
            files=[pb.MountFile(filename="/f", sha256_hex=x.file)], object_creation_type=4
        ),
        lambda x, own: pb.MountGetOrCreateRequest(
            deployment_name=x.mount_name, environment_name="main"
        ),
    ],
    "MountPutFile": [
        lambda x, own: pb.MountPutFileRequest(sha256_hex=x.file),
        lambda x, own: pb.MountPutFileRequest(sha256_hex=x.file, data_blob_id="bl-" + x.file),
    ],
    "DictClear": [lambda x, own: pb.DictClearRequest(dict_id=x.dict)],
    "DictContains": [lambda x, own: pb.DictContainsRequest(dict_id=x.dict, key=b"a")],
    "DictContents": [
        lambda x, own: pb.DictContentsRequest(dict_id=x.dict, keys=True, values=True)
    ],
    "DictDelete": [lambda x, own: pb.DictDeleteRequest(dict_id=x.dict)],
    "DictGet": [lambda x, own: pb.DictGetRequest(dict_id=x.dict, key=b"a")],
    "DictGetById": [lambda x, own: pb.DictGetByIdRequest(dict_id=x.dict)],
    "DictGetOrCreate": [
        lambda x, own: pb.DictGetOrCreateRequest(deployment_name=x.dict_name),
        lambda x, own: pb.DictGetOrCreateRequest(
            deployment_name="d", environment_name=x.environment, object_creation_type=1
        ),
    ],
    "DictHeartbeat": [lambda x, own: pb.DictHeartbeatRequest(dict_id=x.dict)],
    "DictLen": [lambda x, own: pb.DictLenRequest(dict_id=x.dict)],
    "DictList": [lambda x, own: pb.DictListRequest(environment_name=x.environment)],
    "DictPop": [lambda x, own: pb.DictPopRequest(dict_id=x.dict, key=b"a")],
    "DictUpdate": [
        lambda x, own: pb.DictUpdateRequest(
            dict_id=x.dict, updates=[pb.DictEntry(key=b"a", value=b"stolen")]
        )
    ],
    "QueueClear": [lambda x, own: pb.QueueClearRequest(queue_id=x.queue, all_partitions=True)],
    "QueueDelete": [lambda x, own: pb.QueueDeleteRequest(queue_id=x.queue)],
    "QueueGet": [lambda x, own: pb.QueueGetRequest(queue_id=x.queue, n_values=1)],
    "QueueGetById": [lambda x, own: pb.QueueGetByIdRequest(queue_id=x.queue)],
    "QueueGetOrCreate": [
        lambda x, own: pb.QueueGetOrCreateRequest(deployment_name=x.queue_name),
        lambda x, own: pb.QueueGetOrCreateRequest(
            deployment_name="q", environment_name=x.environment, object_creation_type=1
        ),
    ],
    "QueueHeartbeat": [lambda x, own: pb.QueueHeartbeatRequest(queue_id=x.queue)],
    "QueueLen": [lambda x, own: pb.QueueLenRequest(queue_id=x.queue, total=True)],
    "QueueList": [lambda x, own: pb.QueueListRequest(environment_name=x.environment)],
    "QueueNextItems": [lambda x, own: pb.QueueNextItemsRequest(queue_id=x.queue)],
    "QueuePut": [lambda x, own: pb.QueuePutRequest(queue_id=x.queue, values=[b"planted"])],
    "SecretDelete": [lambda x, own: pb.SecretDeleteRequest(secret_id=x.secret)],
    "SecretGetInfo": [lambda x, own: pb.SecretGetInfoRequest(secret_id=x.secret)],
    "SecretGetOrCreate": [
        lambda x, own: pb.SecretGetOrCreateRequest(
            deployment_name=x.secret_name, environment_name="main"
        ),
        lambda x, own: pb.SecretGetOrCreateRequest(
            env_dict={"A": "b"}, app_id=x.app, object_creation_type=4
        ),
    ],
    "SecretList": [lambda x, own: pb.SecretListRequest(environment_name=x.environment)],
    "SecretUpdate": [
        lambda x, own: pb.SecretUpdateRequest(
            secret_id=x.secret,
            updates=[pb.SecretUpdateRequest.Update(key="PASSWORD", value="stolen")],
        )
    ],
    "SharedVolumeDelete": [lambda x, own: pb.SharedVolumeDeleteRequest(shared_volume_id=x.nfs)],
    "SharedVolumeGetFile": [
        lambda x, own: pb.SharedVolumeGetFileRequest(shared_volume_id=x.nfs, path="private.txt")
    ],
    "SharedVolumeGetOrCreate": [
        lambda x, own: pb.SharedVolumeGetOrCreateRequest(deployment_name=x.nfs_name),
        lambda x, own: pb.SharedVolumeGetOrCreateRequest(
            deployment_name="s", environment_name=x.environment, object_creation_type=1
        ),
    ],
    "SharedVolumeHeartbeat": [
        lambda x, own: pb.SharedVolumeHeartbeatRequest(shared_volume_id=x.nfs)
    ],
    "SharedVolumeList": [lambda x, own: pb.SharedVolumeListRequest(environment_name=x.environment)],
    "SharedVolumeListFilesStream": [
        lambda x, own: pb.SharedVolumeListFilesRequest(shared_volume_id=x.nfs, path="/")
    ],
    "SharedVolumePutFile": [
        lambda x, own: pb.SharedVolumePutFileRequest(
            shared_volume_id=x.nfs, path="planted", data=b"planted"
        ),
        lambda x, own: pb.SharedVolumePutFileRequest(
            shared_volume_id=own.nfs, path="stolen", data_blob_id=x.blob, sha256_hex=x.blob[3:]
        ),
    ],
    "SharedVolumeRemoveFile": [
        lambda x, own: pb.SharedVolumeRemoveFileRequest(
            shared_volume_id=x.nfs, path="private.txt"
        )
    ],
    "SandboxCreate": _sandbox_creations(pb.SandboxCreateRequest),
    "SandboxCreateV2": [
        *_sandbox_creations(pb.SandboxCreateV2Request),
        lambda x, own: pb.SandboxCreateV2Request(
            app_id=own.app, definition=pb.Sandbox(image_id=own.image),
            secret_sources=[pb.SecretSource(secret_id=x.secret)],
        ),
    ],
    "SandboxGetCommandRouterAccess": [
        lambda x, own: pb.SandboxGetCommandRouterAccessRequest(sandbox_id=x.sandbox),
        lambda x, own: pb.SandboxGetCommandRouterAccessRequest(task_id=x.sandbox_task),
    ],
    "SandboxGetLogs": [lambda x, own: pb.SandboxGetLogsRequest(sandbox_id=x.sandbox, timeout=1)],
    "SandboxStdinWrite": [
        lambda x, own: pb.SandboxStdinWriteRequest(sandbox_id=x.sandbox, input=b"x", index=1)
    ],
    **{
        name + suffix: [entry]
        for suffix in ("", "V2")
        for name, entry in {
            "SandboxCreateConnectToken": lambda x, own: pb.SandboxCreateConnectTokenRequest(
                sandbox_id=x.sandbox, port=8080
            ),
            "SandboxGetFromName": lambda x, own: pb.SandboxGetFromNameRequest(
                app_name=x.app_name, sandbox_name="held", environment_name="main"
            ),
            "SandboxGetTaskId": lambda x, own: pb.SandboxGetTaskIdRequest(sandbox_id=x.sandbox),
            "SandboxGetTunnels": lambda x, own: pb.SandboxGetTunnelsRequest(sandbox_id=x.sandbox),
            "SandboxList": lambda x, own: pb.SandboxListRequest(app_id=x.app),
            "SandboxTagsGet": lambda x, own: pb.SandboxTagsGetRequest(sandbox_id=x.sandbox),
            "SandboxTagsSet": lambda x, own: pb.SandboxTagsSetRequest(
                sandbox_id=x.sandbox, tags=[pb.SandboxTag(tag_name="stolen")]
            ),
            "SandboxTerminate": lambda x, own: pb.SandboxTerminateRequest(sandbox_id=x.sandbox),
            "SandboxWait": lambda x, own: pb.SandboxWaitRequest(sandbox_id=x.sandbox, timeout=0),
        }.items()
    },
    "TaskGetCommandRouterAccess": [
        lambda x, own: pb.TaskGetCommandRouterAccessRequest(task_id=x.container),
        lambda x, own: pb.TaskGetCommandRouterAccessRequest(task_id=x.sandbox_task),
    ],
    "TaskGetInfo": [
        lambda x, own: pb.TaskGetInfoRequest(task_id=x.container),
        lambda x, own: pb.TaskGetInfoRequest(task_id=x.sandbox_task),
    ],
    "TaskList": [lambda x, own: pb.TaskListRequest(app_id=x.app)],
    "VolumeCommit": [lambda x, own: pb.VolumeCommitRequest(volume_id=x.volume)],
    "VolumeCopyFiles": [
        lambda x, own: pb.VolumeCopyFilesRequest(
            volume_id=x.volume, src_paths=["private.txt"], dst_path="copy"
        )
    ],
    "VolumeCopyFiles2": [
        lambda x, own: pb.VolumeCopyFiles2Request(
            volume_id=x.volume, src_paths=["private.txt"], dst_path="copy"
        )
    ],
    "VolumeDelete": [lambda x, own: pb.VolumeDeleteRequest(volume_id=x.volume)],
    "VolumeGetById": [lambda x, own: pb.VolumeGetByIdRequest(volume_id=x.volume)],
    "VolumeGetFile": [
        lambda x, own: pb.VolumeGetFileRequest(volume_id=x.volume, path="private.txt")
    ],
    "VolumeGetFile2": [
        lambda x, own: pb.VolumeGetFile2Request(volume_id=x.volume, path="private.txt")
    ],
    "VolumeGetOrCreate": [
        lambda x, own: pb.VolumeGetOrCreateRequest(
            deployment_name=x.volume_name, environment_name="main"
        ),
        lambda x, own: pb.VolumeGetOrCreateRequest(
            deployment_name="v", environment_name=x.environment
        ),
    ],
    "VolumeHeartbeat": [lambda x, own: pb.VolumeHeartbeatRequest(volume_id=x.volume)],
    "VolumeList": [lambda x, own: pb.VolumeListRequest(environment_name=x.environment)],
    "VolumeListFiles": [
        lambda x, own: pb.VolumeListFilesRequest(volume_id=x.volume, path="", recursive=True)
    ],
    "VolumeListFiles2": [
        lambda x, own: pb.VolumeListFiles2Request(volume_id=x.volume, path="", recursive=True)
    ],
    "VolumePutFiles": [
        lambda x, own: pb.VolumePutFilesRequest(volume_id=x.volume),
        lambda x, own: pb.VolumePutFilesRequest(
            volume_id=own.volume, files=[pb.MountFile(filename="f", sha256_hex=x.file)]
        ),
    ],
    "VolumePutFiles2": [lambda x, own: pb.VolumePutFiles2Request(volume_id=x.volume)],
    "VolumeReload": [lambda x, own: pb.VolumeReloadRequest(volume_id=x.volume)],
    "VolumeRemoveFile": [
        lambda x, own: pb.VolumeRemoveFileRequest(volume_id=x.volume, path="private.txt")
    ],
    "VolumeRemoveFile2": [
        lambda x, own: pb.VolumeRemoveFile2Request(volume_id=x.volume, path="private.txt")
    ],
    "VolumeRename": [lambda x, own: pb.VolumeRenameRequest(volume_id=x.volume, name="stolen")],
}

# They name nothing of others; what they answer tells nothing of others either.
OWN = {
    "AuthTokenGet", "BlobCreate", "ClientHello", "ContainerCheckpoint", "ContainerHeartbeat",
    "ContainerHello", "EnvironmentCreate", "EnvironmentList", "FunctionGetInputs",
    "FunctionRetryInputs", "TaskResult", "TokenDelete", "TokenFlowCreate", "TokenFlowWait",
    "TokenInfoGet", "TunnelStart", "TunnelStop", "WorkspaceNameLookup",
}  # fmt: skip
# Lists of the asker's own, for the same.
LISTS = {
    "AppList": pb.AppListRequest(),
    "DictList": pb.DictListRequest(),
    "EnvironmentList": None,
    "ImageListTags": pb.ImageListTagsRequest(),
    "QueueList": pb.QueueListRequest(),
    "SandboxList": pb.SandboxListRequest(),
    "SandboxListV2": pb.SandboxListRequest(),
    "SecretList": pb.SecretListRequest(),
    "SharedVolumeList": pb.SharedVolumeListRequest(),
    "TaskList": pb.TaskListRequest(),
    "TokenInfoGet": None,
    "VolumeList": pb.VolumeListRequest(),
    "WorkspaceNameLookup": None,
}
