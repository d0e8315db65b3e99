// SPDX-License-Identifier: Apache-2.0
// thaw image import | list | rm
#include <cstdio>
#include <filesystem>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace {

// Of an import: the server reads, unpacks and syncs all of it before it answers.
constexpr Duration import_limit = std::chrono::hours(2);

TableRow row_of(const codec::Json& image) {
  const std::string python = image.value("python", "");
  return {image.value("name", ""), std::to_string(image.value("layers", std::uint64_t{0})),
          short_bytes(image.value("bytes", 0.0)), python.empty() ? "-" : python,
          local_time(image.value("imported_at", 0.0))};
}

}  // namespace

int import_image(const Where& where, const std::string& path, const std::string& name) {
  // The server has another working folder.
  std::error_code failure;
  const std::string absolute = std::filesystem::absolute(path, failure).lexically_normal().string();
  if (failure) {
    return fail(Error::invalid_argument("'" + path + "' is no path: " + failure.message()));
  }
  const codec::Json request = {{"path", absolute}, {"name", name}};
  return ask_and_show(
      where, {"POST", "/admin/images", codec::dump_json(request)},
      [](const codec::Json& made) {
        const TableRow row = row_of(made);
        std::printf("imported %s: %s layers, %s, Python %s\n", row[0].c_str(), row[1].c_str(),
                    row[2].c_str(), row[3].c_str());
      },
      import_limit);
}

int list_images(const Where& where) {
  return ask_and_show(where, {"GET", "/admin/images", ""}, [](const codec::Json& images) {
    std::vector<TableRow> rows;
    for (const auto& image : images) {
      rows.push_back(row_of(image));
    }
    std::fputs(aligned_table({"NAME", "LAYERS", "SIZE", "PYTHON", "IMPORTED"}, rows).c_str(),
               stdout);
  });
}

int remove_image(const Where& where, const std::string& name) {
  return ask_and_show(where, {"DELETE", "/admin/images/" + percent_encoded(name), ""},
                      [&](const codec::Json&) { std::printf("removed %s\n", name.c_str()); });
}

}  // namespace thaw::cli
