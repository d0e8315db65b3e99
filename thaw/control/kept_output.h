// SPDX-License-Identifier: Apache-2.0
//
// KeptOutput: what one stream of a process in a box has printed, by its place in the stream, until
// somebody has read it. A reader that lost its connection reads on where it was. The bytes count to
// a share of the box's workspace, which gets them back when they go. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/async/task.h"
#include "thaw/model/ids.h"

namespace thaw::control {

struct OutputLimits {
  std::uint64_t of_all = 256u << 20;
  std::uint64_t of_workspace = 128u << 20;
  std::uint64_t of_stream = 32u << 20;
  std::uint64_t of_ring = 4u << 20;    // of a stream that loses its oldest
  std::uint64_t kept_read = 1u << 20;  // of what was read, for who reads it again
};

// What the workspaces' processes have printed and nobody has read.
class OutputShares {
 public:
  explicit OutputShares(OutputLimits limits) : limits_(limits) {}

  bool has_room(const model::WorkspaceId& workspace) const;
  void add(const model::WorkspaceId& workspace, std::uint64_t bytes);
  void remove(const model::WorkspaceId& workspace, std::uint64_t bytes);
  const OutputLimits& limits() const { return limits_; }
  // Some has gone.
  async::Event changed;

 private:
  OutputLimits limits_;
  std::uint64_t of_all_ = 0;
  std::unordered_map<model::WorkspaceId, std::uint64_t> used_;
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
  void append(std::string piece);
  // Nothing more comes; what is appended all the same is dropped.
  void end();
  bool has_ended() const { return has_ended_; }
  // How much has come so far.
  std::uint64_t size() const { return end_; }

  struct Piece {
    std::uint64_t offset = 0;  // of the first byte; past what was asked for if that is gone
    std::string bytes;         // empty: see is_end, or nothing came in time
    bool is_end = false;
  };
  // What comes from `offset` on, at most `most` bytes; waits until `until` for it. Whatever lies
  // before `offset` counts as read. data_loss: that was read and is gone.
  async::Task<Piece> read(std::uint64_t offset, std::size_t most, Instant until);

 private:
  void drop_front(std::uint64_t until);
  void note_read(std::uint64_t offset);

  std::shared_ptr<OutputShares> shares_;
  model::WorkspaceId workspace_;
  Loses loses_;
  std::deque<std::string> pieces_;
  std::uint64_t begin_ = 0;  // of the first piece
  std::uint64_t end_ = 0;
  std::uint64_t read_ = 0;  // furthest that somebody asked for
  bool has_ended_ = false;
  async::Event changed_;
};

}  // namespace thaw::control
