// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/python_version.h"

#include <fcntl.h>

#include <algorithm>

#include "thaw/image/dockerfile_words.h"

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

}  // namespace

std::string find_python_version(const RootTree& tree) {
  const auto real = tree.real_path("/usr/local/bin/python");
  if (!real) {
    return "";
  }
  // An interpreter that links to python3.11 says it by its name.
  const std::string name = real->substr(real->rfind('/') + 1);
  if (name.starts_with("python3.")) {
    return major_minor(std::string_view(name).substr(6));
  }
  // A virtual environment says it in its configuration.
  if (const auto config = tree.read_text("/usr/local/pyvenv.cfg", 1u << 16)) {
    const auto at = config->find("version = ");
    if (at != std::string::npos) {
      return major_minor(std::string_view(*config).substr(at + 10));
    }
  }
  // A copied interpreter: the one whose library is beside it.
  std::string found;
  for (int minor = 6; minor < 40; ++minor) {
    const std::string version = "3." + std::to_string(minor);
    if (tree.open("/usr/local/lib/python" + version + "/os.py", O_PATH)) {
      if (!found.empty()) {
        return "";
      }
      found = version;
    }
  }
  return found;
}

}  // namespace thaw::image
