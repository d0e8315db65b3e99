// SPDX-License-Identifier: Apache-2.0
//
// Who the main program runs as: "", "name", "uid", "uid:gid", "name:group", looked up in the
// sandbox's own /etc/passwd and /etc/group, which come from an image and may be hostile: size and
// line count are bounded, a broken line is skipped, and a FIFO in its place is not waited for.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/sandbox/detail/id_ranges.h"

namespace thaw::sandbox::detail {

struct UserIds {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary, without gid
  std::string home = "/";
};

Result<UserIds> find_user(std::string_view user, std::string_view passwd, std::string_view group);

// Reads the two files below "/" (call after entering the root). Where the sandbox has ids of its
// own there are 65,536.
Result<UserIds> find_user(std::string_view user, Ids whose);

}  // namespace thaw::sandbox::detail
