// SPDX-License-Identifier: Apache-2.0
//
// Dicts: bytes by key, on disk. Two keys are equal when their bytes are. A change returns when it
// is on disk, and one that comes a second time with the same RequestKey changes nothing and has the
// same answer. An entry that nobody has written or read for a week is gone. Whoever calls has found
// the dict in a scope. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/state/limits.h"
#include "thaw/state/object.h"

namespace thaw::state {

namespace detail {
struct Parts;
}

struct FoundValue {
  bool is_found = false;
  std::string value;
  std::uint64_t left_out = 0;  // bytes of the value, where it is larger than was asked for
};

class Dicts {
 public:
  explicit Dicts(const detail::Parts& parts) : parts_(parts) {}

  // data_loss: what is stored is not what was written; it is set aside, and then not there.
  // A value of more than `most_bytes` is only measured.
  async::Task<FoundValue> get(Object dict, std::string key, std::uint64_t most_bytes);
  async::Task<bool> contains(Object dict, std::string key);
  async::Task<std::uint64_t> size(Object dict);

  enum class Existing { replace, keep };
  // All of them or none. Returns how many were not there before. out_of_range for what can
  // never be taken, resource_exhausted when the workspace's share is full.
  async::Task<std::uint64_t> update(Object dict, std::vector<Entry> entries, Existing existing,
                                    RequestKey request);
  // Removes it; nullopt: it is not there.
  async::Task<std::optional<std::string>> pop(Object dict, std::string key, RequestKey request);
  // Also what is put while it runs may go.
  async::Task<void> clear(Object dict, RequestKey request);

  // Some of the entries behind the key `after`, in an order of their own; none: that was all. An
  // entry that is there all the time is found once, whatever is written meanwhile.
  enum class Values { read, left_out };
  async::Task<std::vector<Entry>> read(Object dict, std::optional<std::string> after,
                                       Values values);

 private:
  void touch(const Object& dict, std::vector<std::string> keys);
  async::Task<void> set_aside(Object dict, std::string key);

  const detail::Parts& parts_;
};

}  // namespace thaw::state
