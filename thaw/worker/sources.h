// SPDX-License-Identifier: Apache-2.0
//
// Sources: where this machine has what launch plans name. A source is "KIND:NAME": "layer:…" and
// "base:…" of an image's store, "mount:DIGEST", "volume:ID", "package:PATH" of what dialects lay
// out in the cache folder. Whoever keeps such folders adds how they are found; nothing else turns a
// name into a path. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/worker/bind.h"

namespace thaw::worker {

class Sources {
 public:
  // The host folder of what has this name; an Error if the name is none, or nothing has it.
  using Finder = std::function<Result<std::string>(const std::string& name)>;

  // Once for each kind, before anything is asked.
  void add(std::string kind, Finder finder) { finders_[std::move(kind)] = std::move(finder); }
  // invalid_argument: there is no such kind.
  Result<std::string> folder_of(const std::string& source) const;
  Result<std::vector<std::string>> folders_of(const std::vector<std::string>& sources) const;
  // Which folders those are now: another text when one was made anew under its name. One that is
  // not there has a text too.
  std::string identity_of(const std::vector<std::string>& sources) const;

 private:
  std::map<std::string, Finder, std::less<>> finders_;
};

// As the sandbox takes them.
Result<std::vector<sandbox::BindMount>> located(const Sources& sources,
                                                const std::vector<Bind>& binds);

// A finder of names that are paths below `folder`: invalid_argument for one that leaves it.
Sources::Finder below(std::string folder);

}  // namespace thaw::worker
