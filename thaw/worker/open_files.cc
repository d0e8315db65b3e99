// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/open_files.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "thaw/os/files.h"

namespace thaw::worker {

namespace {

std::string read_link(const std::string& path) {
  std::string text(4096, '\0');
  const ssize_t n = ::readlink(path.c_str(), text.data(), text.size());
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return text;
}

// The part of `path` below `folder`; "" if it is not there, "." for the folder itself.
std::string below(const std::string& path, const std::string& folder) {
  if (path == folder) {
    return ".";
  }
  return path.starts_with(folder + "/") ? path.substr(folder.size() + 1) : "";
}

std::string program_of(const std::string& process) {
  std::string line = os::read_text(process + "/cmdline").value_or("");
  std::replace(line.begin(), line.end(), '\0', ' ');
  line = line.substr(0, 200);
  while (line.ends_with(' ')) {
    line.pop_back();
  }
  return line;
}

}  // namespace

std::string describe_open_file(int pid, const std::vector<std::string>& folders) {
  const std::string space = read_link("/proc/" + std::to_string(pid) + "/ns/pid");
  for (const std::string& name : os::list_folder("/proc")) {
    const std::string process = "/proc/" + name;
    if (space.empty() || std::isdigit(static_cast<unsigned char>(name[0])) == 0 ||
        read_link(process + "/ns/pid") != space) {
      continue;
    }
    const std::string folder_in_use = read_link(process + "/cwd");
    for (const std::string& folder : folders) {
      if (!below(folder_in_use, folder).empty()) {
        return "cwd of '" + program_of(process) + "' is inside the volume";
      }
    }
    for (const std::string& fd : os::list_folder(process + "/fd")) {
      const std::string file = read_link(process + "/fd/" + fd);
      for (const std::string& folder : folders) {
        if (const std::string inside = below(file, folder); !inside.empty()) {
          return "path " + inside + " is open from '" + program_of(process) + "'";
        }
      }
    }
  }
  return {};
}

}  // namespace thaw::worker
