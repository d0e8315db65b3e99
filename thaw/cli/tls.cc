// SPDX-License-Identifier: Apache-2.0
// thaw tls: an authority of one's own, and a certificate of it for the server, as files. No server
// is asked: one that runs finds a new certificate by itself.
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/verbs.h"
#include "thaw/net/tls_authority.h"
#include "thaw/net/trust_bundle.h"

namespace thaw::cli {

namespace {

namespace fs = std::filesystem;

constexpr auto authority_time = 24h * 3650;
constexpr auto server_time = 24h * 397;  // longer ones are refused by some clients
// A clock that is a little behind must not refuse what is new.
constexpr auto before = 1h;

// Where each of it is, in the folder.
struct Files {
  explicit Files(const std::string& folder)
      : authority(folder + "/authority.pem"),
        authority_key(folder + "/authority.key"),
        server(folder + "/server.pem") {}
  std::string authority;
  std::string authority_key;
  std::string server;  // the certificate, and its key behind it: they change in one moment
};

// What a server on this machine is called, and each of `hosts` with the hosts below it.
std::vector<std::string> names_of(const std::vector<std::string>& hosts) {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  for (const std::string& host : hosts) {
    const bool is_address = host.find(':') != std::string::npos ||
                            host.find_first_not_of("0123456789.") == std::string::npos;
    names.push_back(host);
    if (!is_address && !host.starts_with("*.")) {
      names.push_back("*." + host);
    }
  }
  return names;
}

Result<std::string> text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) {
    return Error::not_found("cannot read " + path);
  }
  return text;
}

Result<void> make_server(const Files& files, const net::PemPair& authority,
                         const std::vector<std::string>& names) {
  const WallTime now = wall_now();
  THAW_TRY(const net::PemPair made,
           net::make_server_certificate(authority, names, {now - before, now + server_time}));
  return net::replace_file(files.server, made.certificate + made.key, 0600);
}

Result<void> make_all(const std::string& folder, const std::vector<std::string>& hosts) {
  std::error_code error;
  if (fs::exists(folder, error) && !(fs::is_directory(folder, error) && fs::is_empty(folder))) {
    return Error::already_exists(
        folder +
        " is there, and has something in it; `thaw tls renew` makes a new certificate of the "
        "authority in it, and --folder names another folder");
  }
  // All of it or nothing: a folder of its own, which gets its name at the end.
  std::string making = folder + ".XXXXXX";
  fs::create_directories(fs::path(making).parent_path(), error);
  if (::mkdtemp(making.data()) == nullptr || ::chmod(making.c_str(), 0755) != 0) {
    return Error::from_errno(errno, "cannot make the folder " + making);
  }
  const Files files(making);
  const WallTime now = wall_now();
  const auto made = [&]() -> Result<void> {
    THAW_TRY(const net::PemPair authority,
             net::make_authority("Thaw, own authority of " + names_of(hosts).back(),
                                 {now - before, now + authority_time}));
    THAW_TRY_VOID(net::replace_file(files.authority_key, authority.key, 0600));
    THAW_TRY_VOID(net::replace_file(files.authority, authority.certificate, 0644));
    THAW_TRY_VOID(make_server(files, authority, names_of(hosts)));
    THAW_TRY_VOID(net::write_trust_bundle(files.authority));
    if (::rename(making.c_str(), folder.c_str()) != 0) {
      return Error::from_errno(errno, "cannot make the folder " + folder);
    }
    return ok();
  }();
  if (!made) {
    fs::remove_all(making, error);
  }
  return made;
}

Result<std::vector<std::string>> renew(const std::string& folder,
                                       const std::vector<std::string>& hosts) {
  const Files files(folder);
  net::PemPair authority;
  THAW_TRY(authority.certificate, text_of(files.authority));
  THAW_TRY(authority.key, text_of(files.authority_key));
  THAW_TRY(const net::CertificateFacts facts, net::facts_of_certificate(authority.certificate));
  if (facts.validity.until < wall_now() + server_time) {
    return Error::failed_precondition(
        "the authority " + files.authority +
        " ends within the time of a certificate; make another with `thaw tls init --folder` and "
        "let its clients trust that");
  }
  // A certificate that is lost or damaged names nothing.
  std::vector<std::string> names = names_of(hosts);
  if (const auto before_this = text_of(files.server)) {
    if (const auto known = net::facts_of_certificate(*before_this)) {
      std::vector<std::string> all = known->names;
      for (const std::string& name : names) {
        if (std::find(all.begin(), all.end(), name) == all.end()) {
          all.push_back(name);
        }
      }
      names = std::move(all);
    }
  }
  THAW_TRY_VOID(make_server(files, authority, names));
  THAW_TRY_VOID(net::write_trust_bundle(files.authority));
  return names;
}

std::string absolute(const std::string& folder) {
  std::string path = fs::absolute(folder).lexically_normal().string();
  while (path.size() > 1 && path.ends_with('/')) {
    path.pop_back();
  }
  return path;
}

}  // namespace

int make_authority(const TlsOptions& options) {
  const std::string folder = absolute(options.folder);
  if (const auto made = make_all(folder, options.hosts); !made) {
    return fail(made.error());
  }
  std::printf(
      "# an authority of your own and a certificate for this server, in %s;\n"
      "# in the file that `thaw serve --config` reads:\n"
      "[server]\n"
      "tls = [{ cert = \"%s/server.pem\" }]\n"
      "tls_authority = \"%s/authority.pem\"\n"
      "# clients: eval \"$(thaw env)\"; and of Python, those that read certifi's file alone:\n"
      "#   cat %s/authority.pem >> \"$(python3 -m certifi)\"\n",
      folder.c_str(), folder.c_str(), folder.c_str(), folder.c_str());
  return 0;
}

int renew_certificate(const TlsOptions& options) {
  const std::string folder = absolute(options.folder);
  const auto names = renew(folder, options.hosts);
  if (!names) {
    return fail(names.error());
  }
  std::printf("%s/server.pem is new, for", folder.c_str());
  for (const std::string& name : *names) {
    std::printf(" %s", name.c_str());
  }
  std::printf("; a server that runs takes it within seconds\n");
  return 0;
}

}  // namespace thaw::cli
