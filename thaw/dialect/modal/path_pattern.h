// SPDX-License-Identifier: Apache-2.0
//
// Patterns of paths, as a shell has them: in a name `*` stands for any letters and `?` for one; a
// name `**` stands for any number of folders, also none. Paths are from a root, without a slash at
// their beginning. Pure; the work is bounded by the product of both lengths.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw::dialect::modal {

class PathPattern {
 public:
  explicit PathPattern(std::string_view text);
  static bool is_one(std::string_view text);

  bool matches(std::string_view path) const;
  // The folder that everything is in which may match.
  const std::string& folder() const { return folder_; }

 private:
  std::vector<std::string> names_;
  std::string folder_;
};

}  // namespace thaw::dialect::modal
