// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace thaw::sandbox::detail {

namespace {

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

// Files of its own root, signals to its own processes: nothing that reaches the kernel.
constexpr std::uint64_t file_capabilities =
    bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FOWNER) | bit(CAP_KILL);

// Owners, set-id bits, users that services, entry points and maintainer scripts switch to.
constexpr std::uint64_t user_capabilities = file_capabilities | bit(CAP_FSETID) | bit(CAP_SETUID) |
                                            bit(CAP_SETGID) | bit(CAP_SETFCAP) |
                                            bit(CAP_SYS_CHROOT) | bit(CAP_NET_BIND_SERVICE);

// Over its own user namespace and what that owns: to enter namespaces, and there to give up all
// this, the bounding set and the user.
constexpr std::uint64_t entering_capabilities =
    bit(CAP_SYS_ADMIN) | bit(CAP_SYS_CHROOT) | bit(CAP_SETPCAP) | bit(CAP_SETUID) | bit(CAP_SETGID);

}  // namespace

std::uint64_t kept_capabilities(Profile profile, Ids ids) {
  const std::uint64_t of_function = ids == Ids::own ? user_capabilities : file_capabilities;
  switch (profile) {
    case Profile::build: return user_capabilities;
    case Profile::templated: return of_function | entering_capabilities;
    case Profile::function: break;
  }
  return of_function;
}

std::string missing_for_spawner() {
  constexpr std::pair<int, const char*> needed[] = {
      {CAP_SYS_ADMIN, "SYS_ADMIN"}, {CAP_NET_ADMIN, "NET_ADMIN"},
      {CAP_MKNOD, "MKNOD"},         {CAP_SETPCAP, "SETPCAP"},
      {CAP_SETUID, "SETUID"},       {CAP_SETGID, "SETGID"},
      {CAP_KILL, "KILL"},           {CAP_CHOWN, "CHOWN"},
      {CAP_FOWNER, "FOWNER"},       {CAP_DAC_OVERRIDE, "DAC_OVERRIDE"}};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  ::syscall(SYS_capget, &header, sets);
  const std::uint64_t own = sets[0].effective | static_cast<std::uint64_t>(sets[1].effective) << 32;
  std::string missing;
  for (const auto& [number, name] : needed) {
    if ((own & bit(number)) == 0) {
      missing += (missing.empty() ? "" : ", ") + std::string(name);
    }
  }
  return missing;
}

Result<void> bound_capabilities(std::uint64_t kept) {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if ((kept & bit(capability)) == 0 && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
      return Error::from_errno(errno, "drop capability " + std::to_string(capability));
    }
  }
  return ok();
}

Result<void> drop_capabilities(std::uint64_t kept) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return Error::from_errno(errno, "clear ambient capabilities");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  sets[0].effective = sets[0].permitted = static_cast<std::uint32_t>(kept);
  sets[1].effective = sets[1].permitted = static_cast<std::uint32_t>(kept >> 32);
  if (::syscall(SYS_capset, &header, sets) != 0) {
    return Error::from_errno(errno, "set capabilities");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
