// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/layer_store.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/base/log.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

std::string random_name() {
  unsigned char bytes[8] = {};
  [[maybe_unused]] const auto n = ::getrandom(bytes, sizeof bytes, 0);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : bytes) {
    out.push_back(digits[byte >> 4]);
    out.push_back(digits[byte & 15]);
  }
  return out;
}

// Keys and layer names come from our own records, but records are files: nothing that leads out.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() < 200 && name.front() != '.' &&
         name.find('/') == std::string_view::npos;
}

Result<void> sync_folder(const std::string& folder) {
  THAW_TRY(const os::Fd fd, os::open_file(folder, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) != 0) {
    return Error::from_errno(errno, "sync " + folder);
  }
  return ok();
}

Result<void> rename_path(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return Error::from_errno(errno, "rename " + from + " to " + to);
  }
  return ok();
}

bool is_session(std::string_view name) {
  return name.size() == 16 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Removes the drafts of sessions whose server is gone. Runs under the guard lock, as does the
// start of a session: a session is never seen without its lock.
void remove_dead_sessions(const std::string& tmp) {
  for (const std::string& name : os::list_folder(tmp)) {
    const std::string_view session_name = std::string_view(name).substr(0, name.rfind('.'));
    if (!name.ends_with(".lock") || !is_session(session_name)) {
      continue;
    }
    const std::string lock_path = tmp + "/" + name;
    auto lock = os::open_file(lock_path, O_RDWR | O_NOFOLLOW);
    if (!lock || ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
      continue;
    }
    const std::string session = lock_path.substr(0, lock_path.size() - 5);
    if (const auto removed = os::remove_tree(session); !removed) {
      log_warning("cannot remove drafts of an earlier server",
                  {{"folder", session}, {"error", removed.error().to_string()}});
      continue;
    }
    ::unlink(lock_path.c_str());
  }
}

}  // namespace

Draft::~Draft() {
  if (!folder_.empty()) {
    if (const auto removed = os::remove_tree(folder_); !removed) {
      log_warning("cannot remove a draft", {{"error", removed.error().to_string()}});
    }
  }
}

KeyLock::~KeyLock() {
  if (fd_.valid()) {
    ::unlink(path_.c_str());  // while it is held: whoever waits sees that its file is gone
  }
}

LayerStore::LayerStore(std::string layers, std::string bases, std::string session,
                       os::Fd session_lock)
    : layers_(std::move(layers)),
      bases_(std::move(bases)),
      session_(std::move(session)),
      session_lock_(std::move(session_lock)) {}

LayerStore::~LayerStore() {
  if (const auto removed = os::remove_tree(session_); removed) {
    ::unlink((session_ + ".lock").c_str());
  }
}

Result<std::unique_ptr<LayerStore>> LayerStore::open(std::string layers_folder,
                                                     std::string bases_folder) {
  const std::string tmp = layers_folder + "/tmp";
  for (const std::string& folder : {layers_folder + "/images", bases_folder}) {
    THAW_TRY_VOID(os::make_folders(folder, 0755));
  }
  THAW_TRY_VOID(os::make_own_folder(tmp, 0755));
  THAW_TRY_VOID(os::make_own_folder(layers_folder + "/locks", 0755));
  // Layers hold what recipes put there, secrets that leaked into files included.
  ::chmod(layers_folder.c_str(), 0700);
  THAW_TRY(const os::Fd guard, os::open_lock(tmp + "/guard"));
  if (::flock(guard.get(), LOCK_EX) != 0) {
    return Error::from_errno(errno, "lock " + tmp + "/guard");
  }
  remove_dead_sessions(tmp);
  const std::string session = tmp + "/" + random_name();
  THAW_TRY(os::Fd lock, os::open_file(session + ".lock", O_RDWR | O_CREAT | O_EXCL, 0600));
  if (::flock(lock.get(), LOCK_EX) != 0) {
    return Error::from_errno(errno, "lock " + session + ".lock");
  }
  THAW_TRY_VOID(os::make_folders(session, 0755));
  return std::unique_ptr<LayerStore>(
      new LayerStore(std::move(layers_folder), std::move(bases_folder), session, std::move(lock)));
}

Result<ImageRecord> LayerStore::find(const std::string& key) const {
  const auto missing = [&key] { return Error::not_found("no image has the key " + key); };
  if (!is_plain_name(key)) {
    return missing();
  }
  // Not to be able to look (no descriptor is left, for one) is not the same as not to find.
  THAW_TRY(const std::string text, os::read_text(layers_ + "/images/" + key + ".json"));
  auto record = read_record(text);
  if (!record || record->layers.empty()) {
    return missing();
  }
  for (const std::string& layer : record->layers) {
    if (folder_of(layer).empty() || !os::exists(folder_of(layer))) {
      return missing();
    }
  }
  return std::move(*record);
}

Result<void> LayerStore::put(const std::string& key, const ImageRecord& record) {
  const std::string path = layers_ + "/images/" + key + ".json";
  const std::string temporary = session_ + "/" + random_name() + ".json";
  THAW_TRY_VOID(os::create_text(temporary, write_record(record), 0644));
  {
    THAW_TRY(const os::Fd fd, os::open_file(temporary, O_RDONLY));
    ::fsync(fd.get());
  }
  THAW_TRY_VOID(rename_path(temporary, path));
  return sync_folder(layers_ + "/images");
}

bool LayerStore::has_layer(const std::string& key) const {
  return is_plain_name(key) && os::exists(layers_ + "/" + key);
}

Result<Draft> LayerStore::draft() const {
  std::string folder = session_ + "/" + random_name();
  THAW_TRY_VOID(os::make_folders(folder, 0755));
  return Draft(std::move(folder));
}

Result<std::optional<KeyLock>> LayerStore::try_lock(const std::string& key) const {
  const std::string path = layers_ + "/locks/" + key;
  THAW_TRY(os::Fd fd, os::open_lock(path));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return std::optional<KeyLock>();
    }
    return Error::from_errno(errno, "lock " + path);
  }
  struct stat held {};
  struct stat named {};
  if (::fstat(fd.get(), &held) != 0 || ::stat(path.c_str(), &named) != 0 ||
      held.st_ino != named.st_ino) {
    return std::optional<KeyLock>();  // its holder removed it just now: ask again
  }
  return std::optional<KeyLock>(KeyLock(path, std::move(fd)));
}

Result<void> LayerStore::publish(const Draft& draft, const std::string& tree,
                                 const std::string& target, const std::string& meta) const {
  const std::string out = draft.folder() + "/publish";
  THAW_TRY_VOID(os::make_folders(out, 0755));
  THAW_TRY_VOID(rename_path(draft.folder() + "/" + tree, out + "/fs"));
  THAW_TRY_VOID(os::create_text(out + "/meta.json", meta, 0644));
  {
    // One sync of the file system is far cheaper than one for each of thousands of files.
    THAW_TRY(const os::Fd fd, os::open_file(out, O_RDONLY | O_DIRECTORY));
    if (::syncfs(fd.get()) != 0) {
      return Error::from_errno(errno, "sync " + out);
    }
  }
  THAW_TRY_VOID(rename_path(out, target));
  return sync_folder(target.substr(0, target.rfind('/')));
}

Result<std::string> LayerStore::commit_layer(const Draft& draft, const std::string& tree,
                                             const std::string& key, const std::string& meta,
                                             Reuse reuse) {
  std::string name = key;
  for (int generation = 2; os::exists(layers_ + "/" + name); ++generation) {
    if (reuse == Reuse::existing) {
      return "layer:" + name;
    }
    name = key + "-" + std::to_string(generation);
  }
  THAW_TRY_VOID(publish(draft, tree, layers_ + "/" + name, meta));
  return "layer:" + name;
}

Result<std::string> LayerStore::commit_base(const Draft& draft, const std::string& tree,
                                            const std::string& name, const std::string& meta) {
  if (!os::exists(bases_ + "/" + name)) {
    THAW_TRY_VOID(publish(draft, tree, bases_ + "/" + name, meta));
  }
  return "base:" + name;
}

std::string LayerStore::folder_of(const std::string& layer) const {
  const auto colon = layer.find(':');
  if (colon == std::string::npos || !is_plain_name(std::string_view(layer).substr(colon + 1))) {
    return "";
  }
  const std::string name = layer.substr(colon + 1);
  if (layer.starts_with("base:")) {
    return bases_ + "/" + name + "/fs";
  }
  return layer.starts_with("layer:") ? layers_ + "/" + name + "/fs" : "";
}

}  // namespace thaw::image
