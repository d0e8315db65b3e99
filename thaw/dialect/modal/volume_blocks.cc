// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/volume_blocks.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "thaw/async/within.h"
#include "thaw/codec/encoding.h"
#include "thaw/worker/volume_upload.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

constexpr std::size_t piece_size = 256 << 10;
constexpr Duration longest_pause = 2min;  // of a sender, in the middle of a block
std::string target_of(const model::VolumeId& volume, const std::string& query) {
  return "/volumes/" + volume.str() + "?" + query;
}

std::uint64_t number(const net::HttpRequest& request, std::string_view name) {
  const std::string text = codec::query_value(request.query(), name);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

Task<void> receive(Context& cx, net::HttpExchange& exchange, model::VolumeId id,
                   std::shared_ptr<worker::BlockWriter> writer) {
  while (true) {
    std::string held;
    bool ended = false;
    while (!ended && held.size() < piece_size) {
      THAW_CO_TRY(std::optional<std::string> piece,
                  co_await async::within(longest_pause, exchange.read()));
      ended = !piece;
      held += piece.value_or("");
    }
    auto work = [writer, held = std::move(held), ended]() -> Result<void> {
      THAW_TRY_VOID(writer->append(held));
      return ended ? writer->finish() : ok();
    };
    THAW_CO_TRY_VOID(co_await cx.parts.volumes.run_apart(id, std::move(work)));
    if (ended) {
      co_return ok();
    }
  }
}

int status_of(const Error& error) {
  switch (error.code()) {
    case Code::resource_exhausted: return 507;
    case Code::out_of_range: return 413;
    case Code::aborted: return 409;
    default: return net::http_status(error.code());
  }
}

Task<void> put(Context& cx, net::HttpExchange& exchange, model::VolumeId id) {
  const std::string name = codec::query_value(exchange.request().query(), "name");
  if (const Result<void> room =
          cx.parts.volumes.check_space(id, number(exchange.request(), "most"));
      !room) {
    co_return co_await exchange.answer(status_of(room.error()), "text/plain",
                                       room.error().message() + "\n");
  }
  auto begin =
      [name, most = number(exchange.request(), "most")](
          const worker::VolumeFolder& volume) -> Result<std::shared_ptr<worker::BlockWriter>> {
    worker::VolumeFolder own;
    own.files = os::Fd(::dup(volume.files.get()));
    own.staging = os::Fd(::dup(volume.staging.get()));
    THAW_TRY(auto writer, worker::BlockWriter::create(std::move(own), name, most));
    return std::shared_ptr<worker::BlockWriter>(std::move(writer));
  };
  auto writer = co_await cx.parts.volumes.run(id, std::move(begin));
  if (!writer) {
    co_return co_await exchange.answer(status_of(writer.error()), "text/plain",
                                       writer.error().message() + "\n");
  }
  if (const Result<void> stored = co_await receive(cx, exchange, id, std::move(*writer)); !stored) {
    co_return co_await exchange.answer(status_of(stored.error()), "text/plain",
                                       stored.error().message() + "\n");
  }
  co_return co_await exchange.answer(200, "text/plain", name);
}

Task<void> get(Context& cx, net::HttpExchange& exchange, model::VolumeId id) {
  const net::HttpRequest& request = exchange.request();
  worker::FileRange range;
  const auto path = codec::hex_decode(codec::query_value(request.query(), "path"));
  range.path = path.value_or("");
  range.identity = codec::query_value(request.query(), "file");
  range.offset = number(request, "from");
  range.size = number(request, "size");
  auto begin = [range](const worker::VolumeFolder& volume) -> Result<std::shared_ptr<os::Fd>> {
    THAW_TRY(os::Fd file, worker::open_range(volume, range));
    return std::make_shared<os::Fd>(std::move(file));
  };
  auto file = co_await cx.parts.volumes.run(id, std::move(begin));
  if (!file) {
    co_return co_await exchange.answer(status_of(file.error()), "text/plain",
                                       file.error().message() + "\n");
  }
  net::Headers headers;
  headers.add("content-type", "application/octet-stream");
  headers.add("content-length", std::to_string(range.size));
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  std::uint64_t sent = 0;
  while (sent < range.size && request.method != "HEAD") {
    const std::size_t wanted = std::min<std::uint64_t>(piece_size, range.size - sent);
    auto read = [fd = *file, wanted, at = range.offset + sent]() -> Result<std::string> {
      std::string piece(wanted, '\0');
      const ssize_t n = ::pread(fd->get(), piece.data(), wanted, static_cast<off_t>(at));
      if (n <= 0) {
        // The connection ends short of its announced length: no client takes that for the file.
        return n < 0 ? Error::from_errno(errno, "cannot read a file of the volume")
                     : Error::aborted("a file of the volume was cut while it was read");
      }
      piece.resize(static_cast<std::size_t>(n));
      return piece;
    };
    THAW_CO_TRY(std::string piece, co_await cx.parts.volumes.run_apart(id, std::move(read)));
    sent += piece.size();
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
  co_return co_await exchange.finish();
}

}  // namespace

std::string block_put_url(Context& cx, const gateway::BaseUrl& base, const model::VolumeId& volume,
                          const std::string& name, std::uint64_t most_bytes) {
  return cx.volume_urls.make(
      base, target_of(volume, "op=put&name=" + name + "&most=" + std::to_string(most_bytes)));
}

std::string block_get_url(Context& cx, const gateway::BaseUrl& base, const model::VolumeId& volume,
                          const worker::FileRange& range) {
  return cx.volume_urls.make(
      base, target_of(volume, "op=get&path=" + codec::hex_encode(range.path) + "&file=" +
                                  range.identity + "&from=" + std::to_string(range.offset) +
                                  "&size=" + std::to_string(range.size)));
}

async::Task<void> serve_volume_block(Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  if (!cx.volume_urls.is_genuine(request.target)) {
    co_return co_await exchange.answer(403, "text/plain", "the URL's signature is not valid\n");
  }
  if (gateway::SignedUrls::has_expired(request.target)) {
    co_return co_await exchange.answer(403, "text/plain",
                                       "the URL has expired; ask for a new one\n");
  }
  constexpr std::string_view prefix = "/volumes/";
  const model::VolumeId id(std::string(request.path().substr(prefix.size())));
  // all workspaces: the signature says that this one may
  const auto volume = cx.parts.catalog.volumes.find(id.str());
  if (!volume || volume->life == model::Volume::Life::doomed) {
    co_return co_await exchange.answer(404, "text/plain", "the volume was deleted\n");
  }
  const std::string operation = codec::query_value(request.query(), "op");
  if (operation == "put" && request.method == "PUT") {
    co_return co_await put(cx, exchange, id);
  }
  if (operation == "get" && (request.method == "GET" || request.method == "HEAD")) {
    co_return co_await get(cx, exchange, id);
  }
  co_return co_await exchange.answer(405, "text/plain", "the URL is for another method\n");
}

}  // namespace thaw::dialect::modal
