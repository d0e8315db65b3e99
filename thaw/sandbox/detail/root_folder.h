// SPDX-License-Identifier: Apache-2.0
//
// The root of a sandbox, built inside its own new mount namespace: overlay, /proc, /dev, /sys and
// binds, then pivot_root. Paths inside come from images, that is from strangers: each is resolved
// with openat2(RESOLVE_IN_ROOT), never by name on the host.
#pragma once

#include <string>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct RootFolders {
  std::string folder;  // private to the sandbox, on the host
  std::string upper;   // overlay's upper and work
  std::string work;
  std::string address;  // for /etc/hosts; may be empty
};

// On the host, before the sandbox exists.
Result<RootFolders> make_root_folders(const std::string& folder, const SandboxSpec& spec,
                                      const std::string& address);

// Its root folder gets the attributes of that of spec.layers, for who had none before.
void follow_image(const RootFolders& folders, const SandboxSpec& spec);

// Whose the files of a root are. Layers, upper and binds keep on disk the ids that the sandbox
// sees; what is in memory (/dev, mount points, files of /etc) has the range's.
struct RootOwner {
  const os::Fd* user_namespace = nullptr;  // with a range
  IdRange range = {};                      // none: ids are the machine's
};

// In the sandbox's mount, pid, net namespaces, with root's powers over the machine; afterwards "/"
// is the sandbox's root. The other sides of served folders go to `report`.
Result<void> enter_root(const RootFolders& folders, const SandboxSpec& spec, RootOwner owner,
                        const os::Fd& report);

// After the end: what a build left in its upper that is ours (empty mount points, work folder).
Result<void> tidy_upper(const RootFolders& folders);

}  // namespace thaw::sandbox::detail
