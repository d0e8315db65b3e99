// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/callback_sender.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "thaw/async/blocking.h"
#include "thaw/codec/encoding.h"
#include "thaw/gateway/callback_dialect.h"

namespace thaw::gateway {

namespace {

constexpr Duration resolve_limit = std::chrono::seconds(5);
constexpr Duration try_limit = std::chrono::seconds(20);
constexpr std::size_t answer_bytes = 4u << 10;
constexpr std::string_view secret_prefix = "whsec_";

// Of a large body where nobody waits for the loop.
async::Task<std::string> signature_of(async::PoolShare at, std::string secret, std::string id,
                                      std::int64_t seconds,
                                      std::shared_ptr<const std::string> body) {
  auto sign = [secret = std::move(secret), id = std::move(id), seconds, body] {
    return Result<std::string>(callback_signature(secret, id, seconds, *body));
  };
  if (body->size() <= most_bytes_on_loop) {
    co_return sign();
  }
  co_return co_await async::blocking(std::move(at), std::move(sign));
}

}  // namespace

std::string callback_secret(const store::SecretBox& box, const model::WorkspaceId& workspace) {
  const auto key = codec::hex_decode(box.sign("callbacks of a workspace", workspace.str()));
  return std::string(secret_prefix) + codec::base64_encode(key.value_or(std::string()));
}

std::string callback_signature(const std::string& secret, const std::string& id,
                               std::int64_t unix_seconds, const std::string& body) {
  const std::string key =
      codec::base64_decode(secret.substr(secret_prefix.size())).value_or(std::string());
  const std::string text = id + "." + std::to_string(unix_seconds) + "." + body;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest, &size);
  return "v1," + codec::base64_encode({reinterpret_cast<const char*>(digest), size});
}

async::Task<CallbackAnswer> WebCallbackSender::send(CallbackMessage message) {
  using Kind = CallbackAnswer::Kind;
  auto url = net::parse_web_url(message.sink);
  if (!url) {
    co_return CallbackAnswer{Kind::never, url.error().message()};
  }
  auto addresses = co_await resolver_.resolve(url->host, message.workspace.str(), resolve_limit);
  if (!addresses) {
    if (addresses.error().code() == Code::cancelled) {
      co_return addresses.error();
    }
    if (addresses.error().code() == Code::resource_exhausted) {
      co_return CallbackAnswer{Kind::untried, addresses.error().message()};
    }
    co_return CallbackAnswer{Kind::later, addresses.error().message()};
  }
  if (net::IpAddress::parse(url->host)) {
    if (const auto judged = rules_.judge(*url, addresses->front()); !judged) {
      co_return CallbackAnswer{Kind::never, judged.error().message()};
    }
  }
  // What a name stands for may be another thing tomorrow, and its callers need not learn what it
  // is here.
  std::erase_if(*addresses, [&](const net::IpAddress& address) {
    return !rules_.judge(*url, address).has_value();
  });
  if (addresses->empty()) {
    co_return CallbackAnswer{
        Kind::later, "callbacks are not sent to " + url->host +
                         " for what its name stands for here; whoever runs this server may "
                         "allow it with [callbacks] allow = [\"" +
                         url->host + ":" + std::to_string(url->port) + "\"] in its configuration"};
  }
  const WallTime now = wall_now();
  const std::int64_t seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  auto body = std::make_shared<std::string>(std::move(message.body));
  const async::PoolShare share{pool_, message.workspace.str()};
  THAW_CO_TRY(std::string signature,
              co_await signature_of(share, callback_secret(box_, message.workspace), message.id,
                                    seconds, body));
  net::WebRequest request;
  request.headers = std::move(message.headers);
  request.headers.emplace_back("content-type", message.content_type);
  request.headers.emplace_back("user-agent", "thaw-callbacks");
  request.headers.emplace_back("webhook-id", message.id);
  request.headers.emplace_back("webhook-timestamp", std::to_string(seconds));
  request.headers.emplace_back("webhook-signature", std::move(signature));
  request.may_connect = [rules = rules_, url = *url](const net::IpAddress& address) {
    return rules.judge(url, address).has_value();
  };
  request.url = std::move(*url);
  request.addresses = std::move(*addresses);
  request.body = std::move(*body);
  request.limit = try_limit;
  request.answer_bytes = answer_bytes;
  const Result<net::WebAnswer> answer = co_await client_.post(std::move(request));
  if (!answer) {
    switch (answer.error().code()) {
      case Code::cancelled: co_return answer.error();
      case Code::invalid_argument: co_return CallbackAnswer{Kind::never, answer.error().message()};
      default: co_return CallbackAnswer{Kind::later, answer.error().message()};
    }
  }
  co_return judge_status(answer->status, answer->headers.find("retry-after").value_or(""), now);
}

}  // namespace thaw::gateway
