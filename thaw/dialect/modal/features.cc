// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/features.h"

#include <array>
#include <utility>

namespace thaw::dialect::modal {

namespace {

// First match wins: longer names before their prefixes. These are the names in the column Feature
// of docs/reference/modal-rpcs.md, of every RPC there that is not served.
constexpr std::array<std::pair<std::string_view, std::string_view>, 48> features = {{
    {"AppGetTimeRangeStats", "statistics over time"},
    {"Attempt", "the input plane"},
    {"AuditLog", "audit logs"},
    {"CliCommandSuggest", "suggestions of the command line"},
    {"Cluster", "clustered functions"},
    {"ContainerExec", "exec in containers"},
    {"ContainerFilesystem", "file access in containers"},
    {"ContainerLog", "logs of older clients"},
    {"ContainerReloadVolumes", "volumes of older clients"},
    {"ContainerServer", "`@app.server` containers"},
    {"Curl", "`modal curl`"},
    {"Domain", "own domains"},
    {"Endpoint", "hosted model endpoints"},
    {"EnvironmentBilling", "billing"},
    {"Environment", "roles and budgets of environments"},
    {"Flash", "`@app.server` containers"},
    {"FunctionCall", "lists of calls"},
    {"FunctionGetFlash", "`@app.server` containers"},
    {"FunctionGetMetrics", "metrics"},
    {"FunctionGetTimeRangeStats", "statistics over time"},
    {"FunctionListVariants", "lists of variants"},
    {"FunctionStartPtyShell", "interactive functions"},
    {"Function", "functions of older clients"},
    {"Map", "the input plane"},
    {"Metrics", "metrics"},
    {"ObjectSuggest", "suggestions of the command line"},
    {"PersistentSandbox", "persistent sandboxes"},
    {"Proxy", "proxies"},
    {"SandboxSnapshot", "sandbox snapshots"},
    {"SandboxWaitUntilReady", "readiness of sandboxes"},
    {"Sandbox", "sandboxes"},
    {"ServiceUser", "service users"},
    {"Server", "`@app.server` metrics"},
    {"SharedVolume", "network file systems"},
    {"TaskCluster", "clustered functions"},
    {"TaskCurrentInputs", "inputs of containers"},
    {"TaskContainer", "further containers of a sandbox"},
    {"TaskMount", "images mounted in sandboxes"},
    {"TaskSet", "changing the network of sandboxes"},
    {"TaskSnapshot", "snapshots of folders and of memory"},
    {"TaskUnmount", "images mounted in sandboxes"},
    {"Task", "exec and shell in containers"},
    {"Template", "app templates"},
    {"Token", "tokens over the API (use `thaw token`)"},
    {"UserGroup", "user groups"},
    {"WebhookToken", "tokens of web endpoints (use `thaw token`)"},
    {"WorkspaceBilling", "billing"},
    {"Workspace", "workspace administration"},
}};

}  // namespace

std::string feature_of(std::string_view rpc) {
  for (const auto& [prefix, feature] : features) {
    if (rpc.starts_with(prefix)) {
      return std::string(feature);
    }
  }
  return "the RPC " + std::string(rpc);
}

Error not_served(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return Error::unimplemented("Thaw does not serve " + feature_of(name) + " yet (" + name +
                              "); docs/reference/modal-rpcs.md lists what is served");
}

}  // namespace thaw::dialect::modal
