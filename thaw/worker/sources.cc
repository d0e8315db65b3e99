// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/sources.h"

#include <sys/stat.h>

#include <filesystem>
#include <utility>

namespace thaw::worker {

Result<std::string> Sources::folder_of(const std::string& source) const {
  const std::size_t colon = source.find(':');
  const auto finder = finders_.find(std::string_view(source).substr(0, colon));
  if (colon == std::string::npos || finder == finders_.end()) {
    return Error::invalid_argument("'" + source.substr(0, 200) +
                                   "' names nothing that this machine keeps; a newer server may "
                                   "have planned it");
  }
  return finder->second(source.substr(colon + 1));
}

Result<std::vector<std::string>> Sources::folders_of(
    const std::vector<std::string>& sources) const {
  std::vector<std::string> folders;
  for (const std::string& source : sources) {
    THAW_TRY(std::string folder, folder_of(source));
    folders.push_back(std::move(folder));
  }
  return folders;
}

std::string Sources::identity_of(const std::vector<std::string>& sources) const {
  std::string text;
  for (const std::string& source : sources) {
    const Result<std::string> folder = folder_of(source);
    struct stat status {};
    text += source;
    if (folder && ::stat(folder->c_str(), &status) == 0) {
      text += " " + std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) + "\n";
    } else {
      text += " is not there\n";
    }
  }
  return text;
}

Result<std::vector<sandbox::BindMount>> located(const Sources& sources,
                                                const std::vector<Bind>& binds) {
  std::vector<sandbox::BindMount> mounts;
  for (const Bind& bind : binds) {
    THAW_TRY(std::string folder, sources.folder_of(bind.source));
    mounts.push_back({std::move(folder), bind.target, bind.access, bind.inside});
  }
  return mounts;
}

Sources::Finder below(std::string folder) {
  return [folder = std::move(folder)](const std::string& name) -> Result<std::string> {
    const std::filesystem::path path(name);
    const std::string normal = path.lexically_normal().string();
    if (name.empty() || path.is_absolute() || normal != name || normal == "." ||
        normal.starts_with("..")) {
      return Error::invalid_argument("'" + name.substr(0, 200) + "' is no path below " + folder);
    }
    return folder + "/" + name;
  };
}

}  // namespace thaw::worker
