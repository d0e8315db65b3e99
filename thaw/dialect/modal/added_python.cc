// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/added_python.h"

#include "thaw/image/base_recipe.h"

namespace thaw::dialect::modal {

namespace {

constexpr std::string_view prefix = "python-build-standalone.";
// What the client writes.
constexpr std::string_view copy_line = "COPY /python/. /usr/local";
constexpr std::string_view link_line = "RUN ln -s /usr/local/bin/python3 /usr/local/bin/python";

}  // namespace

// prefix, RELEASE.3.11.5-gnu; or, as it is known here, prefix and 3.11.
std::string added_python_of(std::string_view mount_name) {
  if (!mount_name.starts_with(prefix)) {
    return {};
  }
  std::string_view rest = mount_name.substr(prefix.size());
  rest = rest.substr(0, rest.find('-'));
  const bool has_release = !rest.starts_with("3.");
  const auto dot = rest.find('.');
  if (has_release && dot != std::string_view::npos) {
    rest.remove_prefix(dot + 1);
  }
  const auto minor_end = rest.find('.', rest.find('.') + 1);
  std::string version(rest.substr(0, minor_end));
  return rest.ends_with('t') && !version.ends_with('t') ? version + "t" : version;
}

Result<std::string> added_python_mount(std::string_view mount_name) {
  const std::string version = added_python_of(mount_name);
  if (!image::find_added_python(version)) {
    return Error::unimplemented(
        "add_python=\"" + version.substr(0, 20) +
        "\" cannot be had: Thaw adds the Python of a Debian release, the nearest one to 3.8 up to "
        "3.15, with its global lock. Or install one by setup_dockerfile_commands: RUN apt-get "
        "update && apt-get install -y python3 python3-pip python-is-python3");
  }
  return std::string(prefix) + version;
}

void add_python(std::string_view mount_name, image::Recipe& recipe) {
  const std::string version = added_python_of(mount_name);
  const auto added = image::find_added_python(version);
  if (!added) {
    return;
  }
  std::vector<std::string> lines;
  for (const std::string& line : recipe.dockerfile) {
    if (line == copy_line) {
      lines.push_back("COPY --from=" + added->reference + " /python/. /usr/local");
      if (added->python != version) {
        lines.push_back("ENV " + std::string(image::wanted_python) + "=" + version);
      }
    } else if (line != link_line) {  // it has that link
      lines.push_back(line);
    }
  }
  recipe.dockerfile = std::move(lines);
}

}  // namespace thaw::dialect::modal
