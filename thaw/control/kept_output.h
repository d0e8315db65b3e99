// SPDX-License-Identifier: Apache-2.0
//
// KeptOutput: what one stream of a process in a box has printed, by its place in the stream. What
// nobody has taken yet is *unread*: who prints waits while there is too much of it, or loses the
// oldest. All else is *loose*: what was taken, for a reader that lost its connection; what is more
// than the least of a stream that loses its oldest; what a process has left that ended a while ago.
// It is kept as long as nobody needs the room. Both count to a share of the box's workspace. Loop
// thread only.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/task.h"
#include "thaw/model/ids.h"
#include "thaw/worker/output_journal.h"

namespace thaw::control {

struct OutputLimits {
  std::uint64_t of_all = 256u << 20;
  std::uint64_t of_workspace = 64u << 20;
  std::uint64_t kept_for_each = 1u << 20;  // of a workspace, whatever others have
  std::uint64_t of_stream = 32u << 20;
  std::uint64_t of_ring = 4u << 20;      // of a stream that loses its oldest …
  std::uint64_t least_ring = 64u << 10;  // … while its workspace has no room
};

class KeptOutput;

// What the processes of each workspace have printed and is kept.
class OutputShares {
 public:
  explicit OutputShares(OutputLimits limits) : limits_(limits) {}

  // For something unread.
  bool has_room(const model::WorkspaceId& workspace) const;
  // Whether a stream of which nothing is unread may have a piece more, past has_room(): so that
  // what waits for one reader does not stop all others.
  bool has_room_for_first(const model::WorkspaceId& workspace) const;
  // All that is kept of it, loose or not, is less than its share.
  bool has_room_for_loose(const model::WorkspaceId& workspace) const;
  const OutputLimits& limits() const { return limits_; }

 private:
  friend class KeptOutput;
  struct Use {
    std::uint64_t unread = 0;
    std::uint64_t loose = 0;
    std::uint64_t stuck = 0;  // of `loose`, that could not go the last time
    std::set<KeptOutput*> with_loose;
  };

  const Use& use_of(const model::WorkspaceId& workspace) const;
  // Loose goes, of this workspace, or of all if all have too much.
  void make_room(const model::WorkspaceId& workspace);
  // Of very many that wait as many are woken as may find room, those that have waited longest.
  void tell_of_room(const model::WorkspaceId& workspace, std::uint64_t freed);
  void drop_loose(Use& use, std::uint64_t& of, std::uint64_t target);
  void drop_loose_of_all();
  void forget_if_empty(const model::WorkspaceId& workspace);

  OutputLimits limits_;
  std::uint64_t unread_ = 0;
  std::uint64_t loose_ = 0;
  std::uint64_t stuck_ = 0;
  std::unordered_map<model::WorkspaceId, Use> uses_;
  // That wait for room, in the order in which they are woken; none is empty.
  std::unordered_map<model::WorkspaceId, std::list<KeptOutput*>> waiting_;
};

class KeptOutput {
 public:
  // `none`: who prints waits while there is no room. `oldest`: what was printed first goes, so that
  // nobody has to read it. `all`: nothing is kept.
  enum class Loses { none, oldest, all };

  KeptOutput(std::shared_ptr<OutputShares> shares, model::WorkspaceId workspace, Loses loses)
      : shares_(std::move(shares)), workspace_(std::move(workspace)), loses_(loses) {}
  ~KeptOutput();
  KeptOutput(const KeptOutput&) = delete;
  KeptOutput& operator=(const KeptOutput&) = delete;

  // What it has is in this file too, by who reads the stream. Empty: where nothing is kept.
  void set_journal(std::string path);
  const std::string& journal() const { return journal_.path(); }
  // Goes on with what the journal has, before the first append().
  void resume();
  // What it has is the next server's.
  void leave() { journal_.leave(); }
  // It will not outlive this server.
  void remove_journal() { journal_.remove(); }

  // Resumes when append() may be called; at once if nothing waits for a reader.
  async::Task<void> wait_for_room();
  bool has_room() const;
  void append(std::string_view piece);
  // Nothing more comes; what is appended all the same is dropped.
  void end();
  bool has_ended() const { return has_ended_; }
  // Nobody is waited for any more: all of it is loose.
  void release();
  // How much has come so far.
  std::uint64_t size() const { return end_; }

  struct Piece {
    std::uint64_t offset = 0;  // of the first byte; past what was asked for if that is lost
    std::string bytes;         // empty: see is_end, or nothing came in time
    bool is_end = false;
  };
  // What comes from `offset` on, at most `most` bytes; waits until `until` for it. Whoever asks for
  // what comes from there on has all before it: that is taken, what is read now is not yet.
  // data_loss: it was taken before, or released, and is not kept any more.
  async::Task<Piece> read(std::uint64_t offset, std::size_t most, Instant until);
  // The same for readers of text: unless the stream ends there, or not even `most` bytes finish it,
  // no piece ends inside of a character of UTF-8. `most` is at least 4.
  async::Task<Piece> read_text(std::uint64_t offset, std::size_t most, Instant until);

  // For tests: in how many pieces it lies, and what memory those take.
  std::size_t pieces() const { return pieces_.size(); }
  std::size_t memory() const;

 private:
  friend class OutputShares;
  std::uint64_t held() const { return end_ - begin_; }
  std::uint64_t unread() const { return end_ - (taken_until_ > begin_ ? taken_until_ : begin_); }
  std::uint64_t loose() const;
  void drop_until(std::uint64_t place);
  void drop_loose();
  void take_until(std::uint64_t place);
  void count();
  class Waiting;

  std::shared_ptr<OutputShares> shares_;
  model::WorkspaceId workspace_;
  Loses loses_;
  worker::OutputJournal journal_;
  std::list<std::string> pieces_;
  std::uint64_t begin_ = 0;  // of the first piece
  std::uint64_t end_ = 0;
  std::uint64_t taken_until_ = 0;
  std::uint64_t counted_unread_ = 0;
  std::uint64_t counted_loose_ = 0;
  bool has_ended_ = false;
  bool is_released_ = false;
  async::Event changed_;        // for readers
  async::Event has_more_room_;  // for who prints
};

}  // namespace thaw::control
