// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/base_root.h"

#include <sys/stat.h>
#include <unistd.h>

#include "thaw/image/dockerfile_words.h"
#include "thaw/image/key_maker.h"
#include "thaw/image/plan.h"
#include "thaw/image/subprocess.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

// Raised when the recipe below gives something else for the same inputs.
constexpr std::string_view recipe_version = "thaw base 3";

constexpr std::string_view hooks = "/usr/share/mmdebstrap/hooks/merged-usr";

// Kept in the root: later apt-get steps stay as small as the root.
constexpr std::string_view dpkg_settings =
    "path-exclude=/usr/share/doc/*\n"
    "path-include=/usr/share/doc/*/copyright\n"
    "path-exclude=/usr/share/man/*\n"
    "path-exclude=/usr/share/info/*\n"
    "path-exclude=/usr/share/locale/*\n"
    "path-exclude=/usr/share/lintian/*\n"
    "path-exclude=/usr/share/groff/*\n"
    "force-unsafe-io\n";
constexpr std::string_view apt_settings =
    "Acquire::Languages \"none\";\n"
    "Acquire::GzipIndexes \"true\";\n"
    "Binary::apt::APT::Keep-Downloaded-Packages \"false\";\n"
    "APT::AutoRemove::SuggestsImportant \"false\";\n"
    "Dir::Cache::pkgcache \"\";\n"
    "Dir::Cache::srcpkgcache \"\";\n";

Result<std::string> sources_of(const BaseRecipe& recipe, const Host& host) {
  std::string sources = sources_for_suite(host.apt_sources, host.suite, recipe.suite);
  if (sources.empty()) {
    return Error::failed_precondition("cannot build " + recipe.name() +
                                      ": the apt sources of this machine (/etc/apt) name no " +
                                      "Debian archive; add Debian's");
  }
  return sources;
}

// C headers of Python without the static library that Debian packs beside them: extension modules
// build, as on the official image.
std::string headers_hook(const std::string& python) {
  const std::string package = "libpython" + python + "-dev";
  return "unset TMPDIR; chroot \"$1\" sh -c 'cd /tmp && apt-get -qq download " + package +
         " && dpkg-deb --fsys-tarfile " + package +
         "_*.deb | tar -x -C / ./usr/include && rm -f *.deb'"
         " || echo 'W: no C headers of Python: extension modules will not build'";
}

// What goes by Debian's own interpreter, as `uv pip install --system` does, finds and adds to the
// same packages as /usr/local's; on the official image there is only one interpreter.
std::string one_folder_hook(const std::string& python) {
  return "unset TMPDIR; cd \"$1\"/usr/local/lib/python" + python +
         " && rm -rf dist-packages && ln -s site-packages dist-packages"
         " && rm -f \"$1\"/usr/lib/python" +
         python + "/EXTERNALLY-MANAGED";
}

std::vector<std::string> program(const BaseRecipe& recipe, const std::string& draft) {
  std::string packages = "ca-certificates,netbase,usr-is-merged";
  std::vector<std::string> argv = {
      "mmdebstrap",
      "--mode=root",
      "--variant=minbase",
      "--format=directory",
      "--dpkgopt=" + draft + "/dpkg.cfg",
      "--aptopt=" + draft + "/host-apt.conf",
      "--aptopt=" + draft + "/apt.conf",
  };
  if (os::exists(std::string(hooks))) {
    argv.push_back("--hook-dir=" + std::string(hooks));
  }
  if (!recipe.python.empty()) {
    packages += ",python3,python3-venv";
    argv.push_back("--customize-hook=" + headers_hook(recipe.python));
    argv.push_back(
        "--customize-hook=unset TMPDIR; chroot \"$1\" python3 -m venv --copies /usr/local");
    argv.push_back("--customize-hook=" + one_folder_hook(recipe.python));
    // The proof that what the tag promises is there.
    argv.push_back("--customize-hook=unset TMPDIR; chroot \"$1\" /usr/local/bin/python" +
                   recipe.python + " -c 'import ssl, sqlite3, ctypes, pip'");
  }
  argv.push_back("--include=" + packages);
  argv.insert(argv.end(), {recipe.suite, draft + "/fs", draft + "/thaw.sources"});
  return argv;
}

// A key that the host's sources name must be where apt inside will look for it.
Result<void> copy_keyrings(const std::string& sources, const std::string& root) {
  std::size_t at = 0;
  while ((at = sources.find("Signed-By: /", at)) != std::string::npos) {
    at += 11;
    const std::string path(trim(std::string_view(sources).substr(at, sources.find('\n', at) - at)));
    if (path.find("..") == std::string::npos && !os::exists(root + path)) {
      THAW_TRY(const std::string key, os::read_text(path));
      THAW_TRY_VOID(os::make_folders(root + path.substr(0, path.rfind('/'))));
      THAW_TRY_VOID(os::create_text(root + path, key, 0644));
    }
  }
  return ok();
}

// What mmdebstrap leaves of the host (its name, its resolver, its proxies) does not belong in a
// root that others may look into.
Result<void> tidy(const BaseRecipe& recipe, const std::string& sources, const std::string& root) {
  THAW_TRY_VOID(copy_keyrings(sources, root));
  ::unlink((root + "/etc/apt/apt.conf.d/99mmdebstrap").c_str());
  THAW_TRY_VOID(os::create_text(root + "/etc/apt/apt.conf.d/90thaw", apt_settings));
  THAW_TRY_VOID(os::create_text(root + "/etc/resolv.conf", ""));
  THAW_TRY_VOID(os::create_text(root + "/etc/hostname", "sandbox\n"));
  if (!recipe.python.empty()) {
    for (const char* name : {"Activate.ps1", "activate", "activate.csh", "activate.fish"}) {
      ::unlink((root + "/usr/local/bin/" + name).c_str());
    }
  }
  return ok();
}

// Turns pieces of output into lines.
class Lines {
 public:
  explicit Lines(const std::function<void(std::string)>& say) : say_(say) {}
  void add(std::string_view piece) {
    for (const char c : piece) {
      if (c == '\n' || pending_.size() > 4000) {
        flush();
      } else if (c != '\r') {
        pending_.push_back(c);
      }
    }
  }
  void flush() {
    const std::string line = std::exchange(pending_, {});
    // How mmdebstrap calls its hooks tells nobody anything.
    if (!line.empty() && !line.starts_with("I: running --")) {
      last_ = line;
      say_(line + "\n");
    }
  }
  const std::string& last() const { return last_; }

 private:
  const std::function<void(std::string)>& say_;
  std::string pending_;
  std::string last_;
};

}  // namespace

Result<std::string> base_root_key(const BaseRecipe& recipe, const Host& host) {
  KeyMaker key(recipe_version);
  key.add(recipe.suite).add(recipe.python);
  if (!recipe.suite.empty()) {
    THAW_TRY(const std::string sources, sources_of(recipe, host));
    key.add(sources);
  }
  return key.key();
}

Result<void> make_base_root(const BaseRecipe& recipe, const Host& host, const std::string& draft,
                            const std::function<void(std::string)>& say,
                            const std::atomic<bool>& stop) {
  if (recipe.suite.empty()) {
    return os::make_folders(draft + "/fs");
  }
  THAW_TRY(const std::string sources, sources_of(recipe, host));
  THAW_TRY_VOID(os::create_text(draft + "/thaw.sources", sources));
  THAW_TRY_VOID(os::create_text(draft + "/dpkg.cfg", dpkg_settings));
  THAW_TRY_VOID(os::create_text(draft + "/apt.conf", apt_settings));
  std::string transport = apt_transport_settings(host.apt_config);
  transport += "APT::Sandbox::User \"root\";\n";  // drafts are closed to the user _apt
  if (!trim(host.apt_auth).empty()) {
    THAW_TRY_VOID(os::create_text(draft + "/apt-auth", host.apt_auth, 0600));
    transport += "Dir::Etc::netrc \"" + draft + "/apt-auth\";\n";
  }
  THAW_TRY_VOID(os::create_text(draft + "/host-apt.conf", transport));
  THAW_TRY_VOID(os::make_folders(draft + "/tmp"));

  Program mmdebstrap;
  mmdebstrap.isolation = Program::Isolation::own_tree;
  mmdebstrap.argv = program(recipe, draft);
  mmdebstrap.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                    "TMPDIR=" + draft + "/tmp"};
  for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY",
                           "NO_PROXY", "SSL_CERT_FILE"}) {
    if (const auto value = env_value(host.env, name)) {
      set_env(mmdebstrap.env, name, *value);
    }
  }
  Lines lines(say);
  const auto code = run_program(
      mmdebstrap, [&lines](std::string_view piece) { lines.add(piece); }, stop);
  lines.flush();
  if (!code) {
    return code.error();
  }
  if (*code == 127 || !os::exists(draft + "/fs")) {
    return Error::failed_precondition("cannot build " + recipe.name() +
                                      ": mmdebstrap did not start; apt-get install mmdebstrap")
        .with("output", lines.last());
  }
  if (*code != 0) {
    return Error::failed_precondition("cannot build " + recipe.name() + ": mmdebstrap ended with " +
                                      std::to_string(*code) + ": " + lines.last());
  }
  return tidy(recipe, sources, draft + "/fs");
}

}  // namespace thaw::image
