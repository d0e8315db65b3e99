// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_output.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/utf8.h"

namespace thaw::control {

namespace {

// Small ones are put together, so that a program that prints byte by byte costs what it prints.
// None is larger.
constexpr std::size_t whole_piece = 64u << 10;

// Room is made for more than is needed now, so that it is not looked for with each piece.
std::uint64_t goal(std::uint64_t limit) { return limit - limit / 8; }

// What cannot go (parts of pieces) is not looked at again before there is so much more.
std::uint64_t worth_a_look(std::uint64_t limit) {
  return std::min<std::uint64_t>(whole_piece, limit / 16);
}

}  // namespace

const OutputShares::Use& OutputShares::use_of(const model::WorkspaceId& workspace) const {
  static const Use none;
  const auto found = uses_.find(workspace);
  return found == uses_.end() ? none : found->second;
}

bool OutputShares::has_room(const model::WorkspaceId& workspace) const {
  const std::uint64_t own = use_of(workspace).unread;
  return own < limits_.kept_for_each || (own < limits_.of_workspace && unread_ < limits_.of_all);
}

bool OutputShares::has_room_for_first(const model::WorkspaceId& workspace) const {
  return has_room(workspace) ||
         (use_of(workspace).unread < limits_.of_workspace + limits_.of_workspace / 4 &&
          unread_ < limits_.of_all + limits_.of_all / 4);
}

bool OutputShares::has_room_for_loose(const model::WorkspaceId& workspace) const {
  const Use& use = use_of(workspace);
  const std::uint64_t own = use.unread + use.loose;
  return own < limits_.kept_for_each ||
         (own < limits_.of_workspace && unread_ + loose_ < limits_.of_all);
}

// What was taken goes before what is the last of a program that runs.
void OutputShares::drop_loose(Use& use, std::uint64_t& of, std::uint64_t target) {
  const std::vector<KeptOutput*> outputs(use.with_loose.begin(), use.with_loose.end());
  for (const bool is_ring : {false, true}) {
    for (KeptOutput* output : outputs) {
      if (of <= target) {
        return;
      }
      if ((output->loses_ == KeptOutput::Loses::oldest) == is_ring) {
        const std::uint64_t before = output->held();
        output->drop_loose();
        of -= before - output->held();
      }
    }
  }
}

void OutputShares::drop_loose_of_all() {
  std::vector<Use*> users;
  for (auto& [id, use] : uses_) {
    if (use.unread + use.loose > limits_.kept_for_each) {
      users.push_back(&use);
    }
  }
  std::sort(users.begin(), users.end(),
            [](const Use* a, const Use* b) { return a->loose > b->loose; });
  std::uint64_t all = unread_ + loose_;
  for (Use* use : users) {
    drop_loose(*use, all, goal(limits_.of_all));
  }
}

void OutputShares::make_room(const model::WorkspaceId& workspace) {
  const auto own = uses_.find(workspace);
  if (own == uses_.end()) {
    return;
  }
  Use& use = own->second;
  use.stuck = std::min(use.stuck, use.loose);
  if (use.unread + use.loose >= limits_.of_workspace &&
      use.loose >= use.stuck + worth_a_look(limits_.of_workspace)) {
    std::uint64_t mine = use.unread + use.loose;
    drop_loose(use, mine, goal(limits_.of_workspace));
    use.stuck = use.loose;
  }
  stuck_ = std::min(stuck_, loose_);
  if (unread_ + loose_ >= limits_.of_all && loose_ >= stuck_ + worth_a_look(limits_.of_all)) {
    drop_loose_of_all();
    stuck_ = loose_;
  }
}

void OutputShares::tell_of_room(const model::WorkspaceId& workspace, std::uint64_t freed) {
  const auto wake = [freed](std::list<KeptOutput*>& waiting) {
    const std::uint64_t most = std::min<std::uint64_t>(freed / whole_piece + 1, waiting.size());
    for (std::uint64_t i = 0; i < most; ++i) {
      waiting.front()->has_more_room_.notify_all();
      waiting.splice(waiting.end(), waiting, waiting.begin());
    }
  };
  // What is full for all keeps everybody waiting.
  const bool was_full = unread_ < limits_.of_all && unread_ + freed >= limits_.of_all;
  if (was_full) {
    for (auto& [id, waiting] : waiting_) {
      wake(waiting);
    }
  } else if (const auto own = waiting_.find(workspace); own != waiting_.end()) {
    wake(own->second);
  }
}

void OutputShares::forget_if_empty(const model::WorkspaceId& workspace) {
  const auto own = uses_.find(workspace);
  if (own != uses_.end() && own->second.unread == 0 && own->second.loose == 0) {
    uses_.erase(own);
  }
}

KeptOutput::~KeptOutput() {
  drop_until(end_);
  shares_->forget_if_empty(workspace_);
}

void KeptOutput::set_journal(std::string path) {
  journal_ = worker::OutputJournal(loses_ == Loses::all ? std::string() : std::move(path));
}

void KeptOutput::resume() {
  const OutputLimits& limits = shares_->limits();
  const worker::OutputJournal::Content content =
      journal_.load(loses_ == Loses::oldest ? limits.of_ring : limits.of_stream);
  begin_ = end_ = content.begin;
  append(content.bytes);
}

bool KeptOutput::has_room() const {
  if (has_ended_ || loses_ != Loses::none) {
    return true;
  }
  return unread() < shares_->limits().of_stream &&
         (shares_->has_room(workspace_) ||
          (unread() == 0 && shares_->has_room_for_first(workspace_)));
}

// Stands in the row of those that wait, while it lives.
class KeptOutput::Waiting {
 public:
  explicit Waiting(KeptOutput& output) : output_(output) {
    auto& row = output_.shares_->waiting_[output_.workspace_];
    place_ = row.insert(row.end(), &output_);
  }
  ~Waiting() {
    auto& waiting = output_.shares_->waiting_;
    const auto row = waiting.find(output_.workspace_);
    row->second.erase(place_);
    if (row->second.empty()) {
      waiting.erase(row);
    }
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  KeptOutput& output_;
  std::list<KeptOutput*>::iterator place_;
};

async::Task<void> KeptOutput::wait_for_room() {
  while (!has_room()) {
    // Its own reader wakes it, or room that another one has left.
    const Waiting waiting(*this);
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await has_more_room_.wait(monotonic_now() + 1s));
  }
  co_return ok();
}

void KeptOutput::append(std::string_view piece) {
  if (has_ended_ || piece.empty()) {
    return;
  }
  end_ += piece.size();
  if (loses_ == Loses::all) {
    begin_ = end_;
    changed_.notify_all();
    return;
  }
  while (!piece.empty()) {
    if (pieces_.empty() || pieces_.back().size() >= whole_piece) {
      pieces_.emplace_back();
    }
    std::string& last = pieces_.back();
    const std::size_t size = std::min(piece.size(), whole_piece - last.size());
    last.append(piece.substr(0, size));
    piece.remove_prefix(size);
    if (last.size() == whole_piece) {
      last.shrink_to_fit();
    }
  }
  count();
  const OutputLimits& limits = shares_->limits();
  if (loses_ == Loses::oldest) {
    const bool has_room = shares_->has_room_for_loose(workspace_);
    drop_until(end_ - std::min(end_, has_room ? limits.of_ring : limits.least_ring));
  } else if (end_ - begin_ > limits.of_stream) {
    drop_until(std::min(taken_until_, end_ - limits.of_stream));
  }
  shares_->make_room(workspace_);
  changed_.notify_all();
}

void KeptOutput::end() {
  has_ended_ = true;
  if (!pieces_.empty()) {
    pieces_.back().shrink_to_fit();
  }
  changed_.notify_all();
}

void KeptOutput::release() {
  is_released_ = true;
  count();
  shares_->make_room(workspace_);
}

std::uint64_t KeptOutput::loose() const {
  if (is_released_ || loses_ == Loses::all) {
    return held();
  }
  if (loses_ == Loses::oldest) {
    return held() - std::min(held(), shares_->limits().least_ring);
  }
  return held() - unread();
}

std::size_t KeptOutput::memory() const {
  std::size_t bytes = 0;
  for (const std::string& piece : pieces_) {
    bytes += piece.capacity();
  }
  return bytes;
}

// What has changed of it goes into its workspace's account.
void KeptOutput::count() {
  const std::uint64_t loose_now = loose();
  const std::uint64_t unread_now = held() - loose_now;
  OutputShares::Use& use = shares_->uses_[workspace_];
  const std::uint64_t freed = counted_unread_ - std::min(unread_now, counted_unread_);
  shares_->unread_ = shares_->unread_ + unread_now - counted_unread_;
  shares_->loose_ = shares_->loose_ + loose_now - counted_loose_;
  use.unread = use.unread + unread_now - counted_unread_;
  use.loose = use.loose + loose_now - counted_loose_;
  counted_unread_ = unread_now;
  counted_loose_ = loose_now;
  if (loose_now > 0) {
    use.with_loose.insert(this);
  } else {
    use.with_loose.erase(this);
  }
  if (freed > 0) {
    shares_->tell_of_room(workspace_, freed);
  }
}

// Whole pieces only, but for its end.
void KeptOutput::drop_until(std::uint64_t place) {
  while (!pieces_.empty() && begin_ + pieces_.front().size() <= place) {
    begin_ += pieces_.front().size();
    pieces_.pop_front();
  }
  journal_.drop_until(begin_);
  count();
}

void KeptOutput::drop_loose() {
  const bool is_running_ring = loses_ == Loses::oldest && !is_released_;
  drop_until(is_released_      ? end_
             : is_running_ring ? end_ - std::min(end_, shares_->limits().least_ring)
                               : taken_until_);
}

void KeptOutput::take_until(std::uint64_t place) {
  if (place <= std::max(taken_until_, begin_) || loses_ != Loses::none) {
    return;
  }
  taken_until_ = std::min(place, end_);
  count();
  has_more_room_.notify_all();
  shares_->make_room(workspace_);
  changed_.notify_all();
}

async::Task<KeptOutput::Piece> KeptOutput::read(std::uint64_t offset, std::size_t most,
                                                Instant until) {
  // Where it is to begin: what is lost may grow meanwhile.
  const auto from = [&] { return loses_ == Loses::none ? offset : std::max(offset, begin_); };
  if (offset >= begin_) {
    take_until(offset);
  }
  while (from() >= end_ && !has_ended_) {
    THAW_CO_TRY(const bool notified, co_await changed_.wait(until));
    if (!notified) {
      break;
    }
  }
  offset = from();
  if (offset >= end_) {
    co_return Piece{offset, {}, has_ended_};
  }
  if (offset < begin_) {
    co_return Error::data_loss("the output before byte " + std::to_string(begin_) +
                               " of this process was read, or nobody had read it for long after "
                               "the process ended, and it is not kept any more");
  }
  Piece piece{offset, {}, false};
  std::uint64_t at = end_;
  auto part = pieces_.end();
  while (at > offset) {  // most read near the end
    --part;
    at -= part->size();
  }
  for (; part != pieces_.end() && piece.bytes.size() < most; ++part) {
    const std::size_t skipped = offset > at ? static_cast<std::size_t>(offset - at) : 0;
    piece.bytes.append(*part, skipped, most - piece.bytes.size());
    at += part->size();
  }
  co_return piece;
}

async::Task<KeptOutput::Piece> KeptOutput::read_text(std::uint64_t offset, std::size_t most,
                                                     Instant until) {
  while (true) {
    THAW_CO_TRY(Piece piece, co_await read(offset, most, until));
    const std::size_t begun = codec::unfinished_utf8(piece.bytes);
    if (begun < piece.bytes.size() || begun == 0) {
      piece.bytes.resize(piece.bytes.size() - begun);
      co_return piece;
    }
    // There is no more yet than the beginning of one character.
    offset = piece.offset;
    while (offset + begun >= end_ && !has_ended_) {
      THAW_CO_TRY(const bool notified, co_await changed_.wait(until));
      if (!notified) {
        co_return Piece{offset, {}, false};
      }
    }
    if (offset + begun >= end_) {
      co_return piece;  // it is never finished
    }
  }
}

}  // namespace thaw::control
