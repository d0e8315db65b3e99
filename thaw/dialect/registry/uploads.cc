// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/uploads.h"

#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/codec/oci_manifest.h"
#include "thaw/dialect/registry/byte_range.h"
#include "thaw/dialect/registry/refusal.h"

namespace thaw::dialect::registry {

using async::Task;
using Upload = gateway::ImageUploads::UploadPtr;

namespace {

constexpr const char* invalid_upload = "BLOB_UPLOAD_INVALID";

Task<void> refuse_digest(net::HttpExchange& exchange) {
  co_return co_await refuse(
      exchange, {400, "DIGEST_INVALID", "digest is to be sha256: and 64 digits of lower-case hex"});
}

std::string place_of(const Upload& upload) {
  return "/v2/" + upload->repository + "/blobs/uploads/" + upload->id;
}

// Where it is, and how far it has come.
net::Headers headers_of(const Upload& upload) {
  net::Headers headers;
  headers.add("location", place_of(upload));
  headers.add("range", "0-" + std::to_string(upload->size == 0 ? 0 : upload->size - 1));
  headers.add("docker-upload-uuid", upload->id);
  return headers;
}

Task<void> answer(net::HttpExchange& exchange, int status, net::Headers headers) {
  headers.add("docker-distribution-api-version", "registry/2.0");
  if (status != 204) {
    headers.add("content-length", "0");
  }
  co_return co_await exchange.respond_whole(status, std::move(headers), "");
}

Task<void> answer_blob(net::HttpExchange& exchange, std::string repository, std::string digest) {
  net::Headers headers;
  headers.add("location", "/v2/" + repository + "/blobs/" + digest);
  headers.add("docker-content-digest", std::move(digest));
  co_return co_await answer(exchange, 201, std::move(headers));
}

// What the request has is what comes next; else it is answered, and false.
Task<bool> is_next(net::HttpExchange& exchange, const Upload& upload) {
  const auto said = exchange.request().headers.find("content-range");
  if (!said) {
    co_return true;
  }
  const auto range = read_content_range(*said);
  if (!range || range->first != upload->size) {
    Refusal refusal{416, invalid_upload,
                    "the upload has " + std::to_string(upload->size) +
                        " bytes, and the next piece begins there"};
    THAW_CO_TRY_VOID(co_await refuse(exchange, std::move(refusal), headers_of(upload)));
    co_return false;
  }
  const auto length = exchange.request().headers.find("content-length");
  if (length && *length != std::to_string(range->count)) {
    Refusal refusal{400, "SIZE_INVALID", "Content-Range and Content-Length differ"};
    THAW_CO_TRY_VOID(co_await refuse(exchange, std::move(refusal), headers_of(upload)));
    co_return false;
  }
  co_return true;
}

// Takes the body, and ends the upload.
Task<void> finish(const Context& cx, net::HttpExchange& exchange, Upload upload,
                  std::string digest) {
  const auto hex = codec::sha256_of_digest(digest);
  if (!hex) {
    co_return co_await refuse_digest(exchange);
  }
  Result<void> done = co_await cx.owners.registry.uploads().receive(upload, exchange);
  if (done) {
    done = co_await cx.owners.registry.finish(upload, *hex);
  }
  if (done) {
    co_return co_await answer_blob(exchange, upload->repository, std::move(digest));
  }
  if (done.error().code() == Code::cancelled) {
    co_return done;
  }
  const bool is_another = done.error().code() == Code::invalid_argument;
  co_return co_await refuse(
      exchange, refusal_of(cx, done.error(), is_another ? "DIGEST_INVALID" : invalid_upload));
}

Task<bool> mount(const Context& cx, const Asker& asker, const Route& route, std::string from,
                 std::string digest) {
  const auto hex = codec::sha256_of_digest(digest);
  if (!hex || from.empty() || !asker.may(from, {.pull = true})) {
    co_return false;
  }
  co_return co_await cx.owners.registry.mount(asker.workspace(), std::move(from), route.repository,
                                              *hex);
}

Task<void> begin(const Context& cx, const Asker& asker, const Route& route,
                 net::HttpExchange& exchange) {
  const std::string query(exchange.request().query());
  const std::string mounted = codec::query_value(query, "mount");
  if (!mounted.empty()) {
    const Result<bool> is_there =
        co_await mount(cx, asker, route, codec::query_value(query, "from"), mounted);
    if (!is_there) {
      co_return co_await refuse(exchange, refusal_of(cx, is_there.error(), invalid_upload));
    }
    if (*is_there) {
      co_return co_await answer_blob(exchange, route.repository, mounted);
    }
  }
  const std::string digest = codec::query_value(query, "digest");
  if (!digest.empty() && !codec::sha256_of_digest(digest)) {
    co_return co_await refuse_digest(exchange);
  }
  auto upload = cx.owners.registry.uploads().begin(asker.workspace(), route.repository);
  if (!upload) {
    Refusal refusal = refusal_of(cx, upload.error(), invalid_upload);
    if (upload.error().code() == Code::resource_exhausted) {
      refusal.status = 429;
      refusal.code = "TOOMANYREQUESTS";
    }
    co_return co_await refuse(exchange, std::move(refusal));
  }
  if (digest.empty()) {
    co_return co_await answer(exchange, 202, headers_of(*upload));
  }
  Result<void> done = co_await finish(cx, exchange, *upload, digest);
  // Nobody knows its name: what came of it is for nobody.
  cx.owners.registry.uploads().cancel(*upload);
  co_return done;
}

Task<void> append(const Context& cx, net::HttpExchange& exchange, Upload upload) {
  THAW_CO_TRY(const bool may_go_on, co_await is_next(exchange, upload));
  if (!may_go_on) {
    co_return ok();
  }
  const std::uint64_t before = upload->size;
  Result<void> done = co_await cx.owners.registry.uploads().receive(upload, exchange);
  if (!done && done.error().code() == Code::cancelled) {
    co_return done;
  }
  const auto said = exchange.request().headers.find("content-range");
  const auto range = said ? read_content_range(*said) : std::nullopt;
  if (done && range && upload->size - before != range->count) {
    Refusal refusal{400, "SIZE_INVALID",
                    "other bytes came than Content-Range says; they are in the upload, which has " +
                        std::to_string(upload->size)};
    co_return co_await refuse(exchange, std::move(refusal), headers_of(upload));
  }
  if (!done) {
    co_return co_await refuse(exchange, refusal_of(cx, done.error(), invalid_upload));
  }
  co_return co_await answer(exchange, 202, headers_of(upload));
}

Task<void> end(const Context& cx, net::HttpExchange& exchange, Upload upload) {
  const std::string digest = codec::query_value(exchange.request().query(), "digest");
  THAW_CO_TRY(const bool may_go_on, co_await is_next(exchange, upload));
  if (!may_go_on) {
    co_return ok();
  }
  co_return co_await finish(cx, exchange, std::move(upload), digest);
}

}  // namespace

Task<void> serve_uploads(const Context& cx, Asker asker, Route route, net::HttpExchange& exchange) {
  if (exchange.request().method != "POST") {
    co_return co_await refuse(exchange, {405, "UNSUPPORTED", "an upload is begun by POST"});
  }
  co_return co_await begin(cx, asker, route, exchange);
}

Task<void> serve_upload(const Context& cx, Asker asker, Route route, net::HttpExchange& exchange) {
  gateway::ImageUploads& uploads = cx.owners.registry.uploads();
  const Upload upload = uploads.find(asker.workspace(), route.repository, route.reference);
  if (!upload) {
    co_return co_await refuse(
        exchange, {404, "BLOB_UPLOAD_UNKNOWN",
                   "there is no such upload of this repository: it has ended, or nothing came of "
                   "it for long, or the server began anew; begin another one"});
  }
  const std::string& method = exchange.request().method;
  if (method == "PATCH") {
    co_return co_await append(cx, exchange, upload);
  }
  if (method == "PUT") {
    co_return co_await end(cx, exchange, upload);
  }
  if (method == "GET" || method == "HEAD") {
    co_return co_await answer(exchange, 204, headers_of(upload));
  }
  if (method == "DELETE") {
    uploads.cancel(upload);
    co_return co_await answer(exchange, 204, {});
  }
  co_return co_await refuse(exchange, {405, "UNSUPPORTED", "an upload takes no " + method});
}

}  // namespace thaw::dialect::registry
