// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/tls_watch.h"

#include <sys/stat.h>

namespace thaw::net {

namespace {

constexpr Duration used_for = 24h;
constexpr Duration failed_for = 1min;

std::string text_of(const timespec& time) {
  return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

// What changes when a file does, or who may read it.
std::string state_of(const std::vector<TlsFiles>& all) {
  std::string state;
  for (const TlsFiles& files : all) {
    for (const std::string& path : {files.certificate, files.key}) {
      struct stat status {};
      if (::stat(path.c_str(), &status) == 0) {
        state += std::to_string(status.st_dev) + "/" + std::to_string(status.st_ino) + "/" +
                 std::to_string(status.st_size) + "/" + text_of(status.st_mtim) + "/" +
                 text_of(status.st_ctim);
      }
      state += ";";
    }
  }
  return state;
}

}  // namespace

Result<std::shared_ptr<const TlsIdentities>> TlsWatch::look(WallTime now, Instant at) {
  const std::shared_ptr<const TlsIdentities> none;
  // Before they are read: what changes meanwhile is seen at the next look.
  std::string state = state_of(files_);
  const bool is_known = state == used_ || (!failed_.empty() && state == failed_);
  if (is_known && at < read_again_) {
    return none;
  }
  auto read = TlsIdentities::read(files_, now);
  if (read) {
    used_ = std::move(state);
    failed_.clear();
    told_.clear();
    read_again_ = at + used_for;
    return read;
  }
  failed_ = std::move(state);
  read_again_ = at + failed_for;
  if (told_ == read.error().message()) {
    return none;
  }
  told_ = read.error().message();
  return read;
}

}  // namespace thaw::net
