// SPDX-License-Identifier: Apache-2.0
#include "thaw/snapshot/snapshot_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "thaw/base/log.h"
#include "thaw/codec/json.h"
#include "thaw/os/files.h"
#include "thaw/snapshot/folder_digest.h"
#include "thaw/store/blob_store.h"

namespace thaw::snapshot {

namespace fs = std::filesystem;
using async::Task;

namespace {

constexpr int format = 1;
const std::string staging_prefix = "staging-";

bool is_file_name(const std::string& text) {
  return !text.empty() && text.size() <= 128 && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

// The digest of its manifest. Whatever else lies in a folder that somebody has named is not ours.
bool is_snapshot_id(const std::string& name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// The manifest's time is that of the snapshot's last use; one of the future counts as now.
constexpr Duration note_every = 1h;

Instant noted_use(const std::string& folder) {
  struct stat status {};
  if (::stat((folder + "/manifest.json").c_str(), &status) != 0) {
    return monotonic_now();
  }
  const WallTime used{std::chrono::seconds(status.st_mtim.tv_sec)};
  return monotonic_now() - std::max<Duration>(wall_now() - used, Duration::zero());
}

Result<void> note_use(const std::string& folder) {
  if (::utimensat(AT_FDCWD, (folder + "/manifest.json").c_str(), nullptr, 0) != 0) {
    return Error::from_errno(errno, "note the use of " + folder);
  }
  return ok();
}

struct Digests {
  FolderDigest images;
  FolderDigest upper;
  std::string signature;
};

Result<std::string> signature_of_both(const std::string& folder) {
  THAW_TRY(const std::string images, signature_of(folder + "/images"));
  THAW_TRY(const std::string upper, signature_of(folder + "/upper"));
  return images + upper;
}

// The signature first: what changes while the files are read is noticed the next time.
Result<Digests> digests_of(const std::string& folder) {
  Digests digests;
  THAW_TRY(digests.signature, signature_of_both(folder));
  THAW_TRY(digests.images, digest_of(folder + "/images"));
  THAW_TRY(digests.upper, digest_of(folder + "/upper"));
  return digests;
}

std::string manifest_text(const Snapshot& snapshot, const std::string& machine,
                          const Digests& digests) {
  return codec::dump_json({{"format", format},
                           {"machine", machine},
                           {"workspace", snapshot.key.workspace},
                           {"function", snapshot.key.function},
                           {"key", snapshot.key.digest},
                           {"created_us", snapshot.created.time_since_epoch().count()},
                           {"stdout_pipe", snapshot.checkpoint.stdout_pipe},
                           {"stderr_pipe", snapshot.checkpoint.stderr_pipe},
                           {"hears_restores", snapshot.checkpoint.hears_restores ? 1 : 0},
                           {"bytes", snapshot.bytes},
                           {"images", digests.images.sha256_hex},
                           {"upper", digests.upper.sha256_hex}});
}

template <class T>
T value_or(const codec::Json& json, const char* name, T fallback) {
  const auto found = json.find(name);
  if (found == json.end()) {
    return fallback;
  }
  if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? found->template get<T>() : fallback;
  } else {
    return found->is_number_integer() ? found->template get<T>() : fallback;
  }
}

}  // namespace

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::open(async::Pool& pool, std::string folder,
                                                           std::string machine,
                                                           SnapshotLimits limits) {
  THAW_TRY_VOID(os::make_folders(folder, 0700));
  std::unique_ptr<SnapshotStore> store(
      new SnapshotStore(pool, std::move(folder), std::move(machine), limits));
  store->load();
  return store;
}

void SnapshotStore::load() {
  (void)os::remove_tree(folder_ + "/staging");
  for (const std::string& workspace : os::list_folder(folder_)) {
    if (!is_folder(folder_ + "/" + workspace)) {
      continue;
    }
    for (const std::string& id : os::list_folder(folder_ + "/" + workspace)) {
      if (!is_snapshot_id(id)) {
        continue;
      }
      auto snapshot = std::make_shared<Snapshot>();
      snapshot->id = id;
      snapshot->folder = folder_ + "/" + workspace + "/" + id;
      const auto text = os::read_text(snapshot->folder + "/manifest.json");
      if (!text && text.error().code() == Code::unavailable) {
        log_warning("a snapshot is not used by this server: its manifest cannot be read now",
                    {{"error", text.error().to_string()}});
        continue;
      }
      const auto json = text ? codec::parse_json(*text) : Error::not_found("no manifest");
      const bool whole = json && json->is_object() && store::sha256_hex(*text) == id;
      if (!whole || value_or<std::string>(*json, "machine", "") != machine_ ||
          value_or<std::string>(*json, "workspace", "") != workspace) {
        (void)os::remove_tree(snapshot->folder);
        continue;
      }
      snapshot->key = {workspace, value_or<std::string>(*json, "function", ""),
                       value_or<std::string>(*json, "key", "")};
      snapshot->checkpoint = {value_or<std::uint64_t>(*json, "stdout_pipe", 0),
                              value_or<std::uint64_t>(*json, "stderr_pipe", 0),
                              value_or<int>(*json, "hears_restores", 0) != 0};
      snapshot->bytes = value_or<std::uint64_t>(*json, "bytes", 0);
      snapshot->created =
          WallTime(std::chrono::microseconds(value_or<std::int64_t>(*json, "created_us", 0)));
      Entry entry;
      entry.images_digest = value_or<std::string>(*json, "images", "");
      entry.upper_digest = value_or<std::string>(*json, "upper", "");
      entry.used = entry.noted = noted_use(snapshot->folder);
      entry.snapshot = std::move(snapshot);
      Entry& there = entries_[{workspace, entry.snapshot->key.function}];
      if (there.snapshot && there.snapshot->created > entry.snapshot->created) {
        std::swap(there, entry);
      }
      if (there.snapshot) {
        retired_.push_back(there.snapshot);
      }
      there = std::move(entry);
    }
  }
}

std::uint64_t SnapshotStore::bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [name, entry] : entries_) {
    sum += entry.snapshot->bytes;
  }
  return sum;
}

Result<std::string> SnapshotStore::begin(std::uint64_t expected_bytes) {
  if (expected_bytes > limits_.bytes) {
    return Error::resource_exhausted("a snapshot of this size is over the limit for all of them");
  }
  struct statvfs disk {};
  if (::statvfs(folder_.c_str(), &disk) != 0) {
    return Error::from_errno(errno, "look at the disk of " + folder_);
  }
  const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free < expected_bytes + limits_.free_bytes) {
    return Error::resource_exhausted("the disk of " + folder_ + " has too little room");
  }
  const std::string staging = folder_ + "/staging/" + std::to_string(++next_staging_);
  THAW_TRY_VOID(os::make_folders(staging + "/images", 0700));
  return staging;
}

Task<void> SnapshotStore::abandon(std::string staging) {
  auto work = [staging] { return os::remove_tree(staging); };
  co_return co_await async::blocking(pool_, std::move(work));
}

Result<SnapshotPtr> SnapshotStore::preview(const std::string& staging, SnapshotKey key,
                                           sandbox::Checkpoint checkpoint) {
  THAW_TRY_VOID(os::make_folders(staging + "/upper", 0755));
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->id = name_of(staging);
  snapshot->key = std::move(key);
  snapshot->folder = staging;
  snapshot->checkpoint = checkpoint;
  std::erase_if(previews_, [](const auto& entry) { return entry.second.expired(); });
  previews_[snapshot->id] = snapshot;
  return SnapshotPtr(std::move(snapshot));
}

std::string SnapshotStore::name_of(const std::string& staging) {
  return staging_prefix + staging.substr(staging.rfind('/') + 1);
}

Result<std::string> SnapshotStore::staging_of(const std::string& name) const {
  const std::string number = name.substr(std::min(name.size(), staging_prefix.size()));
  if (!name.starts_with(staging_prefix) || number.empty() || number.size() > 20 ||
      number.find_first_not_of("0123456789") != std::string::npos) {
    return Error::invalid_argument("'" + name.substr(0, 100) +
                                   "' is no place in which a snapshot is being written");
  }
  return folder_ + "/staging/" + number;
}

Result<SnapshotPtr> SnapshotStore::open(const std::string& name) const {
  if (const auto preview = previews_.find(name); preview != previews_.end()) {
    if (SnapshotPtr found = preview->second.lock()) {
      return found;
    }
  }
  for (const auto& [key, entry] : entries_) {
    if (entry.snapshot->id == name) {
      return entry.snapshot;
    }
  }
  // One that was retired after it was offered is there as long as somebody holds it.
  for (const SnapshotPtr& retired : retired_) {
    if (retired->id == name) {
      return retired;
    }
  }
  return Error::not_found("the snapshot " + name.substr(0, 12) + " is not there any more");
}

Task<SnapshotPtr> SnapshotStore::commit(std::string staging, SnapshotKey key,
                                        sandbox::Checkpoint checkpoint) {
  if (!is_file_name(key.workspace)) {
    co_return Error::invalid_argument("the workspace has no name that a folder can have");
  }
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->key = std::move(key);
  snapshot->checkpoint = checkpoint;
  snapshot->created = wall_now();
  // The pool lets go of it before the answer: from then on those that hold it are its users.
  auto work = [given = snapshot, staging, folder = folder_,
               machine = machine_]() mutable -> Result<Digests> {
    const auto snapshot = std::move(given);
    THAW_TRY_VOID(os::make_folders(staging + "/upper", 0755));
    THAW_TRY(Digests digests, digests_of(staging));
    snapshot->bytes = digests.images.bytes + digests.upper.bytes;
    const std::string text = manifest_text(*snapshot, machine, digests);
    snapshot->id = store::sha256_hex(text);
    snapshot->folder = folder + "/" + snapshot->key.workspace + "/" + snapshot->id;
    THAW_TRY_VOID(os::create_text(staging + "/manifest.json", text, 0600));
    THAW_TRY_VOID(os::make_folders(folder + "/" + snapshot->key.workspace, 0700));
    std::error_code error;
    fs::rename(staging, snapshot->folder, error);
    if (error) {
      return Error::from_errno(error.value(), "keep a snapshot in " + snapshot->folder);
    }
    return digests;
  };
  const Result<Digests> digests = co_await async::blocking(pool_, std::move(work));
  if (!digests) {
    (void)co_await abandon(std::move(staging));
    co_return digests.error();
  }
  const Name name{snapshot->key.workspace, snapshot->key.function};
  retire(name, "superseded");
  Entry& entry = entries_[name];
  entry.snapshot = snapshot;
  entry.images_digest = digests->images.sha256_hex;
  entry.upper_digest = digests->upper.sha256_hex;
  entry.signature = digests->signature;
  entry.used = entry.noted = monotonic_now();
  THAW_CO_TRY_VOID(co_await collect());
  co_return SnapshotPtr(std::move(snapshot));
}

bool SnapshotStore::contains(const SnapshotKey& key) const {
  const auto found = entries_.find({key.workspace, key.function});
  return found != entries_.end() && found->second.snapshot->key.digest == key.digest;
}

Task<SnapshotPtr> SnapshotStore::find(SnapshotKey key) {
  const Name name{key.workspace, key.function};
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    co_return Error::not_found("there is no snapshot of this function");
  }
  if (found->second.snapshot->key.digest != key.digest) {
    co_return Error::failed_precondition("the snapshot is of something else by now");
  }
  const SnapshotPtr snapshot = found->second.snapshot;
  Entry& entry = found->second;
  entry.used = monotonic_now();
  const bool is_news = entry.used >= entry.noted + note_every;
  entry.noted = is_news ? entry.used : entry.noted;
  THAW_CO_TRY_VOID(co_await check(name));
  if (is_news) {
    auto work = [folder = snapshot->folder]() -> Result<void> { return note_use(folder); };
    if (const auto noted = co_await async::blocking(pool_, std::move(work)); !noted) {
      log_warning("the last use of a snapshot is not kept",
                  {{"reason", noted.error().to_string()}});
    }
  }
  co_return snapshot;
}

Task<void> SnapshotStore::check(Name name) {
  // Several starts of one function share a check.
  while (entries_.contains(name) && entries_.at(name).checking) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await checked_.wait(Instant::max()));
  }
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    co_return Error::data_loss("the snapshot was retired");
  }
  const SnapshotPtr snapshot = found->second.snapshot;
  found->second.checking = true;
  auto look = [folder = snapshot->folder, known = found->second.signature,
               images = found->second.images_digest,
               upper = found->second.upper_digest]() -> Result<std::string> {
    THAW_TRY(std::string signature, signature_of_both(folder));
    if (signature == known) {
      return signature;
    }
    THAW_TRY(const Digests digests, digests_of(folder));
    if (digests.images.sha256_hex != images || digests.upper.sha256_hex != upper) {
      return Error::data_loss("the files of the snapshot are not what was written");
    }
    return digests.signature;
  };
  const Result<std::string> signature = co_await async::blocking(pool_, std::move(look));
  const auto still = entries_.find(name);
  if (still != entries_.end() && still->second.snapshot == snapshot) {
    still->second.checking = false;
    if (signature) {
      still->second.signature = *signature;
    } else {
      retire(name, signature.error().to_string());
    }
  }
  checked_.notify_all();
  if (!signature) {
    co_return Error::data_loss(signature.error().to_string());
  }
  co_return ok();
}

void SnapshotStore::succeeded(const Snapshot& snapshot) {
  const auto found = entries_.find({snapshot.key.workspace, snapshot.key.function});
  if (found != entries_.end() && found->second.snapshot->id == snapshot.id) {
    found->second.failures = 0;
  }
}

void SnapshotStore::failed(const Snapshot& snapshot) {
  const Name name{snapshot.key.workspace, snapshot.key.function};
  const auto found = entries_.find(name);
  if (found != entries_.end() && found->second.snapshot->id == snapshot.id &&
      ++found->second.failures >= limits_.failures) {
    retire(name, "restores failed");
  }
}

void SnapshotStore::retire(const Snapshot& snapshot, const std::string& why) {
  const Name name{snapshot.key.workspace, snapshot.key.function};
  if (entries_.contains(name) && entries_.at(name).snapshot->id == snapshot.id) {
    retire(name, why);
  }
}

bool SnapshotStore::retire_if(const std::function<bool(const std::string& function)>& goes,
                              const std::string& why) {
  std::vector<Name> gone;
  for (const auto& [name, entry] : entries_) {
    if (goes(name.second)) {
      gone.push_back(name);
    }
  }
  for (const Name& name : gone) {
    retire(name, why);
  }
  return !gone.empty();
}

void SnapshotStore::retire(const Name& name, const std::string& why) {
  auto gone = entries_.extract(name);
  if (gone.empty()) {
    return;
  }
  log_info("a snapshot is retired", {{"snapshot", gone.mapped().snapshot->id.substr(0, 12)},
                                     {"function", name.second},
                                     {"reason", why}});
  retired_.push_back(std::move(gone.mapped().snapshot));
}

Task<void> SnapshotStore::collect() {
  const Instant now = monotonic_now();
  std::vector<std::pair<Instant, Name>> by_use;
  for (const auto& [name, entry] : entries_) {
    by_use.emplace_back(entry.used, name);
  }
  std::sort(by_use.begin(), by_use.end());
  for (const auto& [used, name] : by_use) {
    if (used + limits_.unused < now) {
      retire(name, "not used for long");
    } else if (bytes() > limits_.bytes) {
      retire(name, "over the size limit");
    }
  }
  std::vector<std::string> folders;
  std::erase_if(retired_, [&](const auto& snapshot) {
    if (snapshot.use_count() > 1) {
      return false;
    }
    folders.push_back(snapshot->folder);
    return true;
  });
  if (folders.empty()) {
    co_return ok();
  }
  auto work = [folders] {
    Result<void> result = ok();
    for (const std::string& folder : folders) {
      auto removed = os::remove_tree(folder);
      result = result ? std::move(removed) : std::move(result);
    }
    return result;
  };
  co_return co_await async::blocking(pool_, std::move(work));
}

Task<void> SnapshotStore::check_all() {
  std::vector<Name> names;
  for (const auto& [name, entry] : entries_) {
    names.push_back(name);
  }
  for (const Name& name : names) {
    if (entries_.contains(name) && entries_.at(name).signature.empty()) {
      (void)co_await check(name);
    }
  }
  co_return co_await collect();
}

}  // namespace thaw::snapshot
