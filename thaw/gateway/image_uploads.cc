// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/image_uploads.h"

#include <algorithm>
#include <map>
#include <utility>

#include "thaw/async/channel.h"
#include "thaw/async/task_group.h"
#include "thaw/async/within.h"
#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;

namespace {

constexpr std::size_t piece_bytes = 512u << 10;
constexpr std::size_t small_piece_bytes = 64u << 10;
constexpr std::size_t pieces_waiting = 2;
constexpr Duration longest_pause = 5min;  // of a sender, for a piece
constexpr Duration may_go_for_another = 1min;

using Pieces = async::Channel<std::string>;

// Gathers a piece; what came of it is in it also where this fails. true: there is more.
Task<bool> gather(net::HttpExchange& exchange, std::string& piece, std::size_t bytes) {
  while (piece.size() < bytes) {
    THAW_CO_TRY(std::optional<std::string> some, co_await exchange.read());
    if (!some) {
      co_return false;
    }
    piece += *some;
  }
  co_return true;
}

Error was_cancelled() { return Error::not_found("the upload was cancelled"); }

Task<void> write_piece(ImageUploads::Upload& upload, std::string piece) {
  const std::size_t bytes = piece.size();
  THAW_CO_TRY_VOID(co_await upload.writer->write(std::move(piece)));
  upload.size += bytes;
  upload.last_byte = monotonic_now();
  co_return ok();
}

Task<void> write_all(ImageUploads::Upload& upload, Pieces& pieces, Result<void>& outcome) {
  while (true) {
    auto piece = co_await pieces.receive(Instant::max());
    if (!piece || !*piece) {
      co_return ok();
    }
    Result<void> written = co_await write_piece(upload, std::move(**piece));
    if (!written) {
      outcome = std::move(written);
      pieces.close();
      co_return ok();
    }
  }
}

// A small piece at a time, for who comes when many send already: who is slow takes nobody's place.
Task<void> take_slowly(ImageUploads::Upload& upload, net::HttpExchange& exchange) {
  for (bool is_more = true; is_more;) {
    std::string piece;
    const Result<bool> gathered =
        co_await async::within(longest_pause, gather(exchange, piece, small_piece_bytes));
    is_more = gathered && *gathered;
    if (!gathered) {
      co_await async::forget_cancellation();  // what came is written
    }
    if (upload.is_over) {
      co_return was_cancelled();
    }
    if (!piece.empty()) {
      THAW_CO_TRY_VOID(co_await write_piece(upload, std::move(piece)));
    }
    if (!gathered) {
      co_return gathered.error();
    }
  }
  co_return ok();
}

Task<void> read_all(const ImageUploads::Upload& upload, net::HttpExchange& exchange,
                    Pieces& pieces) {
  for (bool is_more = true; is_more;) {
    std::string piece;
    piece.reserve(piece_bytes);
    const Result<bool> gathered =
        co_await async::within(longest_pause, gather(exchange, piece, piece_bytes));
    is_more = gathered && *gathered;
    if (!gathered) {
      co_await async::forget_cancellation();  // what came is written
    }
    if (upload.is_over) {
      co_return was_cancelled();
    }
    if (!piece.empty()) {
      THAW_CO_TRY_VOID(co_await pieces.send(std::move(piece)));
    }
    if (!gathered) {
      co_return gathered.error();
    }
  }
  co_return ok();
}

// An upload is a request's own while it lives.
class Turn {
 public:
  explicit Turn(ImageUploads::UploadPtr upload) : upload_(std::move(upload)) {
    upload_->is_busy = true;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    upload_->is_busy = false;
    upload_->last_byte = monotonic_now();
  }

 private:
  ImageUploads::UploadPtr upload_;
};

Error is_written_to() {
  return Error::aborted(
      "another request writes to this upload; ask how far it has come once that has ended");
}

}  // namespace

// Who pushes and breaks off leaves uploads behind, which are nobody's any more. Where all have too
// many together, who has the most of them gives way to who has fewer.
bool ImageUploads::make_room(const model::WorkspaceId& workspace, Instant now) {
  std::map<model::WorkspaceId, std::size_t> counts;
  for (const auto& [id, upload] : uploads_) {
    ++counts[upload->workspace];
  }
  model::WorkspaceId from = workspace;
  if (counts[workspace] < limits_.of_workspace) {
    for (const auto& [other, count] : counts) {
      from = count > counts[from] ? other : from;
    }
  }
  UploadPtr idlest;
  for (const auto& [id, upload] : uploads_) {
    if (upload->workspace == from && !upload->is_busy &&
        (!idlest || upload->last_byte < idlest->last_byte)) {
      idlest = upload;
    }
  }
  const bool is_own = from == workspace;
  if (!idlest || (is_own && now - idlest->last_byte < may_go_for_another)) {
    return false;
  }
  cancel(idlest);
  return true;
}

Result<ImageUploads::UploadPtr> ImageUploads::begin(model::WorkspaceId workspace,
                                                    std::string repository) {
  const auto of_workspace = static_cast<std::size_t>(
      std::count_if(uploads_.begin(), uploads_.end(),
                    [&](const auto& entry) { return entry.second->workspace == workspace; }));
  const Instant now = monotonic_now();
  const bool is_full = of_workspace >= limits_.of_workspace || uploads_.size() >= limits_.of_all;
  if (is_full && !make_room(workspace, now)) {
    return Error::resource_exhausted(
        "so many uploads to the registry have begun and not ended (" +
        std::to_string(of_workspace) + " of this workspace, of " +
        std::to_string(limits_.of_workspace) +
        " that it may have) that no other one begins; end or cancel some, or try again");
  }
  auto upload = std::make_shared<Upload>();
  THAW_TRY(upload->writer, blobs_.create(workspace.str(), store::BlobStore::Sums::sha256));
  upload->id = codec::random_id("up");
  upload->workspace = std::move(workspace);
  upload->repository = std::move(repository);
  upload->last_byte = now;
  uploads_[upload->id] = upload;
  return upload;
}

ImageUploads::UploadPtr ImageUploads::find(const model::WorkspaceId& workspace,
                                           const std::string& repository,
                                           const std::string& id) const {
  const auto found = uploads_.find(id);
  const bool is_it = found != uploads_.end() && found->second->workspace == workspace &&
                     found->second->repository == repository;
  return is_it ? found->second : nullptr;
}

Result<void> ImageUploads::may_send(const model::WorkspaceId& workspace) const {
  std::size_t of_workspace = 0;
  std::size_t of_all = 0;
  for (const auto& [id, upload] : uploads_) {
    of_all += upload->is_busy ? 1 : 0;
    of_workspace += upload->is_busy && upload->workspace == workspace ? 1 : 0;
  }
  if (of_workspace < limits_.sending_of_workspace && of_all < limits_.sending_of_all) {
    return ok();
  }
  return Error::unavailable("many requests send to the registry already");
}

Task<void> ImageUploads::receive(UploadPtr upload, net::HttpExchange& exchange) {
  if (upload->is_busy) {
    co_return is_written_to();
  }
  const bool is_ahead = may_send(upload->workspace).has_value();
  const Turn turn(upload);
  if (!is_ahead) {
    co_return co_await take_slowly(*upload, exchange);
  }
  Pieces pieces{async::Capacity{pieces_waiting}};
  Result<void> written;
  async::TaskGroup tasks(loop_);
  tasks.start("bytes of an upload", write_all(*upload, pieces, written));
  Result<void> read = co_await read_all(*upload, exchange, pieces);
  pieces.close();
  co_await async::forget_cancellation();
  if (!co_await tasks.join(Instant::max())) {
    co_await async::forget_cancellation();
    THAW_CO_TRY_VOID(co_await tasks.stop());
    co_return Error::cancelled("the upload's request was cancelled");
  }
  if (!written) {
    co_return written;
  }
  if (upload->is_over) {
    co_return was_cancelled();
  }
  co_return read;
}

Task<store::StoredBlob> ImageUploads::finish(UploadPtr upload, std::string expected_sha256_hex) {
  if (upload->is_busy) {
    co_return is_written_to();
  }
  const Turn turn(upload);
  uploads_.erase(upload->id);
  co_return co_await upload->writer->finish(std::move(expected_sha256_hex));
}

void ImageUploads::cancel(const UploadPtr& upload) {
  uploads_.erase(upload->id);
  upload->is_over = true;
  if (!upload->is_busy) {
    upload->writer.reset();
  }
}

void ImageUploads::expire(Instant now) {
  std::vector<UploadPtr> old;
  for (const auto& [id, upload] : uploads_) {
    if (!upload->is_busy && now - upload->last_byte >= limits_.idle) {
      old.push_back(upload);
    }
  }
  for (const UploadPtr& upload : old) {
    cancel(upload);
  }
}

}  // namespace thaw::gateway
