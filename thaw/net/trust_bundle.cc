// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/trust_bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "thaw/net/tls_authority.h"
#include "thaw/os/fd.h"

namespace thaw::net {

namespace {

// Debian and Alpine, Fedora, SUSE, BSD.
constexpr const char* machines_files[] = {"/etc/ssl/certs/ca-certificates.crt",
                                          "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

Result<std::string> text_of(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) {
    return Error::from_errno(errno != 0 ? errno : EIO, "cannot read " + path);
  }
  return text;
}

}  // namespace

Result<void> replace_file(const std::string& path, const std::string& text, unsigned mode) {
  const std::string beside = path + ".new";
  ::unlink(beside.c_str());  // of who was killed here
  const os::Fd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  std::size_t written = 0;
  bool is_good = file.valid() && ::fchmod(file.get(), mode) == 0;
  while (is_good && written < text.size()) {
    const ssize_t count = ::write(file.get(), text.data() + written, text.size() - written);
    is_good = count > 0 || (count < 0 && errno == EINTR);
    written += count > 0 ? static_cast<std::size_t>(count) : 0;
  }
  if (!is_good || ::fsync(file.get()) != 0 || ::rename(beside.c_str(), path.c_str()) != 0) {
    const Error failed = Error::from_errno(errno, "cannot write " + path);
    ::unlink(beside.c_str());
    return failed;
  }
  return ok();
}

Result<std::string> write_trust_bundle(const std::string& authority_file) {
  THAW_TRY(const std::string own, text_of(authority_file));
  if (const auto facts = facts_of_certificate(own); !facts) {
    return Error::invalid_argument("the authority " + authority_file +
                                   " cannot be used: " + facts.error().message());
  }
  std::string all;
  for (const char* file : machines_files) {
    if (auto machines = text_of(file)) {
      all = std::move(*machines);
      break;
    }
  }
  all += (all.empty() || all.ends_with('\n') ? "" : "\n") + own;
  const std::string path =
      (std::filesystem::path(authority_file).parent_path() / "bundle.pem").string();
  if (const auto there = text_of(path); !there || *there != all) {
    THAW_TRY_VOID(replace_file(path, all, 0644));
  }
  return path;
}

}  // namespace thaw::net
