// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/run_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "thaw/os/files.h"

namespace thaw::image {
namespace {

using Access = sandbox::BindMount::Access;

Result<void> make_folder(const std::string& folder, std::uint32_t mode) {
  THAW_TRY_VOID(os::make_folders(folder));
  // The file creation mask of the server must not reach into steps.
  if (::chmod(folder.c_str(), mode) != 0) {
    return Error::from_errno(errno, "set the mode of " + folder);
  }
  return ok();
}

// What is bound: a single file itself, else the folder.
Result<std::string> lay_files(const RunMount& mount, const MountSources& sources, std::size_t n,
                              const std::string& folder) {
  THAW_TRY_VOID(make_folder(folder + "/files", 0755));
  THAW_TRY(const RootTree target, RootTree::open_folder(folder + "/files"));
  CopyStep copy;
  copy.destination = "/";
  if (!mount.items.empty()) {
    copy.items = mount.items;
    THAW_TRY_VOID(copy_items(target, copy, sources.blobs));
    const bool is_file =
        mount.items.size() == 1 && mount.items.front().kind == CopyItem::Kind::file;
    return folder + "/files" + (is_file ? "/" + mount.items.front().name : "");
  }
  THAW_TRY(const RootTree source, RootTree::open_read_only(sources.layers[n], folder + "/source"));
  if (!source.open(mount.source, O_PATH)) {
    return Error::failed_precondition("RUN --mount: the image has no " + mount.source);
  }
  copy.patterns = {mount.source};
  THAW_TRY_VOID(copy_from_tree(target, copy, source));
  const bool is_file = !source.is_folder(mount.source);
  return folder + "/files" +
         (is_file ? "/" + mount.source.substr(mount.source.rfind('/') + 1) : "");
}

Result<void> add_secret(const RunMount& mount, const MountSources& sources,
                        const std::string& folder, PreparedMounts& out) {
  const auto value = env_value(sources.secret_env, mount.secret);
  if (!value && mount.missing == RunMount::Missing::error) {
    return Error::failed_precondition("RUN --mount=type=secret: the build has no secret \"" +
                                      mount.secret +
                                      "\"; pass one with a variable of that name (secrets=)");
  }
  if (value && !mount.variable.empty()) {
    out.env.push_back(mount.variable + "=" + *value);
  }
  if (value && !mount.target.empty()) {
    const std::string file = folder + "/secret";
    THAW_TRY_VOID(os::create_text(file, *value, 0400));
    out.binds.push_back({file, mount.target, Access::read_only});
  }
  return ok();
}

}  // namespace

Result<PreparedMounts> prepare_mounts(const std::vector<RunMount>& mounts,
                                      const MountSources& sources, const std::string& folder) {
  PreparedMounts out;
  for (std::size_t n = 0; n < mounts.size(); ++n) {
    const RunMount& mount = mounts[n];
    const std::string own = folder + "/" + std::to_string(n);
    THAW_TRY_VOID(make_folder(own, 0755));
    const Access access =
        mount.access == RunMount::Access::read_write ? Access::read_write : Access::read_only;
    switch (mount.kind) {
      case RunMount::Kind::files: {
        THAW_TRY(std::string source, lay_files(mount, sources, n, own));
        out.binds.push_back({std::move(source), mount.target, access});
        break;
      }
      case RunMount::Kind::scratch:
        THAW_TRY_VOID(make_folder(own + "/scratch", mount.mode));
        out.binds.push_back({own + "/scratch", mount.target, access});
        break;
      case RunMount::Kind::secret: THAW_TRY_VOID(add_secret(mount, sources, own, out)); break;
    }
  }
  return out;
}

}  // namespace thaw::image
