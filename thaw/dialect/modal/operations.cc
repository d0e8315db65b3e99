// SPDX-License-Identifier: Apache-2.0
//
// The rows are by name. `invoke` calls functions and follows these calls; `read` looks; `deploy`
// changes what there is, runs code of the asker's own (apps, sandboxes, shells) and builds images;
// `admin` is for environments. Requests of the kind get-or-create are `read` here: those that
// create are asked for `deploy` too (rpc.h). A container has no token, and no scopes.
#include "thaw/dialect/modal/operations.h"

#include <algorithm>
#include <iterator>

namespace thaw::dialect::modal {

namespace {

using gateway::Operation;
using Of = Operation::Of;
using Scope = model::TokenScope;

constexpr model::TokenScopes any = model::all_scopes;
constexpr model::TokenScopes call_or_read = Scope::invoke | Scope::read;
constexpr model::TokenScopes call_or_deploy = Scope::invoke | Scope::deploy;

constexpr Operation rpcs[] = {
    {"AppClientDisconnect", Scope::deploy, Of::workspace},
    {"AppCountLogs", Scope::read, Of::workspace},
    {"AppCreate", Scope::deploy, Of::workspace},
    {"AppDeploy", Scope::deploy, Of::workspace},
    {"AppDeploymentHistory", Scope::read, Of::functions},
    {"AppFetchLogs", Scope::read, Of::workspace},
    {"AppGetByDeploymentName", call_or_read, Of::functions},
    {"AppGetInfo", Scope::read, Of::functions},
    {"AppGetLayout", Scope::read, Of::functions},
    {"AppGetLifecycle", Scope::read, Of::functions},
    {"AppGetLogs", Scope::read, Of::workspace},
    {"AppGetObjects", Scope::read, Of::functions},
    {"AppGetOrCreate", Scope::read, Of::functions},
    {"AppGetTags", Scope::read, Of::functions},
    {"AppHeartbeat", Scope::deploy, Of::workspace},
    {"AppList", Scope::read, Of::functions},
    {"AppLookup", Scope::read, Of::functions},
    {"AppPromote", Scope::deploy, Of::workspace},
    {"AppPublish", Scope::deploy, Of::workspace},
    {"AppRollback", Scope::deploy, Of::workspace},
    {"AppRollover", Scope::deploy, Of::workspace},
    {"AppSetObjects", Scope::deploy, Of::workspace},
    {"AppSetTags", Scope::deploy, Of::workspace},
    {"AppStop", Scope::deploy, Of::workspace},
    {"AuthTokenGet", any, Of::anything},
    {"BlobCreate", call_or_deploy, Of::anything},
    // Of a blob its name is what lets one have it: nobody guesses a digest, and results of one's
    // own calls are blobs. Whoever knows one may have any blob of the workspace.
    {"BlobGet", call_or_read, Of::anything},
    {"ClassCreate", Scope::deploy, Of::workspace},
    {"ClassGet", call_or_read, Of::functions},
    {"ClientHello", any, Of::anything},
    {"ContainerCheckpoint", any, Of::anything},
    {"ContainerExec", Scope::deploy, Of::workspace},
    {"ContainerExecGetOutput", Scope::deploy, Of::workspace},
    {"ContainerExecPutInput", Scope::deploy, Of::workspace},
    {"ContainerExecWait", Scope::deploy, Of::workspace},
    {"ContainerHeartbeat", any, Of::anything},
    {"ContainerHello", any, Of::anything},
    {"ContainerStop", Scope::deploy, Of::workspace},
    {"DictClear", Scope::deploy, Of::workspace},
    {"DictContains", Scope::read, Of::workspace},
    {"DictContents", Scope::read, Of::workspace},
    {"DictDelete", Scope::deploy, Of::workspace},
    {"DictGet", Scope::read, Of::workspace},
    {"DictGetById", Scope::read, Of::workspace},
    {"DictGetOrCreate", Scope::read, Of::workspace},
    {"DictHeartbeat", Scope::deploy, Of::workspace},
    {"DictLen", Scope::read, Of::workspace},
    {"DictList", Scope::read, Of::workspace},
    {"DictPop", Scope::deploy, Of::workspace},
    {"DictUpdate", Scope::deploy, Of::workspace},
    {"EnvironmentCreate", Scope::admin, Of::workspace},
    {"EnvironmentDelete", Scope::admin, Of::workspace},
    {"EnvironmentGetOrCreate", any, Of::anything},
    {"EnvironmentList", any, Of::anything},
    {"EnvironmentUpdate", Scope::admin, Of::workspace},
    {"FunctionBindParams", call_or_deploy, Of::functions},
    {"FunctionCallCancel", Scope::invoke, Of::functions},
    {"FunctionCallCount", call_or_read, Of::functions},
    {"FunctionCallFetch", call_or_read, Of::functions},
    {"FunctionCallFromId", call_or_read, Of::functions},
    {"FunctionCallGetDataIn", call_or_read, Of::functions},
    {"FunctionCallGetDataOut", call_or_read, Of::functions},
    {"FunctionCallGetInfo", call_or_read, Of::functions},
    {"FunctionCallPutDataOut", Scope::invoke, Of::functions},
    {"FunctionCreate", Scope::deploy, Of::workspace},
    {"FunctionFinishInputs", Scope::invoke, Of::functions},
    {"FunctionGet", call_or_read, Of::functions},
    {"FunctionGetById", call_or_read, Of::functions},
    {"FunctionGetCallGraph", call_or_read, Of::workspace},
    {"FunctionGetCurrentStats", call_or_read, Of::functions},
    {"FunctionGetDynamicConcurrency", any, Of::anything},
    {"FunctionGetInputs", any, Of::anything},
    {"FunctionGetOutputs", call_or_read, Of::functions},
    {"FunctionGetSchedulingParams", Scope::read, Of::functions},
    {"FunctionGetSerialized", Scope::read, Of::functions},
    {"FunctionMap", Scope::invoke, Of::functions},
    {"FunctionPrecreate", Scope::deploy, Of::workspace},
    {"FunctionPutInputs", Scope::invoke, Of::functions},
    {"FunctionPutOutputs", any, Of::anything},
    {"FunctionRetryInputs", Scope::invoke, Of::functions},
    {"FunctionUpdateSchedulingParams", Scope::deploy, Of::functions},
    {"ImageBuildChainGet", Scope::read, Of::workspace},
    {"ImageDelete", Scope::deploy, Of::workspace},
    {"ImageFromId", Scope::read, Of::workspace},
    {"ImageGetByTag", Scope::read, Of::workspace},
    {"ImageGetOrCreate", Scope::deploy, Of::workspace},
    {"ImageJoinStreaming", Scope::deploy, Of::workspace},
    {"ImageListTags", Scope::read, Of::workspace},
    {"ImageNameDelete", Scope::deploy, Of::workspace},
    {"ImagePublish", Scope::deploy, Of::workspace},
    {"ImageTagRevisions", Scope::read, Of::workspace},
    {"MountBatchedCheckExistence", Scope::deploy, Of::workspace},
    {"MountGetOrCreate", Scope::deploy, Of::workspace},
    {"MountPutFile", Scope::deploy, Of::workspace},
    {"QueueClear", Scope::deploy, Of::workspace},
    {"QueueDelete", Scope::deploy, Of::workspace},
    {"QueueGet", Scope::deploy, Of::workspace},
    {"QueueGetById", Scope::read, Of::workspace},
    {"QueueGetOrCreate", Scope::read, Of::workspace},
    {"QueueHeartbeat", Scope::deploy, Of::workspace},
    {"QueueLen", Scope::read, Of::workspace},
    {"QueueList", Scope::read, Of::workspace},
    {"QueueNextItems", Scope::read, Of::workspace},
    {"QueuePut", Scope::deploy, Of::workspace},
    {"SandboxCreate", Scope::deploy, Of::workspace},
    {"SandboxCreateConnectToken", Scope::deploy, Of::workspace},
    {"SandboxGetCommandRouterAccess", Scope::deploy, Of::workspace},
    {"SandboxGetFromName", Scope::read, Of::workspace},
    {"SandboxGetLogs", Scope::read, Of::workspace},
    {"SandboxGetTaskId", Scope::read, Of::workspace},
    {"SandboxGetTunnels", Scope::read, Of::workspace},
    {"SandboxList", Scope::read, Of::workspace},
    {"SandboxStdinWrite", Scope::deploy, Of::workspace},
    {"SandboxTagsGet", Scope::read, Of::workspace},
    {"SandboxTagsSet", Scope::deploy, Of::workspace},
    {"SandboxTerminate", Scope::deploy, Of::workspace},
    {"SandboxWait", Scope::read, Of::workspace},
    {"SecretDelete", Scope::deploy, Of::workspace},
    {"SecretGetInfo", Scope::read, Of::workspace},
    {"SecretGetOrCreate", Scope::read, Of::workspace},
    {"SecretList", Scope::read, Of::workspace},
    {"SecretUpdate", Scope::deploy, Of::workspace},
    {"SharedVolumeDelete", Scope::deploy, Of::workspace},
    {"SharedVolumeGetFile", Scope::read, Of::workspace},
    {"SharedVolumeGetOrCreate", Scope::read, Of::workspace},
    {"SharedVolumeHeartbeat", Scope::deploy, Of::workspace},
    {"SharedVolumeList", Scope::read, Of::workspace},
    {"SharedVolumeListFilesStream", Scope::read, Of::workspace},
    {"SharedVolumePutFile", Scope::deploy, Of::workspace},
    {"SharedVolumeRemoveFile", Scope::deploy, Of::workspace},
    {"TaskGetCommandRouterAccess", Scope::deploy, Of::workspace},
    {"TaskGetInfo", Scope::read, Of::workspace},
    {"TaskList", Scope::read, Of::workspace},
    {"TaskResult", any, Of::anything},
    {"TokenDelete", any, Of::anything},
    {"TokenFlowCreate", any, Of::anything},
    {"TokenFlowWait", any, Of::anything},
    {"TokenInfoGet", any, Of::anything},
    {"TunnelStart", Scope::deploy, Of::workspace},
    {"TunnelStop", Scope::deploy, Of::workspace},
    {"VolumeCommit", Scope::deploy, Of::workspace},
    {"VolumeCopyFiles", Scope::deploy, Of::workspace},
    {"VolumeDelete", Scope::deploy, Of::workspace},
    {"VolumeGetById", Scope::read, Of::workspace},
    {"VolumeGetFile", Scope::read, Of::workspace},
    {"VolumeGetOrCreate", Scope::read, Of::workspace},
    {"VolumeHeartbeat", Scope::deploy, Of::workspace},
    {"VolumeList", Scope::read, Of::workspace},
    {"VolumeListFiles", Scope::read, Of::workspace},
    {"VolumePutFiles", Scope::deploy, Of::workspace},
    {"VolumeReload", Scope::deploy, Of::workspace},
    {"VolumeRemoveFile", Scope::deploy, Of::workspace},
    {"VolumeRename", Scope::deploy, Of::workspace},
    {"WorkspaceNameLookup", any, Of::anything},
};

constexpr bool is_sorted_by_name() {
  return std::is_sorted(std::begin(rpcs), std::end(rpcs),
                        [](const auto& a, const auto& b) { return a.name < b.name; });
}
static_assert(is_sorted_by_name());

}  // namespace

const Operation* find_operation(std::string_view rpc) {
  // A second form of an RPC, which asks for the same.
  for (const std::string_view form : {"V2", "2"}) {
    if (rpc.ends_with(form)) {
      rpc.remove_suffix(form.size());
      break;
    }
  }
  const auto* const found =
      std::lower_bound(std::begin(rpcs), std::end(rpcs), rpc,
                       [](const Operation& row, std::string_view name) { return row.name < name; });
  return found != std::end(rpcs) && found->name == rpc ? found : nullptr;
}

}  // namespace thaw::dialect::modal
