// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/blob_gate.h"

#include <openssl/evp.h>

#include <charconv>

#include "thaw/async/within.h"
#include "thaw/base/time.h"
#include "thaw/codec/encoding.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t open_uploads_limit = 10'000;
constexpr Duration longest_pause = 2min;  // of a sender, in the middle of an upload

// What object stores name a multipart upload: the MD5 of the parts' binary MD5s, and their number.
std::string multipart_etag(const std::string& part_md5_hex) {
  const auto bytes = codec::hex_decode(part_md5_hex);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(bytes->data(), bytes->size(), digest, &size, EVP_md5(), nullptr);
  return codec::hex_encode({reinterpret_cast<const char*>(digest), size}) + "-1";
}

std::string too_long(std::uint64_t size) {
  return "the body is longer than the " + std::to_string(size) +
         " bytes that this address was asked for\n";
}

}  // namespace

std::string BlobGate::url(const BaseUrl& base, const Ticket& ticket) const {
  return urls_.make(base, "/blobs/" + ticket.sha256_hex + "?op=" + ticket.operation + "&for=" +
                              ticket.owner + (ticket.size.empty() ? "" : "&size=" + ticket.size));
}

UploadUrls BlobGate::upload_urls(const BaseUrl& base, const std::string& owner,
                                 const std::string& sha256_hex, std::uint64_t size) const {
  return {url(base, {"put", owner, sha256_hex, std::to_string(size)}),
          url(base, {"complete", owner, sha256_hex, ""})};
}

std::string BlobGate::download_url(const BaseUrl& base, const std::string& owner,
                                   const std::string& sha256_hex) const {
  return url(base, {"get", owner, sha256_hex, ""});
}

BlobGate::Ticket BlobGate::ticket_of(const net::HttpRequest& request) {
  const std::string_view path = request.path();
  return {codec::query_value(request.query(), "op"), codec::query_value(request.query(), "for"),
          std::string(path.substr(std::min(path.size(), std::string_view("/blobs/").size()))),
          codec::query_value(request.query(), "size")};
}

async::Task<void> BlobGate::serve(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  const Ticket ticket = ticket_of(request);
  if (!is_genuine(request)) {
    co_return co_await exchange.answer(403, "text/plain", "the URL's signature is not valid\n");
  }
  if (SignedUrls::has_expired(request.target)) {
    co_return co_await exchange.answer(403, "text/plain",
                                       "the URL has expired; ask for a new one\n");
  }
  Result<void> served = co_await serve_ticket(exchange, ticket);
  if (served || exchange.responded() || served.error().code() == Code::cancelled) {
    co_return served;
  }
  const Code code = served.error().code();
  const int status = code == Code::resource_exhausted ? 507 : net::http_status(code);
  co_return co_await exchange.answer(status, "text/plain", told_(served.error()) + "\n");
}

async::Task<void> BlobGate::serve_ticket(net::HttpExchange& exchange, Ticket ticket) {
  const net::HttpRequest& request = exchange.request();
  if (ticket.operation == "put" && request.method == "PUT") {
    co_return co_await put(exchange, ticket);
  }
  if (ticket.operation == "complete" && request.method == "POST") {
    co_return co_await complete(exchange, ticket);
  }
  if (ticket.operation == "get" && (request.method == "GET" || request.method == "HEAD")) {
    co_return co_await get(exchange, ticket);
  }
  co_return co_await exchange.answer(405, "text/plain", "the URL is for another method\n");
}

async::Task<void> BlobGate::put(net::HttpExchange& exchange, Ticket ticket) {
  std::uint64_t size = 0;  // signed: it is a number as url() wrote it
  std::from_chars(ticket.size.data(), ticket.size.data() + ticket.size.size(), size);
  std::uint64_t received = 0;
  if (const auto length = exchange.request().headers.find("content-length")) {
    std::from_chars(length->data(), length->data() + length->size(), received);
    if (received > size) {
      co_return co_await exchange.answer(413, "text/plain", too_long(size));
    }
    received = 0;
  }
  THAW_CO_TRY(const std::unique_ptr<store::BlobStore::Writer> writer, blobs_.create(ticket.owner));
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece,
                co_await async::within(longest_pause, exchange.read()));
    if (!piece) {
      break;
    }
    received += piece->size();
    if (received > size) {
      co_return co_await exchange.answer(413, "text/plain", too_long(size));
    }
    THAW_CO_TRY_VOID(co_await writer->write(std::move(*piece)));
  }
  THAW_CO_TRY(const store::StoredBlob stored, co_await writer->finish(ticket.sha256_hex));
  if (part_md5_.size() >= open_uploads_limit) {
    part_md5_.clear();  // completions then recompute the digest
  }
  part_md5_[ticket.owner + " " + ticket.sha256_hex] = stored.md5_hex;
  net::Headers headers;
  headers.add("etag", "\"" + stored.md5_hex + "\"");
  headers.add("content-length", "0");
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  co_return co_await exchange.finish();
}

async::Task<void> BlobGate::complete(net::HttpExchange& exchange, Ticket ticket) {
  THAW_CO_TRY([[maybe_unused]] const std::string parts, co_await exchange.read_all(1 << 20));
  const auto found = part_md5_.find(ticket.owner + " " + ticket.sha256_hex);
  std::string md5_hex;
  if (found != part_md5_.end()) {
    md5_hex = std::move(found->second);
    part_md5_.erase(found);
  } else {
    if (!blobs_.contains(ticket.owner, ticket.sha256_hex)) {
      co_return co_await exchange.answer(404, "text/plain", "no part was uploaded\n");
    }
    THAW_CO_TRY(md5_hex, co_await blobs_.md5_of(ticket.owner, ticket.sha256_hex));
  }
  const std::string etag = multipart_etag(md5_hex);
  co_return co_await exchange.answer(200, "application/xml",
                                     "<CompleteMultipartUploadResult><ETag>\"" + etag +
                                         "\"</ETag></CompleteMultipartUploadResult>");
}

async::Task<void> BlobGate::get(net::HttpExchange& exchange, Ticket ticket) {
  THAW_CO_TRY(const auto reader, blobs_.open_reader(ticket.owner, ticket.sha256_hex));
  net::Headers headers;
  headers.add("content-type", "application/octet-stream");
  headers.add("content-length", std::to_string(reader->size()));
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  while (exchange.request().method != "HEAD") {
    THAW_CO_TRY(std::string piece, co_await reader->read(256 << 10));
    if (piece.empty()) {
      break;
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
  co_return co_await exchange.finish();
}

}  // namespace thaw::gateway
