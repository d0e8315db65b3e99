// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/running_servers.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "thaw/codec/json.h"

namespace thaw::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* folder = "/run/thaw/ready";

// Far more than is written into one.
constexpr std::uintmax_t most_bytes = 64u << 10;

// Of a server's number. Whatever else lies there is passed over, and neither read nor removed: a
// pipe would be waited for, and a link names somebody else's file.
bool is_record(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::size_t digits = name.find_first_not_of("0123456789");
  std::error_code error;
  return digits > 0 && name.substr(std::min(digits, name.size())) == ".json" &&
         fs::is_regular_file(fs::symlink_status(path, error)) &&
         fs::file_size(path, error) <= most_bytes;
}

// The folder is there itself: what is in it is removed at times.
bool has_folder() {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(folder, error));
}

std::string file_of(int pid) { return std::string(folder) + "/" + std::to_string(pid) + ".json"; }

// When the kernel started the process, in its own units; empty: there is none. With its number it
// names a process for as long as the machine runs, which the number alone does not.
std::string birth_of(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  // The second field is in brackets and may hold anything; this is the 22nd.
  const std::size_t bracket = text.rfind(')');
  if (bracket == std::string::npos) {
    return {};
  }
  std::istringstream fields(text.substr(bracket + 1));
  std::string field;
  for (int number = 3; number <= 22; ++number) {
    fields >> field;
  }
  return field;
}

// Nothing if it is no such file, or of a server that has ended.
std::optional<RunningServer> read_server(const fs::path& path) {
  std::ifstream in(path);
  const auto json = codec::parse_json(std::string((std::istreambuf_iterator<char>(in)), {}));
  const auto has = [&json](const char* key, codec::Json::value_t type) {
    return json->contains(key) && (*json)[key].type() == type;
  };
  using Type = codec::Json::value_t;
  if (!json || !json->is_object() || !has("pid", Type::number_unsigned) ||
      !has("data", Type::string) || !has("url", Type::string) || !json->contains("started_at") ||
      !(*json)["started_at"].is_number()) {
    return std::nullopt;
  }
  RunningServer server;
  server.pid = (*json)["pid"].get<int>();
  server.data = (*json)["data"].get<std::string>();
  server.url = (*json)["url"].get<std::string>();
  if (has("listens_at", Type::string)) {
    server.listens_at = (*json)["listens_at"].get<std::string>();
  }
  server.started_at = (*json)["started_at"].get<double>();
  const std::string birth = birth_of(server.pid);
  // A server of an older version does not tell.
  const bool lives = !birth.empty() &&
                     (!has("birth", Type::string) || (*json)["birth"].get<std::string>() == birth);
  return lives ? std::optional(std::move(server)) : std::nullopt;
}

}  // namespace

Result<void> announce_server(const RunningServer& server) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!has_folder()) {
    return Error::failed_precondition(std::string(folder) +
                                      " is to be a folder and is something "
                                      "else; move it away");
  }
  (void)running_servers();  // the files of those that were killed go
  const std::string path = file_of(server.pid);
  fs::remove(path + ".tmp", error);
  std::ofstream out(path + ".tmp", std::ios::trunc);
  out << codec::dump_json({{"pid", server.pid},
                           {"data", server.data},
                           {"url", server.url},
                           {"listens_at", server.listens_at},
                           {"birth", birth_of(server.pid)},
                           {"started_at", server.started_at}});
  out.close();
  fs::rename(path + ".tmp", path, error);
  if (!out || error) {
    return Error::unavailable("cannot write " + path + "; is something else in its place?");
  }
  return ok();
}

void withdraw_server(int pid) {
  std::error_code error;
  fs::remove(file_of(pid), error);
}

std::vector<RunningServer> running_servers() {
  std::vector<RunningServer> found;
  std::error_code error;
  fs::directory_iterator entry;
  if (has_folder()) {
    entry = fs::directory_iterator(folder, error);
  }
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (!is_record(entry->path())) {
      continue;
    }
    if (auto server = read_server(entry->path())) {
      found.push_back(std::move(*server));
    } else {
      std::error_code ignored;
      fs::remove(entry->path(), ignored);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.started_at > b.started_at; });
  return found;
}

Result<RunningServer> find_server(const std::string& data) {
  std::error_code error;
  const std::string wanted = data.empty() ? "" : fs::weakly_canonical(data, error).string();
  for (const RunningServer& server : running_servers()) {
    if (wanted.empty() || server.data == wanted) {
      return server;
    }
  }
  return Error::not_found(wanted.empty()
                              ? "no thaw server runs on this machine; start one with `thaw serve`"
                              : "no thaw server runs with the data folder " + wanted +
                                    "; start it with `thaw serve --data " + wanted + "`");
}

}  // namespace thaw::cli
