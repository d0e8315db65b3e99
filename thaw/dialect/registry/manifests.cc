// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/manifests.h"

#include <algorithm>

#include "thaw/catalog/repositories.h"
#include "thaw/codec/oci_manifest.h"
#include "thaw/dialect/registry/refusal.h"
#include "thaw/image/image_manifest.h"
#include "thaw/image/image_name.h"

namespace thaw::dialect::registry {

using async::Task;
using catalog::Repositories;

namespace {

Refusal unknown(const Route& route) {
  return {404, "MANIFEST_UNKNOWN",
          "the repository " + route.repository + " has no manifest '" +
              route.reference.substr(0, 200) + "'"};
}

Task<void> send(const Context& cx, net::HttpExchange& exchange, const Asker& asker,
                Repositories::Manifest manifest) {
  net::Headers headers;
  headers.add("docker-distribution-api-version", "registry/2.0");
  headers.add("docker-content-digest", "sha256:" + manifest->sha256_hex);
  headers.add("etag", "\"sha256:" + manifest->sha256_hex + "\"");
  headers.add("content-type", manifest->media_type);
  headers.add("content-length", std::to_string(manifest->size));
  // Before anything waits: it may be deleted meanwhile. Who sees it may name it in an index soon.
  (void)co_await cx.owners.registry.repositories().note_use(manifest);
  if (exchange.request().method == "HEAD") {
    co_return co_await exchange.respond_whole(200, std::move(headers), "");
  }
  Result<std::string> bytes =
      co_await cx.owners.blobs.get(asker.workspace().str(), manifest->sha256_hex);
  if (!bytes) {
    co_return co_await refuse(exchange, refusal_of(cx, bytes.error(), "MANIFEST_UNKNOWN"));
  }
  co_return co_await exchange.respond_whole(200, std::move(headers), std::move(*bytes));
}

// What a push of a manifest can fail for, in the protocol's words.
Refusal refusal_of_push(const Context& cx, const Error& error) {
  switch (error.code()) {
    case Code::aborted: return {400, "DIGEST_INVALID", error.message()};
    case Code::failed_precondition: return {404, "MANIFEST_BLOB_UNKNOWN", error.message()};
    default: return refusal_of(cx, error, "MANIFEST_INVALID");
  }
}

// For who pushed: more was to be made of the image, and was not.
std::string warning_of(const Context& cx, const Error& error) {
  constexpr std::size_t longest = 500;
  std::string text = cx.owners.registry.told(error).substr(0, longest);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~' || c == '"' || c == '\\'; },
      '\'');
  return "299 - \"" + text + "\"";
}

Task<void> take(const Context& cx, net::HttpExchange& exchange, const Asker& asker, Route route) {
  const bool is_by_digest = codec::sha256_of_digest(route.reference).has_value();
  if (!is_by_digest && !image::is_tag(route.reference)) {
    co_return co_await refuse(
        exchange,
        {400, route.reference.find(':') == std::string::npos ? "TAG_INVALID" : "DIGEST_INVALID",
         "a tag is 1 to 128 letters, digits, '_', '.' and '-', and begins with neither "
         "'.' nor '-'; a digest is sha256: and 64 digits of lower-case hex"});
  }
  Result<std::string> bytes = co_await exchange.read_all(image::most_manifest_bytes);
  if (!bytes && bytes.error().code() == Code::cancelled) {
    co_return bytes.error();
  }
  if (!bytes) {
    co_return co_await refuse(exchange, refusal_of(cx, bytes.error(), "MANIFEST_INVALID"));
  }
  gateway::OwnRegistry::Push push;
  push.workspace = asker.workspace();
  push.repository = route.repository;
  push.reference = route.reference;
  push.content_type = exchange.request().headers.find("content-type").value_or("");
  push.bytes = std::move(*bytes);
  const Result<model::RepositoryManifest> pushed =
      co_await cx.owners.registry.push(std::move(push));
  if (!pushed) {
    co_return co_await refuse(exchange, refusal_of_push(cx, pushed.error()));
  }
  net::Headers headers;
  headers.add("docker-distribution-api-version", "registry/2.0");
  headers.add("location", "/v2/" + route.repository + "/manifests/sha256:" + pushed->sha256_hex);
  headers.add("docker-content-digest", "sha256:" + pushed->sha256_hex);
  if (!pushed->subject.empty()) {
    headers.add("oci-subject", "sha256:" + pushed->subject);
  }
  if (!is_by_digest) {
    gateway::TakenImage image{asker.who, route.repository, pushed->sha256_hex};
    const Result<void> taken = co_await cx.taker.take(std::move(image));
    if (!taken && taken.error().code() == Code::cancelled) {
      co_return taken;
    }
    if (!taken) {
      headers.add("warning", warning_of(cx, taken.error()));
    }
  }
  headers.add("content-length", "0");
  co_return co_await exchange.respond_whole(201, std::move(headers), "");
}

// By its digest the manifest and all its tags; by a tag that tag.
Task<void> erase(const Context& cx, net::HttpExchange& exchange, const Route& route,
                 Repositories::Manifest manifest) {
  Repositories& repositories = cx.owners.registry.repositories();
  const Result<void> erased =
      codec::sha256_of_digest(route.reference)
          ? co_await repositories.erase_manifest(manifest)
          : co_await repositories.erase_tag(manifest->repository, route.reference);
  if (!erased) {
    co_return co_await refuse(exchange, refusal_of(cx, erased.error(), "MANIFEST_INVALID"));
  }
  co_return co_await exchange.answer(202, "", "");
}

}  // namespace

Task<void> serve_manifest(const Context& cx, Asker asker, Route route,
                          net::HttpExchange& exchange) {
  const std::string& method = exchange.request().method;
  if (method == "PUT") {
    co_return co_await take(cx, exchange, asker, std::move(route));
  }
  if (method != "GET" && method != "HEAD" && method != "DELETE") {
    co_return co_await refuse(exchange, {405, "UNSUPPORTED", "a manifest takes no " + method});
  }
  const auto manifest =
      cx.owners.registry.find_manifest(asker.workspace(), route.repository, route.reference);
  if (!manifest) {
    co_return co_await refuse(exchange, unknown(route));
  }
  if (method == "DELETE") {
    co_return co_await erase(cx, exchange, route, manifest);
  }
  co_return co_await send(cx, exchange, asker, manifest);
}

}  // namespace thaw::dialect::registry
