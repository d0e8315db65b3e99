// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/features.h"

#include <array>
#include <utility>

namespace thaw::dialect::modal {

namespace {

// First match wins: longer names before their prefixes.
constexpr std::array<std::pair<std::string_view, std::string_view>, 44> features = {{
    {"SharedVolume", "network file systems"},
    {"PersistentSandbox", "persistent sandboxes"},
    {"SandboxSnapshot", "sandbox snapshots"},
    {"Sandbox", "sandboxes"},
    {"Task", "exec and shell in containers"},
    {"ContainerExec", "exec in containers"},
    {"ContainerFilesystem", "file access in containers"},
    {"ContainerReloadVolumes", "volumes"},
    {"Dict", "dicts"},
    {"Queue", "queues"},
    {"Tunnel", "tunnels"},
    {"EnvironmentBilling", "billing"},
    {"Environment", "changing environments"},
    {"TokenFlow", "login by browser (use `thaw token create`)"},
    {"Token", "tokens by the client (use `thaw token`)"},
    {"AppRoll", "rollback of deployments"},
    {"AppPromote", "staged deployments"},
    {"AppSetTags", "app tags"},
    {"AppGetTags", "app tags"},
    {"AppGetInfo", "details of apps"},
    {"AppGetTimeRangeStats", "statistics of apps"},
    {"Attempt", "the input plane"},
    {"Map", "the input plane"},
    {"FunctionStartPtyShell", "interactive functions"},
    {"FunctionGetCallGraph", "call graphs"},
    {"FunctionGetFlash", "`@app.server`"},
    {"FunctionCall", "lists of calls"},
    {"Function", "statistics of functions"},
    {"Image", "named images"},
    {"WorkspaceBilling", "billing"},
    {"Workspace", "workspace administration"},
    {"WebhookToken", "tokens of web endpoints (use `thaw token create`)"},
    {"Cluster", "clusters"},
    {"Proxy", "proxies"},
    {"Flash", "`@app.server`"},
    {"ServiceUser", "service users"},
    {"Server", "statistics of `@app.server`"},
    {"Endpoint", "hosted model endpoints"},
    {"Domain", "own domains"},
    {"AuditLog", "audit logs"},
    {"UserGroup", "user groups"},
    {"Metrics", "metrics"},
    {"Curl", "`modal curl`"},
    {"SecretGetInfo", "details of secrets"},
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
