// SPDX-License-Identifier: Apache-2.0
//
// KeptOutput: what one stream of a process in a box has printed, by its place in the stream. What
// nobody has taken yet is *unread*: who prints waits while there is too much of it, or loses the
// oldest. What was taken is kept too, for a reader that lost its connection, as long as nobody
// needs the room. Both count to a share of the box's workspace. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/async/task.h"
#include "thaw/model/ids.h"

namespace thaw::control {

struct OutputLimits {
  std::uint64_t of_all = 256u << 20;
  std::uint64_t of_workspace = 64u << 20;
  std::uint64_t kept_for_each = 4u << 20;  // of a workspace, whatever others have
  std::uint64_t of_stream = 32u << 20;
  std::uint64_t of_ring = 4u << 20;     // of a stream that loses its oldest …
  std::uint64_t least_ring = 64u << 10;  // … while its workspace has no room
};

class KeptOutput;

// What the processes of each workspace have printed and is kept.
class OutputShares {
 public:
  explicit OutputShares(OutputLimits limits) : limits_(limits) {}

  // For something unread.
  bool has_room(const model::WorkspaceId& workspace) const;
  const OutputLimits& limits() const { return limits_; }
  // Some unread has gone.
  async::Event changed;

 private:
  friend class KeptOutput;
  struct Use {
    std::uint64_t unread = 0;
    std::uint64_t taken = 0;
    std::set<KeptOutput*> with_taken;
  };

  // All of it, whoever's and whatever it is, is as much as there may be.
  bool is_tight(const Use& use) const;
  // What was taken goes, of this workspace, or of all if all have too much.
  void make_room(const model::WorkspaceId& workspace);
  void forget_if_empty(const model::WorkspaceId& workspace);

  OutputLimits limits_;
  std::uint64_t unread_ = 0;
  std::uint64_t taken_ = 0;
  std::unordered_map<model::WorkspaceId, Use> uses_;
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

  // Resumes when append() may be called; at once if nothing waits for a reader.
  async::Task<void> wait_for_room();
  bool has_room() const;
  void append(const std::string& piece);
  // Nothing more comes; what is appended all the same is dropped.
  void end();
  bool has_ended() const { return has_ended_; }
  // How much has come so far.
  std::uint64_t size() const { return end_; }

  struct Piece {
    std::uint64_t offset = 0;  // of the first byte; past what was asked for if that is lost
    std::string bytes;         // empty: see is_end, or nothing came in time
    bool is_end = false;
  };
  // What comes from `offset` on, at most `most` bytes, is taken; waits until `until` for it.
  // data_loss: it was taken before and is not kept any more.
  async::Task<Piece> read(std::uint64_t offset, std::size_t most, Instant until);

  // For tests: in how many pieces it lies.
  std::size_t pieces() const { return pieces_.size(); }

 private:
  friend class OutputShares;
  std::uint64_t taken() const { return taken_until_ > begin_ ? taken_until_ - begin_ : 0; }
  void drop_until(std::uint64_t place);
  void drop_taken() { drop_until(taken_until_); }
  void take_until(std::uint64_t place);

  std::shared_ptr<OutputShares> shares_;
  model::WorkspaceId workspace_;
  Loses loses_;
  std::deque<std::string> pieces_;
  std::uint64_t begin_ = 0;  // of the first piece
  std::uint64_t end_ = 0;
  std::uint64_t taken_until_ = 0;
  bool has_ended_ = false;
  async::Event changed_;
};

}  // namespace thaw::control
