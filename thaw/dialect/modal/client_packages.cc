// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/client_packages.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "thaw/base/log.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/program_folder.h"

namespace thaw::dialect::modal {

// Generated from tools/client-mounts and its lock file at build time.
extern const std::string_view client_mounts_program;
extern const std::string_view client_mounts_lock;

namespace fs = std::filesystem;

namespace {

bool plain(const std::string& text) {
  return !text.empty() && text.size() < 32 &&
         text.find_first_not_of("0123456789.abcrvdepost+") == std::string::npos;
}

Result<void> write_program(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  std::ofstream(folder + "/client-mounts", std::ios::binary) << client_mounts_program;
  std::ofstream lock(folder + "/client-mounts.lock", std::ios::binary);
  lock << client_mounts_lock;
  lock.flush();
  if (!lock) {
    return Error::unavailable("cannot write " + folder + "; is the disk full?");
  }
  return ok();
}

// On a pool thread. The program's last line on stdout is JSON with the two folders.
Result<ClientFolders> run_program(const std::string& folder, const std::string& version,
                                  const std::string& python) {
  // Of this run alone: another server may be writing its own at the same moment.
  THAW_TRY(const ProgramFolder own,
           ProgramFolder::make(folder, std::to_string(::getpid()) + "-" + version + "-" + python));
  const std::string& program_folder = own.path();
  THAW_TRY_VOID(write_program(program_folder));
  const std::string errors = program_folder + "/log";
  // Every word is ours or was checked by plain(); the shell only redirects.
  const std::string command = "python3 '" + program_folder + "/client-mounts' --version " +
                              version + " --python " + python + " --out '" + folder + "' 2>'" +
                              errors + "' </dev/null";
  FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) {
    return Error::unavailable("cannot run python3 to lay out the client package");
  }
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = ::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), n);
  }
  if (::pclose(pipe) != 0) {
    std::ifstream log(errors);
    const std::string text((std::istreambuf_iterator<char>(log)), {});
    return Error::unavailable(
        "cannot provide modal " + version + " for Python " + python +
        " to containers: " + text.substr(text.size() - std::min<std::size_t>(text.size(), 800)));
  }
  while (!output.empty() && output.back() == '\n') {
    output.pop_back();
  }
  THAW_TRY(const codec::Json last, codec::parse_json(output.substr(output.rfind('\n') + 1)));
  return ClientFolders{last.value("pkg", ""), last.value("deps", "")};
}

}  // namespace

async::Task<void> ClientPackages::ensure(std::string version) {
  THAW_CO_TRY([[maybe_unused]] const ClientFolders found, co_await folders(version, "3.11"));
  co_return ok();
}

async::Task<ClientFolders> ClientPackages::folders(std::string version, std::string python) {
  if (!plain(version) || !plain(python)) {
    co_return Error::invalid_argument("'" + version.substr(0, 40) + "' is no version of a client");
  }
  const std::string key = version + " " + python;
  while (building_[key]) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await built_.wait(Instant::max()));
  }
  if (const auto found = ready_.find(key); found != ready_.end()) {
    co_return found->second;
  }
  building_[key] = true;
  log_info("laying out the client package", {{"version", version}, {"python", python}});
  auto work = [folder = folder_, version, python] { return run_program(folder, version, python); };
  Result<ClientFolders> made = co_await async::blocking(pool_, std::move(work));
  building_[key] = false;
  built_.notify_all();
  if (made) {
    ready_[key] = *made;
  }
  co_return made;
}

}  // namespace thaw::dialect::modal
