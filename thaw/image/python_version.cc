// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/python_version.h"

#include <fcntl.h>

#include <algorithm>

#include "thaw/image/plan.h"

namespace thaw::image {
namespace {

// "3.11.2" or "3.11" at the beginning of `text`: "3.11".
std::string major_minor(std::string_view text) {
  std::size_t end = 0;
  int dots = 0;
  while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) {
    if (text[end] == '.' && ++dots == 2) {
      break;
    }
    ++end;
  }
  const std::string_view version = text.substr(0, end);
  return version.starts_with("3.") && version.size() > 2 ? std::string(version) : "";
}

// Of an interpreter in PREFIX/bin that does not say it by its name.
std::string version_below(const RootTree& tree, const std::string& prefix) {
  // A virtual environment says it in its configuration, in words of who made it.
  if (const auto config = tree.read_text(prefix + "/pyvenv.cfg", 1u << 16)) {
    for (const std::string_view key : {"version = ", "version_info = "}) {
      if (const auto at = config->find(key); at != std::string::npos) {
        return major_minor(std::string_view(*config).substr(at + key.size()));
      }
    }
  }
  // A copied interpreter: the one whose library is beside it.
  std::string found;
  for (int minor = 6; minor < 40; ++minor) {
    const std::string version = "3." + std::to_string(minor);
    if (tree.open(prefix + "/lib/python" + version + "/os.py", O_PATH)) {
      if (!found.empty()) {
        return "";
      }
      found = version;
    }
  }
  return found;
}

// "/usr/local" for "/usr/local/bin/python".
std::string prefix_of(const std::string& interpreter) {
  const std::string folder = interpreter.substr(0, interpreter.rfind('/'));
  return folder.substr(0, folder.rfind('/'));
}

}  // namespace

std::string path_of(const ImageConfig& config) {
  const auto path = env_value(config.env, "PATH");
  return path ? *path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

std::string find_python_version(const RootTree& tree, std::string_view path) {
  while (!path.empty()) {
    const std::string_view folder = path.substr(0, path.find(':'));
    path.remove_prefix(std::min(folder.size() + 1, path.size()));
    const std::string interpreter = std::string(folder) + "/python";
    const auto real = tree.real_path(interpreter);
    if (!folder.starts_with('/') || !real) {
      continue;
    }
    // An interpreter that links to python3.11 says it by its name.
    const std::string name = real->substr(real->rfind('/') + 1);
    if (name.starts_with("python3.")) {
      return major_minor(std::string_view(name).substr(6));
    }
    const std::string version = version_below(tree, prefix_of(interpreter));
    return version.empty() ? version_below(tree, prefix_of(*real)) : version;
  }
  return "";
}

}  // namespace thaw::image
