// SPDX-License-Identifier: Apache-2.0
//
// RootTree: the files of an image, seen as one folder through a detached overlay mount that nobody
// else can see and that ends with this object. Layers come from strangers: every path is resolved
// inside the tree (openat2, RESOLVE_IN_ROOT), so that a symbolic link to /etc leads to the
// image's own /etc. Needs root. Blocking; any one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::image {

class RootTree {
 public:
  // DRAFT/upper takes the changes, DRAFT/work is overlayfs's own; both are made.
  static Result<RootTree> open_writable(const std::vector<std::string>& layers,
                                        const std::string& draft);
  static Result<RootTree> open_read_only(const std::vector<std::string>& layers,
                                         const std::string& draft);
  // For tests, and for trees that are one folder: without a mount.
  static Result<RootTree> open_folder(const std::string& folder);

  // open(2) inside the tree, following links inside the tree only.
  Result<os::Fd> open(const std::string& path, int flags) const;
  bool is_folder(const std::string& path) const;
  // mkdir -p; the folder, as O_PATH. New folders belong to uid:gid. Where a link on the way leads
  // to nothing, what it leads to is made, inside of the tree.
  struct Owner {
    unsigned uid = 0;
    unsigned gid = 0;
  };
  Result<os::Fd> make_folders(const std::string& path, Owner owner) const;
  Result<std::string> read_text(const std::string& path, std::size_t max_bytes) const;
  // The path after following links: "/usr/local/bin/python3.11".
  Result<std::string> real_path(const std::string& path) const;

 private:
  explicit RootTree(os::Fd root) : root_(std::move(root)) {}
  // Follows at most so many links more.
  Result<os::Fd> make_folders(const std::string& path, Owner owner, int& links) const;

  os::Fd root_;
};

}  // namespace thaw::image
