// SPDX-License-Identifier: Apache-2.0
//
// BlobGate: large payloads by HTTP. A URL is signed for one operation on one content of one owner
// (a workspace) until a time; whoever holds it needs nothing else (the clients send no credentials
// there). An upload's URL is also for one size: more than that is not read, and its owner has the
// content once all of it was sent. An upload that pauses too long has ended. Uploads follow the
// multipart shape of object stores: PUT a part (answer: ETag = quoted MD5 of the body), POST the
// completion (answer contains the MD5 of the part digests). Contents are named by their SHA-256,
// which is checked before anything is kept.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>

#include "thaw/gateway/signed_url.h"
#include "thaw/net/http.h"
#include "thaw/store/blob_store.h"

namespace thaw::gateway {

struct UploadUrls {
  std::string part;
  std::string completion;
};

class BlobGate {
 public:
  // What a client is told of an Error.
  using Told = std::function<std::string(const Error&)>;
  // The parts outlive the gate.
  BlobGate(store::BlobStore& blobs, const store::SecretBox& box, Told told)
      : blobs_(blobs), urls_(box, "blob-url", std::chrono::hours(1)), told_(std::move(told)) {}

  // `base`: how the asker reaches this server.
  // `size`: what the uploader promised; its address takes no byte more.
  UploadUrls upload_urls(const BaseUrl& base, const std::string& owner,
                         const std::string& sha256_hex, std::uint64_t size) const;
  std::string download_url(const BaseUrl& base, const std::string& owner,
                           const std::string& sha256_hex) const;

  // Whether this server has signed the address.
  bool is_genuine(const net::HttpRequest& request) const {
    return urls_.is_genuine(request.target);
  }
  // Serves /blobs/….
  async::Task<void> serve(net::HttpExchange& exchange);

 private:
  // What an address is for, as its query says.
  struct Ticket {
    std::string operation;
    std::string owner;
    std::string sha256_hex;
    std::string size;  // of an upload
  };
  async::Task<void> serve_ticket(net::HttpExchange& exchange, Ticket ticket);
  async::Task<void> put(net::HttpExchange& exchange, Ticket ticket);
  async::Task<void> complete(net::HttpExchange& exchange, Ticket ticket);
  async::Task<void> get(net::HttpExchange& exchange, Ticket ticket);
  std::string url(const BaseUrl& base, const Ticket& ticket) const;
  static Ticket ticket_of(const net::HttpRequest& request);

  store::BlobStore& blobs_;
  SignedUrls urls_;
  Told told_;
  // Of uploads not yet completed, by owner and content; bounded.
  std::unordered_map<std::string, std::string> part_md5_;
};

}  // namespace thaw::gateway
