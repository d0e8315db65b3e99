// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/host_settings.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "thaw/image/dockerfile_words.h"
#include "thaw/image/plan.h"
#include "thaw/image/subprocess.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto end = text.find('\n');
    out.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

std::string text_or_empty(const std::string& path) { return os::read_text(path).value_or(""); }

bool is_folder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::string codename(std::string_view os_release) {
  for (const std::string& line : lines_of(os_release)) {
    if (line.starts_with("VERSION_CODENAME=")) {
      std::string value = line.substr(17);
      std::erase(value, '"');
      return value;
    }
  }
  return "";
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return out;
}

// PIP_FIND_LINKS: folders of the host are bound beside; addresses stay as they are.
std::string bind_links(const std::string& value, StepSettings& settings) {
  std::string out;
  int number = 0;
  for (const std::string& word : split_blanks(value)) {
    std::string link = word;
    if (word.starts_with("/") && is_folder(word)) {
      // Resolved here: a bind source must not be a symbolic link.
      char* real = ::realpath(word.c_str(), nullptr);
      if (real == nullptr) {
        continue;
      }
      link = std::string(step_folder) + "-links-" + std::to_string(number++);
      settings.binds.push_back({real, link, sandbox::BindMount::Access::read_only});
      ::free(real);
    }
    out += (out.empty() ? "" : " ") + link;
  }
  return out;
}

}  // namespace

Host read_host() {
  Host host;
  for (char** item = environ; item != nullptr && *item != nullptr; ++item) {
    host.env.emplace_back(*item);
  }
  const std::string os_release = text_or_empty("/etc/os-release");
  if (os_release.find("\nID=debian") != std::string::npos || os_release.starts_with("ID=debian")) {
    host.suite = codename(os_release);
  }
  if (auto text = os::read_text("/etc/apt/sources.list")) {
    host.apt_sources.push_back({"sources.list", std::move(*text)});
  }
  auto names = os::list_folder("/etc/apt/sources.list.d");
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (name.ends_with(".sources") || name.ends_with(".list")) {
      host.apt_sources.push_back({name, text_or_empty("/etc/apt/sources.list.d/" + name)});
    }
  }
  const std::atomic<bool> never = false;
  const Program dump{{"apt-config", "dump"}, host.env};
  std::string text;
  const auto code = run_program(
      dump, [&](std::string_view piece) { text += piece; }, never);
  if (code && *code == 0) {
    host.apt_config = std::move(text);
  }
  host.apt_auth = text_or_empty("/etc/apt/auth.conf");
  for (const std::string& name : os::list_folder("/etc/apt/auth.conf.d")) {
    host.apt_auth += text_or_empty("/etc/apt/auth.conf.d/" + name) + "\n";
  }
  const std::string home = env_value(host.env, "HOME").value_or("/root");
  const std::string named = env_value(host.env, "PIP_CONFIG_FILE").value_or("");
  for (const std::string& path : {named, home + "/.config/pip/pip.conf", home + "/.pip/pip.conf",
                                  std::string("/etc/pip.conf")}) {
    if (host.pip_conf.empty() && !path.empty()) {
      host.pip_conf = text_or_empty(path);
    }
  }
  host.npmrc = text_or_empty(home + "/.npmrc");
  for (const char* name : {"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}) {
    const std::string path = env_value(host.env, name).value_or("");
    if (host.certificates.empty() && os::exists(path)) {
      host.certificates = path;
    }
  }
  if (host.certificates.empty() && os::exists("/etc/ssl/certs/ca-certificates.crt")) {
    host.certificates = "/etc/ssl/certs/ca-certificates.crt";
  }
  return host;
}

std::vector<std::string> pip_environment(std::string_view pip_conf) {
  std::vector<std::string> env;
  bool in_section = false;
  std::string name;
  for (const std::string& line : lines_of(pip_conf)) {
    const std::string_view bare = trim(line);
    if (bare.empty() || bare.front() == '#' || bare.front() == ';') {
      continue;
    }
    if (bare.front() == '[') {
      in_section = bare == "[global]" || bare == "[install]";
      name.clear();
      continue;
    }
    const bool continues = line.front() == ' ' || line.front() == '\t';
    if (!in_section) {
      continue;
    }
    if (continues && !name.empty()) {  // a list: one item a line
      const std::string old = env_value(env, name).value_or("");
      set_env(env, name, old.empty() ? std::string(bare) : old + " " + std::string(bare));
      continue;
    }
    const auto equals = bare.find_first_of("=:");
    if (equals == std::string_view::npos) {
      continue;
    }
    name = "PIP_" + upper(trim(bare.substr(0, equals)));
    std::replace(name.begin(), name.end(), '-', '_');
    if (name == "PIP_CERT" || name == "PIP_CLIENT_CERT" || name == "PIP_TARGET" ||
        name == "PIP_PREFIX" || name == "PIP_CACHE_DIR" || name == "PIP_LOG") {
      name.clear();  // paths of the host
      continue;
    }
    set_env(env, name, trim(bare.substr(equals + 1)));
  }
  return env;
}

std::string npm_transport_settings(std::string_view npmrc) {
  std::string out;
  for (const std::string& line : lines_of(npmrc)) {
    const std::string_view key = trim(std::string_view(line).substr(0, line.find('=')));
    if (key == "registry" || key.ends_with(":registry") || key.starts_with("//") ||
        key == "proxy" || key == "https-proxy" || key == "noproxy" || key == "strict-ssl") {
      out += line + "\n";
    }
  }
  return out;
}

Result<StepSettings> make_step_settings(const Host& host, const BuilderOptions& options,
                                        const std::string& folder) {
  StepSettings settings;
  if (options.inherit_package_settings) {
    settings.env = pip_environment(host.pip_conf);
  }
  for (const std::string& name : options.inherit_env) {
    if (const auto value = env_value(host.env, name)) {
      set_env(settings.env, name, *value);
    }
  }
  if (const auto links = env_value(settings.env, "PIP_FIND_LINKS")) {
    set_env(settings.env, "PIP_FIND_LINKS", bind_links(*links, settings));
  }
  // uv reads no pip settings: tell it the same in its own words.
  for (const auto& [pip, uv] : {std::pair("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
                                {"PIP_EXTRA_INDEX_URL", "UV_INDEX"},
                                {"PIP_FIND_LINKS", "UV_FIND_LINKS"}}) {
    if (const auto value = env_value(settings.env, pip)) {
      set_env(settings.env, uv, *value);
    }
  }
  if (!options.inherit_package_settings) {
    return settings;
  }
  THAW_TRY_VOID(os::make_folders(folder, 0755));
  const std::string inside = step_folder;
  std::string apt = apt_transport_settings(host.apt_config);
  if (!host.certificates.empty()) {
    THAW_TRY(const std::string bundle, os::read_text(host.certificates));
    THAW_TRY_VOID(os::create_text(folder + "/ca.crt", bundle, 0644));
    for (const char* name : {"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
                             "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "CARGO_HTTP_CAINFO"}) {
      set_env(settings.env, name, inside + "/ca.crt");
    }
    apt += "Acquire::https::CaInfo \"" + inside + "/ca.crt\";\n";
  }
  if (!trim(host.apt_auth).empty()) {
    THAW_TRY_VOID(os::create_text(folder + "/apt-auth", host.apt_auth, 0600));
    apt += "Dir::Etc::netrc \"" + inside + "/apt-auth\";\n";
  }
  THAW_TRY_VOID(os::create_text(folder + "/apt.conf", apt, 0644));
  set_env(settings.env, "APT_CONFIG", inside + "/apt.conf");
  if (const std::string npm = npm_transport_settings(host.npmrc); !npm.empty()) {
    THAW_TRY_VOID(os::create_text(folder + "/npmrc", npm, 0644));
    set_env(settings.env, "NPM_CONFIG_GLOBALCONFIG", inside + "/npmrc");
  }
  settings.binds.push_back({folder, inside, sandbox::BindMount::Access::read_only});
  return settings;
}

}  // namespace thaw::image
