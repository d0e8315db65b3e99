// SPDX-License-Identifier: Apache-2.0
//
// OutputJournal: the file beside one stream's KeptOutput, in which the sandbox puts what is read
// before anybody sees it, each byte at its place in the stream. By it a stream goes on after the
// server's death. This side makes room in it as the KeptOutput forgets, reads it at the next start,
// and removes it. Small work on a file of the run folder; loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "thaw/base/result.h"
#include "thaw/model/ids.h"

namespace thaw::worker {

class OutputJournal {
 public:
  OutputJournal() = default;
  explicit OutputJournal(std::string path) : path_(std::move(path)) {}
  ~OutputJournal() { remove(); }
  OutputJournal(OutputJournal&& other) noexcept
      : path_(std::exchange(other.path_, {})), dropped_(other.dropped_) {}
  OutputJournal& operator=(OutputJournal&& other) noexcept;

  const std::string& path() const { return path_; }
  // Nobody will ask for what is before that place. Done when it is worth the while.
  void drop_until(std::uint64_t place);
  struct Content {
    std::uint64_t begin = 0;  // in the stream; what was before it is not there any more
    std::string bytes;
  };
  // The last of it, at most `most` bytes. A file that is not there, or is none, is empty.
  Content load(std::uint64_t most) const;
  void remove();
  // It is the next server's.
  void leave() { path_.clear(); }

 private:
  std::string path_;
  std::uint64_t dropped_ = 0;
};

// The journals of all boxes, in a folder for each.
class OutputJournals {
 public:
  // Below the worker's run folder. Empty: there are none.
  explicit OutputJournals(std::string folder = {}) : folder_(std::move(folder)) {}
  bool are_kept() const { return !folder_.empty(); }
  // Where a stream's file is to be, but for its ending; its folder is made.
  Result<std::string> place(const model::ContainerId& box, std::uint64_t number) const;
  void remove(const model::ContainerId& box) const;
  void keep_only(const std::function<bool(const model::ContainerId&)>& is_wanted) const;

 private:
  std::string folder_;
};

}  // namespace thaw::worker
