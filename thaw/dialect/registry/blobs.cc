// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/blobs.h"

#include <algorithm>

#include "thaw/async/channel.h"
#include "thaw/async/task_group.h"
#include "thaw/codec/oci_manifest.h"
#include "thaw/dialect/registry/byte_range.h"
#include "thaw/dialect/registry/refusal.h"

namespace thaw::dialect::registry {

using async::Task;
using Reader = store::BlobStore::Reader;

namespace {

constexpr std::size_t piece_bytes = 512u << 10;
constexpr std::size_t pieces_waiting = 2;

using Pieces = async::Channel<std::string>;

// Reads ahead, so that the disk and the network work at once.
Task<void> read_all(Reader& reader, Pieces& pieces, Result<void>& outcome) {
  while (true) {
    Result<std::string> piece = co_await reader.read(piece_bytes);
    if (!piece || piece->empty()) {
      outcome = piece ? ok() : Result<void>(piece.error());
      pieces.close();
      co_return ok();
    }
    if (!co_await pieces.send(std::move(*piece))) {
      co_return ok();  // nobody takes them any more
    }
  }
}

Task<void> write_all(net::HttpExchange& exchange, Pieces& pieces) {
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await pieces.receive(Instant::max()));
    if (!piece) {
      co_return ok();
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(*piece)));
  }
}

// Blobs that are read ahead at once; each has 2 MiB here.
constexpr std::size_t most_ahead = 64;
constexpr std::size_t most_ahead_of_one = 16;  // workspace

// One place less among them while it lives.
class Ahead {
 public:
  Ahead(const Context& cx, std::string workspace) : cx_(cx), workspace_(std::move(workspace)) {
    ++cx_.reads_ahead[workspace_];
  }
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;
  ~Ahead() {
    if (const auto mine = cx_.reads_ahead.find(workspace_); --mine->second == 0) {
      cx_.reads_ahead.erase(mine);
    }
  }
  static bool is_full(const Context& cx, const std::string& workspace) {
    std::size_t all = 0;
    for (const auto& [owner, count] : cx.reads_ahead) {
      all += count;
    }
    const auto mine = cx.reads_ahead.find(workspace);
    return all >= most_ahead || (mine != cx.reads_ahead.end() && mine->second >= most_ahead_of_one);
  }

 private:
  const Context& cx_;
  std::string workspace_;
};

// A small piece at a time, for who comes when many read already.
Task<void> send_slowly(net::HttpExchange& exchange, Reader& reader) {
  constexpr std::size_t small = 64u << 10;
  while (true) {
    THAW_CO_TRY(std::string piece, co_await reader.read(small));
    if (piece.empty()) {
      co_return co_await exchange.finish();
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
}

Task<void> send_body(const Context& cx, net::HttpExchange& exchange, std::string workspace,
                     Reader& reader) {
  if (Ahead::is_full(cx, workspace)) {
    co_return co_await send_slowly(exchange, reader);
  }
  const Ahead ahead(cx, std::move(workspace));
  Pieces pieces{async::Capacity{pieces_waiting}};
  Result<void> read;
  async::TaskGroup tasks(cx.owners.loop);
  tasks.start("bytes of a blob", read_all(reader, pieces, read));
  Result<void> written = co_await write_all(exchange, pieces);
  pieces.close();
  co_await async::forget_cancellation();
  THAW_CO_TRY_VOID(co_await tasks.stop());
  THAW_CO_TRY_VOID(written);
  // The head is out: a connection that breaks is all that can be said.
  THAW_CO_TRY_VOID(read);
  co_return co_await exchange.finish();
}

Task<void> send(const Context& cx, net::HttpExchange& exchange, const Asker& asker,
                const model::RepositoryBlob& blob) {
  const std::string owner = asker.workspace().str();
  const net::HttpRequest& request = exchange.request();
  net::Headers headers;
  headers.add("docker-distribution-api-version", "registry/2.0");
  headers.add("docker-content-digest", "sha256:" + blob.sha256_hex);
  headers.add("etag", "\"sha256:" + blob.sha256_hex + "\"");
  headers.add("accept-ranges", "bytes");
  headers.add("content-type", "application/octet-stream");
  using What = AskedRange::What;
  const auto said = request.headers.find("range");
  const AskedRange asked = said ? read_range(*said, blob.size) : AskedRange{};
  if (asked.what == What::none) {
    net::Headers only_size;
    only_size.add("content-range", "bytes */" + std::to_string(blob.size));
    Refusal refusal{416, "SIZE_INVALID", "the blob has " + std::to_string(blob.size) + " bytes"};
    co_return co_await refuse(exchange, std::move(refusal), std::move(only_size));
  }
  const bool is_part = asked.what == What::part;
  const std::uint64_t count = is_part ? asked.range.count : blob.size;
  auto reader = is_part ? cx.owners.blobs.open_part(owner, blob.sha256_hex, asked.range.first,
                                                    asked.range.count)
                        : cx.owners.blobs.open_reader(owner, blob.sha256_hex);
  if (!reader) {
    co_return co_await refuse(exchange, refusal_of(cx, reader.error(), "BLOB_UNKNOWN"));
  }
  if (is_part) {
    const std::uint64_t first = asked.range.first;
    headers.add("content-range", "bytes " + std::to_string(first) + "-" +
                                     std::to_string(first + count - 1) + "/" +
                                     std::to_string(blob.size));
  }
  headers.add("content-length", std::to_string(count));
  THAW_CO_TRY_VOID(co_await exchange.respond(is_part ? 206 : 200, std::move(headers)));
  if (request.method == "HEAD") {
    co_return co_await exchange.finish();
  }
  co_return co_await send_body(cx, exchange, owner, **reader);
}

// Who is told that a blob is there does not send it again, and its manifest comes last: the blob is
// as if it had come with this request. Noted now and then.
Task<void> keep_for_push(const Context& cx, std::string repository, model::RepositoryBlob blob) {
  constexpr Duration note_every = std::chrono::hours(1);
  cx.owners.blobs.keep(blob.workspace.str(), blob.sha256_hex, note_every);
  if (wall_now() - blob.linked_at >= note_every) {
    // A disk that is full keeps nobody from reading.
    (void)co_await cx.owners.registry.repositories().add_blob(blob.workspace, std::move(repository),
                                                              blob.sha256_hex, blob.size);
  }
  co_return ok();
}

}  // namespace

Task<void> serve_blob(const Context& cx, Asker asker, Route route, net::HttpExchange& exchange) {
  const std::string& method = exchange.request().method;
  const auto hex = codec::sha256_of_digest(route.reference);
  if (!hex) {
    co_return co_await refuse(
        exchange, {400, "DIGEST_INVALID", "a digest is sha256: and 64 digits of lower-case hex"});
  }
  const auto blob = cx.owners.registry.blob(asker.workspace(), route.repository, *hex);
  if (!blob) {
    co_return co_await refuse(
        exchange, {404, "BLOB_UNKNOWN",
                   "the repository " + route.repository + " has no blob " + route.reference});
  }
  if (method == "GET" || method == "HEAD") {
    THAW_CO_TRY_VOID(co_await keep_for_push(cx, route.repository, *blob));
    co_return co_await send(cx, exchange, asker, *blob);
  }
  if (method != "DELETE") {
    co_return co_await refuse(exchange, {405, "UNSUPPORTED", "a blob takes no " + method});
  }
  const Result<void> erased = co_await cx.owners.registry.erase_blob(blob);
  if (!erased) {
    Refusal refusal = refusal_of(cx, erased.error(), "UNSUPPORTED");
    refusal.status = erased.error().code() == Code::failed_precondition ? 405 : refusal.status;
    co_return co_await refuse(exchange, std::move(refusal));
  }
  co_return co_await exchange.answer(202, "", "");
}

}  // namespace thaw::dialect::registry
