// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_output.h"

#include <algorithm>
#include <utility>

namespace thaw::control {

bool OutputShares::has_room(const model::WorkspaceId& workspace) const {
  const auto own = used_.find(workspace);
  return of_all_ < limits_.of_all && (own == used_.end() || own->second < limits_.of_workspace);
}

void OutputShares::add(const model::WorkspaceId& workspace, std::uint64_t bytes) {
  of_all_ += bytes;
  used_[workspace] += bytes;
}

void OutputShares::remove(const model::WorkspaceId& workspace, std::uint64_t bytes) {
  if (bytes == 0) {
    return;
  }
  of_all_ -= bytes;
  const auto own = used_.find(workspace);
  own->second -= bytes;
  if (own->second == 0) {
    used_.erase(own);
  }
  changed.notify_all();
}

KeptOutput::~KeptOutput() { shares_->remove(workspace_, end_ - begin_); }

bool KeptOutput::has_room() const {
  if (has_ended_ || loses_ != Loses::none) {
    return true;
  }
  const std::uint64_t unread = end_ - std::clamp(read_, begin_, end_);
  return unread < shares_->limits().of_stream && (unread == 0 || shares_->has_room(workspace_));
}

async::Task<void> KeptOutput::wait_for_room() {
  while (!has_room()) {
    // Whichever comes first: its own reader, or room that another one left.
    const Instant look_again = monotonic_now() + 1s;
    async::Event& event = end_ - begin_ < shares_->limits().of_stream ? shares_->changed : changed_;
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await event.wait(look_again));
  }
  co_return ok();
}

void KeptOutput::append(std::string piece) {
  if (has_ended_ || piece.empty()) {
    return;
  }
  if (loses_ == Loses::all) {
    begin_ = end_ = end_ + piece.size();
    return;
  }
  shares_->add(workspace_, piece.size());
  end_ += piece.size();
  pieces_.push_back(std::move(piece));
  if (loses_ == Loses::oldest) {
    const std::uint64_t most =
        shares_->has_room(workspace_) ? shares_->limits().of_ring : pieces_.back().size();
    drop_front(end_ - std::min(end_, most));
  }
  changed_.notify_all();
}

void KeptOutput::end() {
  has_ended_ = true;
  changed_.notify_all();
}

// Whole pieces only.
void KeptOutput::drop_front(std::uint64_t until) {
  std::uint64_t dropped = 0;
  while (!pieces_.empty() && begin_ + pieces_.front().size() <= until) {
    dropped += pieces_.front().size();
    begin_ += pieces_.front().size();
    pieces_.pop_front();
  }
  shares_->remove(workspace_, dropped);
}

void KeptOutput::note_read(std::uint64_t offset) {
  if (offset <= read_ || loses_ != Loses::none) {
    return;
  }
  read_ = std::min(offset, end_);
  drop_front(read_ - std::min(read_, shares_->limits().kept_read));
  changed_.notify_all();
}

async::Task<KeptOutput::Piece> KeptOutput::read(std::uint64_t offset, std::size_t most,
                                                Instant until) {
  note_read(offset);
  const auto skip_lost = [&] {
    offset = loses_ == Loses::none ? offset : std::max(offset, begin_);
  };
  skip_lost();
  while (offset >= end_ && !has_ended_) {
    THAW_CO_TRY(const bool notified, co_await changed_.wait(until));
    skip_lost();
    if (!notified) {
      co_return Piece{offset, {}, false};
    }
  }
  if (offset >= end_) {
    co_return Piece{offset, {}, true};
  }
  if (offset < begin_) {
    co_return Error::data_loss("the output before byte " + std::to_string(begin_) +
                               " of this process was read and is not kept any more");
  }
  Piece piece{offset, {}, false};
  std::uint64_t at = begin_;
  for (const std::string& part : pieces_) {
    if (at + part.size() > piece.offset && piece.bytes.size() < most) {
      const std::size_t from = piece.offset > at ? static_cast<std::size_t>(piece.offset - at) : 0;
      piece.bytes.append(part, from, most - piece.bytes.size());
    }
    at += part.size();
    if (piece.bytes.size() >= most) {
      break;
    }
  }
  co_return piece;
}

}  // namespace thaw::control
