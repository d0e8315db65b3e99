// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/blob_gate.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <charconv>

#include "thaw/base/time.h"
#include "thaw/codec/encoding.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t open_uploads_limit = 10'000;
constexpr std::int64_t url_lifetime_s = 3600;

std::int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch()).count();
}

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

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

std::string BlobGate::signature_of(const std::string& operation, const std::string& sha256_hex,
                                   const std::string& size, const std::string& expiry) const {
  return box_.sign("blob-url", operation + " " + sha256_hex + " " + size + " " + expiry);
}

std::string BlobGate::url(const std::string& authority, const std::string& operation,
                          const std::string& sha256_hex, const std::string& size) const {
  const std::string expiry = std::to_string(unix_seconds() + url_lifetime_s);
  return "http://" + authority + "/blobs/" + sha256_hex + "?op=" + operation +
         (size.empty() ? "" : "&size=" + size) + "&until=" + expiry +
         "&sig=" + signature_of(operation, sha256_hex, size, expiry);
}

UploadUrls BlobGate::upload_urls(const std::string& authority, const std::string& sha256_hex,
                                 std::uint64_t size) const {
  return {url(authority, "put", sha256_hex, std::to_string(size)),
          url(authority, "complete", sha256_hex, "")};
}

std::string BlobGate::download_url(const std::string& authority,
                                   const std::string& sha256_hex) const {
  return url(authority, "get", sha256_hex, "");
}

bool BlobGate::is_genuine(const net::HttpRequest& request) const {
  const std::string_view path = request.path();
  const std::string sha256_hex(
      path.substr(std::min(path.size(), std::string_view("/blobs/").size())));
  const std::string signature = codec::query_value(request.query(), "sig");
  const std::string expected = signature_of(codec::query_value(request.query(), "op"), sha256_hex,
                                            codec::query_value(request.query(), "size"),
                                            codec::query_value(request.query(), "until"));
  return is_sha256_hex(sha256_hex) && signature.size() == expected.size() &&
         CRYPTO_memcmp(signature.data(), expected.data(), expected.size()) == 0;
}

async::Task<void> BlobGate::serve(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  const std::string_view path = request.path();
  const std::string sha256_hex(
      path.substr(std::min(path.size(), std::string_view("/blobs/").size())));
  const std::string operation = codec::query_value(request.query(), "op");
  const std::string expiry = codec::query_value(request.query(), "until");
  std::int64_t until = 0;
  std::from_chars(expiry.data(), expiry.data() + expiry.size(), until);
  const std::string size = codec::query_value(request.query(), "size");
  if (!is_genuine(request)) {
    co_return co_await exchange.answer(403, "text/plain", "the URL's signature is not valid\n");
  }
  if (until < unix_seconds()) {
    co_return co_await exchange.answer(403, "text/plain",
                                       "the URL has expired; ask for a new one\n");
  }
  if (operation == "put" && request.method == "PUT") {
    std::uint64_t promised = 0;  // signed: it is a number as url() wrote it
    std::from_chars(size.data(), size.data() + size.size(), promised);
    co_return co_await put(exchange, sha256_hex, promised);
  }
  if (operation == "complete" && request.method == "POST") {
    co_return co_await complete(exchange, sha256_hex);
  }
  if (operation == "get" && (request.method == "GET" || request.method == "HEAD")) {
    co_return co_await get(exchange, sha256_hex);
  }
  co_return co_await exchange.answer(405, "text/plain", "the URL is for another method\n");
}

async::Task<void> BlobGate::put(net::HttpExchange& exchange, std::string sha256_hex,
                                std::uint64_t size) {
  std::uint64_t received = 0;
  if (const auto length = exchange.request().headers.find("content-length")) {
    std::from_chars(length->data(), length->data() + length->size(), received);
    if (received > size) {
      co_return co_await exchange.answer(413, "text/plain", too_long(size));
    }
    received = 0;
  }
  THAW_CO_TRY(const std::unique_ptr<store::BlobStore::Writer> writer, blobs_.create());
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      break;
    }
    received += piece->size();
    if (received > size) {
      co_return co_await exchange.answer(413, "text/plain", too_long(size));
    }
    THAW_CO_TRY_VOID(co_await writer->write(std::move(*piece)));
  }
  const auto stored = co_await writer->finish(sha256_hex);
  if (!stored) {
    co_return co_await exchange.answer(400, "text/plain", stored.error().to_string() + "\n");
  }
  if (part_md5_.size() >= open_uploads_limit) {
    part_md5_.clear();  // completions then recompute the digest
  }
  part_md5_[sha256_hex] = stored->md5_hex;
  net::Headers headers;
  headers.add("etag", "\"" + stored->md5_hex + "\"");
  headers.add("content-length", "0");
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  co_return co_await exchange.finish();
}

async::Task<void> BlobGate::complete(net::HttpExchange& exchange, std::string sha256_hex) {
  THAW_CO_TRY([[maybe_unused]] const std::string parts, co_await exchange.read_all(1 << 20));
  const auto found = part_md5_.find(sha256_hex);
  if (found == part_md5_.end()) {
    if (!blobs_.contains(sha256_hex)) {
      co_return co_await exchange.answer(404, "text/plain", "no part was uploaded\n");
    }
    THAW_CO_TRY(std::string bytes, co_await blobs_.get(sha256_hex));
    THAW_CO_TRY(const store::StoredBlob again, co_await blobs_.put(std::move(bytes)));
    part_md5_[sha256_hex] = again.md5_hex;
  }
  const std::string etag = multipart_etag(part_md5_[sha256_hex]);
  part_md5_.erase(sha256_hex);
  co_return co_await exchange.answer(200, "application/xml",
                                     "<CompleteMultipartUploadResult><ETag>\"" + etag +
                                         "\"</ETag></CompleteMultipartUploadResult>");
}

async::Task<void> BlobGate::get(net::HttpExchange& exchange, std::string sha256_hex) {
  auto reader = blobs_.open_reader(sha256_hex);
  if (!reader) {
    co_return co_await exchange.answer(404, "text/plain", reader.error().to_string() + "\n");
  }
  net::Headers headers;
  headers.add("content-type", "application/octet-stream");
  headers.add("content-length", std::to_string((*reader)->size()));
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  while (exchange.request().method != "HEAD") {
    THAW_CO_TRY(std::string piece, co_await (*reader)->read(256 << 10));
    if (piece.empty()) {
      break;
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
  co_return co_await exchange.finish();
}

}  // namespace thaw::gateway
