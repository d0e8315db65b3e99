// SPDX-License-Identifier: Apache-2.0
//
// CallbackSender: one try of one callback, over HTTP or HTTPS. The host's addresses are asked for
// once, each is judged, and one of these very addresses is connected to. A message carries the
// headers of the Standard Webhooks convention: webhook-id (the same at each try), webhook-timestamp
// and webhook-signature, "v1," and the base64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY" by the secret
// of the call's workspace. Loop thread only.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "thaw/async/pool.h"
#include "thaw/async/task.h"
#include "thaw/gateway/callback_rules.h"
#include "thaw/gateway/sink_rules.h"
#include "thaw/model/ids.h"
#include "thaw/net/resolver.h"
#include "thaw/net/web_client.h"
#include "thaw/store/secret_box.h"

namespace thaw::gateway {

struct CallbackMessage {
  std::string id;
  model::WorkspaceId workspace;
  std::string sink;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

class CallbackSender {
 public:
  virtual ~CallbackSender() = default;
  // An Error: it was not tried (the server ends).
  virtual async::Task<CallbackAnswer> send(CallbackMessage message) = 0;
};

// With which a workspace's callbacks are signed, as its receivers get it: "whsec_" and base64. It
// follows from the data folder's key.
std::string callback_secret(const store::SecretBox& box, const model::WorkspaceId& workspace);
// "v1,…"
std::string callback_signature(const std::string& secret, const std::string& id,
                               std::int64_t unix_seconds, const std::string& body);

class WebCallbackSender final : public CallbackSender {
 public:
  // All outlive it.
  WebCallbackSender(async::Pool& pool, net::WebClient& client, net::Resolver& resolver,
                    const store::SecretBox& box, const SinkRules& rules)
      : pool_(pool), client_(client), resolver_(resolver), box_(box), rules_(rules) {}

  async::Task<CallbackAnswer> send(CallbackMessage message) override;

 private:
  async::Pool& pool_;
  net::WebClient& client_;
  net::Resolver& resolver_;
  const store::SecretBox& box_;
  const SinkRules& rules_;
};

}  // namespace thaw::gateway
