// SPDX-License-Identifier: Apache-2.0
//
// HeldOutput: bytes of containers' messages whose answer waits for a reader, per workspace and in
// all. A container sends its next message when the last one was answered, so honest ones hold
// little; one that sends a thousand at once is refused. Loop thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>

#include "thaw/base/result.h"
#include "thaw/model/ids.h"

namespace thaw::dialect::modal {

class HeldOutput {
 public:
  // Gives its bytes back when it goes.
  class Hold {
   public:
    Hold(HeldOutput& owner, model::WorkspaceId workspace, std::size_t bytes)
        : owner_(&owner), workspace_(std::move(workspace)), bytes_(bytes) {}
    Hold(Hold&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)),
          workspace_(std::move(other.workspace_)),
          bytes_(other.bytes_) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (owner_ != nullptr) {
        owner_->give_back(workspace_, bytes_);
      }
    }

   private:
    HeldOutput* owner_;
    model::WorkspaceId workspace_;
    std::size_t bytes_;
  };

  // What a process with so much memory can hold.
  void fit_into(std::uint64_t memory_bytes) {
    constexpr std::uint64_t part_of_memory = 6;
    most_of_all_ = std::min<std::uint64_t>(most_of_all_, memory_bytes / part_of_memory);
    most_of_workspace_ = std::min(most_of_workspace_, most_of_all_ / 4 * 3);
  }

  Result<Hold> take(const model::WorkspaceId& workspace, std::size_t bytes) {
    const auto found = by_workspace_.find(workspace);
    const std::size_t held = found == by_workspace_.end() ? 0 : found->second;
    if (held + bytes > most_of_workspace_ || (held > 0 && all_ + bytes > most_of_all_)) {
      return Error::resource_exhausted(
          "containers of the workspace have sent " + std::to_string(held >> 20) +
          " MiB of output whose readers are behind (at most " +
          std::to_string(most_of_workspace_ >> 20) + " MiB), and " + std::to_string(bytes >> 20) +
          " MiB more do not fit; read it, or send less at once");
    }
    by_workspace_[workspace] += bytes;
    all_ += bytes;
    return Hold(*this, workspace, bytes);
  }

 private:
  std::uint64_t most_of_workspace_ = 512u << 20;
  std::uint64_t most_of_all_ = 1u << 30;

  void give_back(const model::WorkspaceId& workspace, std::size_t bytes) {
    all_ -= bytes;
    const auto found = by_workspace_.find(workspace);
    found->second -= bytes;
    if (found->second == 0) {
      by_workspace_.erase(found);
    }
  }

  std::unordered_map<model::WorkspaceId, std::size_t> by_workspace_;
  std::size_t all_ = 0;
};

}  // namespace thaw::dialect::modal
