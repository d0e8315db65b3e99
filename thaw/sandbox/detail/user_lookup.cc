// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/user_lookup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>

#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

namespace {

constexpr std::size_t max_file_bytes = 1 << 20;
constexpr std::size_t max_groups = 64;

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  // The last id is "no change" to the kernel.
  if (failed != std::errc() || stop != text.data() + text.size() || value == 0xffffffffU) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + 1);
  }
}

struct PasswdLine {
  std::string_view name;
  std::uint32_t uid, gid;
  std::string_view home;
};

std::optional<PasswdLine> find_passwd(std::string_view passwd,
                                      const std::function<bool(const PasswdLine&)>& wanted) {
  for (const std::string_view line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() != 7) {
      continue;
    }
    const auto uid = number(fields[2]);
    const auto gid = number(fields[3]);
    if (!uid || !gid) {
      continue;
    }
    const PasswdLine found{fields[0], *uid, *gid, fields[5]};
    if (wanted(found)) {
      return found;
    }
  }
  return std::nullopt;
}

std::optional<std::uint32_t> find_group(std::string_view group, std::string_view name) {
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() == 4 && fields[0] == name) {
      return number(fields[2]);
    }
  }
  return std::nullopt;
}

std::vector<gid_t> groups_of(std::string_view group, std::string_view user, gid_t main_group) {
  std::vector<gid_t> groups;
  for (const std::string_view line : split(group, '\n')) {
    const auto fields = split(line, ':');
    const auto gid = fields.size() == 4 ? number(fields[2]) : std::nullopt;
    if (!gid || *gid == main_group || groups.size() == max_groups) {
      continue;
    }
    for (const std::string_view member : split(fields[3], ',')) {
      if (!user.empty() && member == user) {
        groups.push_back(*gid);
        break;
      }
    }
  }
  return groups;
}

std::string read_bounded(const char* path) {
  const os::Fd fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status;
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return {};
  }
  const auto size_now = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
  std::string text(std::min(size_now, max_file_bytes), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + size, text.size() - size);
    if (n <= 0) {
      break;
    }
    size += static_cast<std::size_t>(n);
  }
  text.resize(size);
  return text;
}

}  // namespace

Result<UserIds> find_user(std::string_view user, std::string_view passwd, std::string_view group) {
  UserIds ids;
  if (user.empty()) {
    user = "0";
  }
  const std::size_t colon = user.find(':');
  const std::string_view name = user.substr(0, colon);
  const auto uid = number(name);
  const auto found = find_passwd(
      passwd, [&](const PasswdLine& line) { return uid ? line.uid == *uid : line.name == name; });
  if (!uid && !found) {
    return Error::not_found("there is no user '" + std::string(name) +
                            "' in the image's /etc/passwd");
  }
  ids.uid = uid ? *uid : found->uid;
  ids.gid = found ? found->gid : 0;
  if (found && !found->home.empty() && found->home[0] == '/') {
    ids.home = found->home;
  }
  if (colon == std::string_view::npos) {
    ids.groups = groups_of(group, found ? found->name : "", ids.gid);
    return ids;
  }
  const std::string_view wanted = user.substr(colon + 1);
  const auto gid = number(wanted) ? number(wanted) : find_group(group, wanted);
  if (!gid) {
    return Error::not_found("there is no group '" + std::string(wanted) +
                            "' in the image's /etc/group");
  }
  ids.gid = *gid;
  return ids;
}

Result<UserIds> find_user(std::string_view user, Ids whose) {
  const std::string passwd = read_bounded("/etc/passwd");
  const std::string group = read_bounded("/etc/group");
  THAW_TRY(UserIds ids, find_user(user, passwd, group));
  if (whose == Ids::own && (ids.uid >= ids_in_range || ids.gid >= ids_in_range)) {
    return Error::invalid_argument("the user '" + std::string(user) +
                                   "' has an id that no container has: they are 0 to 65535");
  }
  std::erase_if(ids.groups, [&](gid_t gid) { return whose == Ids::own && gid >= ids_in_range; });
  return ids;
}

}  // namespace thaw::sandbox::detail
