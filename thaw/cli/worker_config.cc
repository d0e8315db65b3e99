// SPDX-License-Identifier: Apache-2.0
// thaw worker-config: a configuration of workerd whose binding AI is this server's models.
#include "thaw/cli/worker_config.h"

#include <cstdio>

#include "thaw/cli/admin_client.h"

namespace thaw::cli {

namespace {

// As capnp writes text.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  }
  return out + "\"";
}

// "127.0.0.1:8700" of "http://127.0.0.1:8700/client/v4".
std::string authority_of(const std::string& url) {
  const std::size_t host = url.find("://") == std::string::npos ? 0 : url.find("://") + 3;
  return url.substr(host, url.find('/', host) - host);
}

std::string config_of(const std::string& url, const std::string& key) {
  const std::string headers =
      "injectRequestHeaders = [(name = \"Authorization\", value = " + quoted("Bearer " + key) +
      ")]";
  const std::string authority = authority_of(url);
  const std::string host = authority.substr(0, authority.rfind(':'));
  const std::string wire =
      url.rfind("https:", 0) == 0
          ? "https = (options = (" + headers +
                "), tlsOptions = (trustBrowserCas = true), certificateHost = " + quoted(host) + ")"
          : "http = (" + headers + ")";
  return R"(# workerd serve workerd.capnp: worker.js beside this file, at http://127.0.0.1:8787
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "thaw", external = (address = )" +
         quoted(authority) + ", " + wire + R"()),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "main")],
);

const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "AI", wrapped = (
    moduleName = "cloudflare-internal:ai-api",
    innerBindings = [(name = "fetcher", service = "thaw")],
  ))],
);
)";
}

}  // namespace

int show_worker_config(const Where& where, const std::string& token) {
  return ask_and_show(where, {"GET", "/admin/env", ""}, [&](const codec::Json& variables) {
    const std::string key = token.empty() ? variables.value("CLOUDFLARE_API_TOKEN", "") : token;
    std::fputs(config_of(variables.value("CLOUDFLARE_BASE_URL", ""), key).c_str(), stdout);
  });
}

}  // namespace thaw::cli
