// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_output.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace thaw::control {

namespace {

// Small ones are put together, so that a program that prints byte by byte costs what it prints.
constexpr std::size_t whole_piece = 64u << 10;

}  // namespace

bool OutputShares::has_room(const model::WorkspaceId& workspace) const {
  const auto found = uses_.find(workspace);
  const std::uint64_t own = found == uses_.end() ? 0 : found->second.unread;
  return own < limits_.kept_for_each || (own < limits_.of_workspace && unread_ < limits_.of_all);
}

bool OutputShares::is_tight(const Use& use) const {
  return use.unread + use.taken >= limits_.of_workspace || unread_ + taken_ >= limits_.of_all;
}

void OutputShares::make_room(const model::WorkspaceId& workspace) {
  const auto drop = [](Use& use) {
    const std::vector<KeptOutput*> outputs(use.with_taken.begin(), use.with_taken.end());
    for (KeptOutput* output : outputs) {
      output->drop_taken();
    }
  };
  const auto own = uses_.find(workspace);
  if (own == uses_.end() || !is_tight(own->second)) {
    return;
  }
  drop(own->second);
  if (unread_ + taken_ >= limits_.of_all && taken_ > 0) {
    for (auto& [id, use] : uses_) {
      drop(use);
    }
  }
}

void OutputShares::forget_if_empty(const model::WorkspaceId& workspace) {
  const auto own = uses_.find(workspace);
  if (own != uses_.end() && own->second.unread == 0 && own->second.taken == 0) {
    uses_.erase(own);
  }
}

KeptOutput::~KeptOutput() {
  drop_until(end_);
  shares_->forget_if_empty(workspace_);
}

bool KeptOutput::has_room() const {
  if (has_ended_ || loses_ != Loses::none) {
    return true;
  }
  const std::uint64_t unread = end_ - std::max(taken_until_, begin_);
  return unread < shares_->limits().of_stream && (unread == 0 || shares_->has_room(workspace_));
}

async::Task<void> KeptOutput::wait_for_room() {
  while (!has_room()) {
    // Whichever comes first: its own reader, or room that another one left.
    const Instant look_again = monotonic_now() + 1s;
    const bool is_own = end_ - std::max(taken_until_, begin_) >= shares_->limits().of_stream;
    async::Event& event = is_own ? changed_ : shares_->changed;
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await event.wait(look_again));
  }
  co_return ok();
}

void KeptOutput::append(const std::string& piece) {
  if (has_ended_ || piece.empty()) {
    return;
  }
  if (loses_ == Loses::all) {
    begin_ = end_ = end_ + piece.size();
    changed_.notify_all();
    return;
  }
  shares_->unread_ += piece.size();
  shares_->uses_[workspace_].unread += piece.size();
  end_ += piece.size();
  if (!pieces_.empty() && pieces_.back().size() < whole_piece) {
    pieces_.back() += piece;
  } else {
    pieces_.emplace_back(piece.data(), piece.size());  // no more memory than it has bytes
  }
  const OutputLimits& limits = shares_->limits();
  if (loses_ == Loses::oldest) {
    const std::uint64_t most =
        shares_->has_room(workspace_) ? limits.of_ring : limits.least_ring;
    drop_until(end_ - std::min(end_, most));
  } else if (end_ - begin_ > limits.of_stream) {
    drop_until(std::min(taken_until_, end_ - limits.of_stream));
  }
  shares_->make_room(workspace_);
  changed_.notify_all();
}

void KeptOutput::end() {
  has_ended_ = true;
  changed_.notify_all();
}

// Whole pieces only, but for its end.
void KeptOutput::drop_until(std::uint64_t place) {
  const std::uint64_t taken_before = taken();
  std::uint64_t dropped = 0;
  while (!pieces_.empty() && begin_ + pieces_.front().size() <= place) {
    dropped += pieces_.front().size();
    begin_ += pieces_.front().size();
    pieces_.pop_front();
  }
  if (dropped == 0) {
    return;
  }
  const std::uint64_t of_taken = std::min(dropped, taken_before);
  OutputShares::Use& use = shares_->uses_[workspace_];
  shares_->taken_ -= of_taken;
  use.taken -= of_taken;
  shares_->unread_ -= dropped - of_taken;
  use.unread -= dropped - of_taken;
  if (taken() == 0) {
    use.with_taken.erase(this);
  }
  if (dropped > of_taken) {
    shares_->changed.notify_all();
  }
}

void KeptOutput::take_until(std::uint64_t place) {
  if (place <= std::max(taken_until_, begin_) || loses_ != Loses::none) {
    return;
  }
  const std::uint64_t more = place - std::max(taken_until_, begin_);
  taken_until_ = place;
  OutputShares::Use& use = shares_->uses_[workspace_];
  shares_->unread_ -= more;
  use.unread -= more;
  shares_->taken_ += more;
  use.taken += more;
  use.with_taken.insert(this);
  shares_->make_room(workspace_);
  shares_->changed.notify_all();
  changed_.notify_all();
}

async::Task<KeptOutput::Piece> KeptOutput::read(std::uint64_t offset, std::size_t most,
                                                Instant until) {
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
  std::uint64_t at = end_;
  auto part = pieces_.end();
  while (at > offset) {  // most read near the end
    --part;
    at -= part->size();
  }
  for (; part != pieces_.end() && piece.bytes.size() < most; ++part) {
    const std::size_t from = offset > at ? static_cast<std::size_t>(offset - at) : 0;
    piece.bytes.append(*part, from, most - piece.bytes.size());
    at += part->size();
  }
  take_until(offset + piece.bytes.size());
  co_return piece;
}

}  // namespace thaw::control
