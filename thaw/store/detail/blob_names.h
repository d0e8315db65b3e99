// SPDX-License-Identifier: Apache-2.0
//
// BlobNames: the names of blobs on disk, where those who make one and those who remove one meet.
// A removal is announced (condemn) and done later on another thread; whoever makes the blob of that
// name meanwhile calls it off. Any thread.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "thaw/base/result.h"

namespace thaw::store::detail {

class BlobNames {
 public:
  explicit BlobNames(std::string folder) : folder_(std::move(folder)) {}

  std::string path_of(const std::string& name) const;

  // While one lives, the blob of its name is being made, or was just now and has no owner yet.
  class Arrival {
   public:
    Arrival() = default;
    Arrival(BlobNames& names, std::string name);
    Arrival(Arrival&& other) noexcept;
    Arrival& operator=(Arrival&& other) noexcept;
    ~Arrival();

   private:
    BlobNames* names_ = nullptr;
    std::string name_;
  };

  // False if somebody is making it.
  bool condemn(const std::string& name);
  // Removes it unless that was called off.
  Result<void> remove_condemned(const std::string& name);
  // DRAFT becomes the blob. Its Arrival lives.
  Result<void> place(const std::string& draft, const std::string& name);

 private:
  std::string folder_;
  std::mutex mutex_;
  std::unordered_map<std::string, int> arriving_;
  std::unordered_set<std::string> condemned_;
  std::uint64_t removals_ = 0;
};

}  // namespace thaw::store::detail
