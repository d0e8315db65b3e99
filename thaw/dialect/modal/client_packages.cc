// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/client_packages.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

#include "thaw/base/log.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/program_folder.h"
#include "thaw/image/subprocess.h"

namespace thaw::dialect::modal {

// tools/client-mounts and what it reads, by path below tools/. Generated at build time.
extern const std::vector<std::pair<std::string_view, std::string_view>> client_mounts_files;

namespace fs = std::filesystem;

namespace {

// The leading digits of `text`, which are taken off it; false if there are none.
bool take_number(std::string_view& text) {
  std::size_t digits = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0) {
    ++digits;
  }
  text.remove_prefix(digits);
  return digits > 0 && digits < 9;
}

bool take(std::string_view& text, std::string_view word) {
  const bool found = text.starts_with(word);
  text.remove_prefix(found ? word.size() : 0);
  return found;
}

// 1.6.4, 1.6.4.dev3, 1.6.4rc1: what the tool takes too.
bool is_version(std::string_view text) {
  if (!take_number(text) || !take(text, ".") || !take_number(text) || !take(text, ".") ||
      !take_number(text)) {
    return false;
  }
  if (text.empty()) {
    return true;
  }
  take(text, ".");
  for (const std::string_view word : {"dev", "post", "rc", "a", "b"}) {
    if (take(text, word)) {
      return take_number(text) && text.empty();
    }
  }
  return false;
}

bool is_python_series(std::string_view text) {
  return take(text, "3.") && take_number(text) && text.empty();
}

Result<void> write_program(const std::string& folder) {
  for (const auto& [name, content] : client_mounts_files) {
    const fs::path path = fs::path(folder) / name;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    std::ofstream file(path, std::ios::binary);
    file << content;
    file.flush();
    if (!file) {
      return Error::unavailable("cannot write " + path.string() + "; is the disk full?");
    }
  }
  return ok();
}

std::vector<std::string> own_environment() {
  std::vector<std::string> env;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    env.emplace_back(*entry);
  }
  return env;
}

struct Locks {
  std::vector<int> files;

  Locks() = default;
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;
  ~Locks() {
    for (const int file : files) {
      ::close(file);
    }
  }
};

Result<std::shared_ptr<const void>> hold(const std::vector<fs::path>& folders) {
  auto locks = std::make_shared<Locks>();
  for (const fs::path& folder : folders) {
    const std::string path = folder / "manifest.json";
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
      locks->files.push_back(file);
    }
    if (file < 0 || ::flock(file, LOCK_SH) != 0) {
      return Error::from_errno(errno, "cannot keep a client package that was just laid out");
    }
  }
  return std::shared_ptr<const void>(std::move(locks));
}

// The program's last line is JSON with the two folders.
Result<ClientFolders> run_tool(const std::string& folder, Duration time_limit,
                               const std::string& version, const std::string& python,
                               const std::atomic<bool>& stop) {
  // Of this run alone: another server may be writing its own at the same moment.
  THAW_TRY(const ProgramFolder own,
           ProgramFolder::make(folder, std::to_string(::getpid()) + "-" + version + "-" + python));
  const std::string& program_folder = own.path();
  THAW_TRY_VOID(write_program(program_folder));
  image::Program program;
  program.argv = {"python3",   program_folder + "/client-mounts",
                  "--version", version,
                  "--python",  python,
                  "--out",     folder};
  program.env = own_environment();
  program.isolation = image::Program::Isolation::own_tree;
  program.time_limit = time_limit;
  std::string output;
  const auto keep_end = [&output](std::string_view piece) {
    constexpr std::size_t most = 16u << 10;
    output += piece;
    if (output.size() > 2 * most) {
      output.erase(0, output.size() - most);
    }
  };
  const Result<int> code = image::run_program(program, keep_end, stop);
  while (!output.empty() && output.back() == '\n') {
    output.pop_back();
  }
  if (!code || *code != 0) {
    const std::string words =
        output.substr(output.size() - std::min<std::size_t>(output.size(), 800));
    log_warning("a client package cannot be laid out",
                {{"version", version},
                 {"python", python},
                 {"reason", code ? words : code.error().to_string() + "; " + words}});
    return Error::unavailable(
        "modal " + version + " for Python " + python +
        " cannot be provided to containers: the package index does not have it, or could not be "
        "reached in time; the server's log has its words. Use a client version that is on the "
        "index, or try again in some minutes");
  }
  THAW_TRY(const codec::Json last, codec::parse_json(output.substr(output.rfind('\n') + 1)));
  const fs::path package = last.value("pkg", "");
  const fs::path dependencies = last.value("deps", "");
  ClientFolders made;
  THAW_TRY(made.in_use, hold({package.parent_path(), dependencies}));
  // Below CACHE/clients, wherever that leads to.
  const std::string place = "package:" + fs::path(folder).filename().string() + "/";
  made.package = place + (package.parent_path().filename() / package.filename()).string();
  made.dependencies = dependencies.empty() ? "" : place + dependencies.filename().string();
  return made;
}

}  // namespace

ClientPackages::ClientPackages(const std::string& folder, ClientPackageLimits limits)
    : ClientPackages(
          [folder, time_limit = limits.one_layout](const std::string& version,
                                                   const std::string& python,
                                                   const std::atomic<bool>& stop) {
            return run_tool(folder, time_limit, version, python, stop);
          },
          limits) {}

ClientPackages::ClientPackages(Layout layout, ClientPackageLimits limits)
    : layout_(std::move(layout)), limits_(limits) {}

ClientPackages::~ClientPackages() {
  stop_ = true;
  threads_.join();
}

async::Task<void> ClientPackages::ensure(model::WorkspaceId workspace, std::string version) {
  THAW_CO_TRY([[maybe_unused]] const ClientFolders found,
              co_await folders(workspace, version, "3.11"));
  co_return ok();
}

void ClientPackages::remember(const std::string& key, const Error& error) {
  const Instant now = monotonic_now();
  std::erase_if(failures_, [now](const auto& entry) { return entry.second.until <= now; });
  if (failures_.size() >= limits_.failures) {
    failures_.erase(std::min_element(
        failures_.begin(), failures_.end(),
        [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
  }
  failures_.insert_or_assign(key, Failure{now + limits_.remember_failure, error});
}

// Who waits for what is being laid out, or is waited for by others, costs nothing more.
Result<void> ClientPackages::admit(const model::WorkspaceId& workspace,
                                   const std::string& key) const {
  const auto found = waiting_.find(workspace);
  if (found == waiting_.end()) {
    return ok();
  }
  const Waiting& waiting = found->second;
  if (!building_.contains(key) && !waiting.requests_for.contains(key) &&
      waiting.requests_for.size() >= limits_.versions_per_workspace) {
    return Error::resource_exhausted(
        "this workspace already waits for the packages of " +
        std::to_string(limits_.versions_per_workspace) +
        " client versions that are new to this server; try again when they are laid out");
  }
  if (waiting.requests >= limits_.requests_per_workspace) {
    return Error::resource_exhausted(
        std::to_string(limits_.requests_per_workspace) +
        " requests of this workspace already wait for packages of client versions that are new "
        "to this server; try again when they are laid out");
  }
  return ok();
}

void ClientPackages::begin_to_wait(const model::WorkspaceId& workspace, const std::string& key) {
  Waiting& waiting = waiting_[workspace];
  ++waiting.requests;
  ++waiting.requests_for[key];
}

void ClientPackages::end_to_wait(const model::WorkspaceId& workspace, const std::string& key) {
  Waiting& waiting = waiting_[workspace];
  if (--waiting.requests_for[key] == 0) {
    waiting.requests_for.erase(key);
  }
  if (--waiting.requests == 0) {
    waiting_.erase(workspace);
  }
}

async::Task<ClientFolders> ClientPackages::folders(model::WorkspaceId workspace,
                                                   std::string version, std::string python) {
  if (!is_version(version) || !is_python_series(python)) {
    co_return Error::invalid_argument("'" + version.substr(0, 40) + "' for Python '" +
                                      python.substr(0, 10) + "' is no version of a client");
  }
  const std::string key = version + " " + python;
  while (true) {
    if (const auto found = ready_.find(key); found != ready_.end()) {
      co_return found->second;
    }
    if (const auto failed = failures_.find(key);
        failed != failures_.end() && monotonic_now() < failed->second.until) {
      co_return failed->second.error;
    }
    if (!building_.contains(key) && !busy_.contains(workspace)) {
      break;
    }
    THAW_CO_TRY_VOID(admit(workspace, key));
    begin_to_wait(workspace, key);
    const Result<bool> woken = co_await built_.wait(Instant::max());
    end_to_wait(workspace, key);
    if (!woken) {
      co_return woken.error();
    }
  }
  if (ready_.size() >= limits_.layouts) {
    co_return Error::resource_exhausted(
        "this server has laid out packages of " + std::to_string(limits_.layouts) +
        " client versions, which is its limit; use one of them, or restart the server");
  }
  building_.insert(key);
  busy_.insert(workspace);
  log_info("laying out the client package", {{"version", version}, {"python", python}});
  auto work = [this, version, python] { return layout_(version, python, stop_); };
  Result<ClientFolders> made = co_await async::blocking(threads_, std::move(work));
  building_.erase(key);
  busy_.erase(workspace);
  if (made) {
    ready_[key] = *made;
  } else {
    remember(key, made.error());
  }
  built_.notify_all();
  co_return made;
}

}  // namespace thaw::dialect::modal
