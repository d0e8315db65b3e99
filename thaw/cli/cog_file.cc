// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/cog_file.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "thaw/codec/yaml.h"

namespace thaw::cli {

namespace {

using codec::YamlNode;
using Kind = YamlNode::Kind;

constexpr std::size_t most_entries = 1'000;
constexpr std::size_t longest_entry = 32u << 10;
constexpr std::size_t longest_word = 4'000;
constexpr std::size_t most_warnings = 20;
constexpr std::uint32_t most_concurrency = 10'000;

Error wrong(const YamlNode& node, const std::string& key, const std::string& what) {
  return Error::invalid_argument("cog.yaml, line " + std::to_string(node.line) + ": " + key + " " +
                                 what);
}

bool is_one_line(std::string_view text) {
  return text.find_first_of(std::string_view("\n\r\0", 3)) == std::string_view::npos;
}

Result<std::string> one_line(const YamlNode& node, const std::string& key) {
  if (node.kind != Kind::text || node.text.empty()) {
    return wrong(node, key, "is to be a text");
  }
  std::string text = node.text;
  while (text.ends_with('\n')) {
    text.pop_back();
  }
  if (text.empty() || !is_one_line(text) || text.size() > longest_entry) {
    return wrong(node, key, "is to be one line of at most 32 KiB; write several entries");
  }
  return text;
}

Result<std::vector<std::string>> lines(const YamlNode& node, const std::string& key) {
  std::vector<std::string> all;
  if (node.kind != Kind::list || node.items.size() > most_entries) {
    return wrong(node, key, "is to be a list of at most 1000 texts");
  }
  for (const YamlNode& item : node.items) {
    THAW_TRY(std::string line, one_line(item, key));
    all.push_back(std::move(line));
  }
  return all;
}

Result<bool> flag(const YamlNode& node, const std::string& key) {
  const bool is_plain = node.kind == Kind::text && node.written == YamlNode::Written::plain;
  const auto is_one_of = [&](std::initializer_list<std::string_view> words) {
    return is_plain && std::find(words.begin(), words.end(), node.text) != words.end();
  };
  if (is_one_of({"true", "True", "TRUE"})) {
    return true;
  }
  if (is_one_of({"false", "False", "FALSE"})) {
    return false;
  }
  return wrong(node, key, "is to be true or false");
}

// A name of Debian's packages, perhaps with a version: it becomes a word of a command.
bool is_package(std::string_view name) {
  const auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+-.:=~_*").find(c) != std::string_view::npos;
  };
  return !name.empty() && name.front() != '-' && std::all_of(name.begin(), name.end(), is_good);
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "3.12" or "3.12.1".
bool is_python_version(std::string_view text) {
  constexpr std::string_view major = "3.";
  if (!text.starts_with(major) || text.size() > 12) {
    return false;
  }
  text.remove_prefix(major.size());
  const std::size_t dot = text.find('.');
  return is_digits(text.substr(0, dot)) &&
         (dot == std::string_view::npos || is_digits(text.substr(dot + 1)));
}

class Reading {
 public:
  Result<CogFile> file(const YamlNode& root) {
    if (root.kind != Kind::map) {
      return wrong(root, "the file", "is to be a map of keys, such as build and predict");
    }
    for (const YamlNode& item : root.items) {
      THAW_TRY_VOID(top(item));
    }
    const YamlNode* predict = root.find("predict");
    if (predict != nullptr && root.find("run") != nullptr) {
      return wrong(*predict, "predict", "is there beside run; one of them names the predictor");
    }
    if (cog_.predictor.empty()) {
      return Error::invalid_argument(
          "cog.yaml names no predictor: add predict: \"predict.py:Predictor\"");
    }
    return std::move(cog_);
  }

 private:
  Result<void> top(const YamlNode& item) {
    const std::string& key = item.key;
    if (item.kind == Kind::empty) {
      return ok();
    }
    if (key == "build") {
      return build(item);
    }
    if (key == "predict" || key == "run") {
      return reference(item, key, cog_.predictor);
    }
    if (key == "train") {
      return reference(item, key, cog_.trainer);
    }
    if (key == "image" || key == "model") {
      THAW_TRY(cog_.image, one_line(item, key));
      return ok();
    }
    if (key == "environment") {
      return environment(item);
    }
    if (key == "concurrency") {
      return concurrency(item);
    }
    warn_of(item, key);
    return ok();
  }

  Result<void> build(const YamlNode& build) {
    if (build.kind != Kind::map) {
      return wrong(build, "build", "is to be a map of keys, such as python_version");
    }
    for (const YamlNode& item : build.items) {
      if (item.kind != Kind::empty) {
        THAW_TRY_VOID(build_key(item));
      }
    }
    if (!cog_.python_packages.empty() && !cog_.python_requirements.empty()) {
      return wrong(*build.find("python_requirements"), "build.python_requirements",
                   "is there beside python_packages; give one of them");
    }
    return ok();
  }

  Result<void> build_key(const YamlNode& item) {
    const std::string key = "build." + item.key;
    if (item.key == "python_version") {
      THAW_TRY(cog_.python_version, one_line(item, key));
      if (!is_python_version(cog_.python_version)) {
        return wrong(item, key, "is to be a version such as \"3.12\"");
      }
    } else if (item.key == "python_packages") {
      THAW_TRY(cog_.python_packages, lines(item, key));
    } else if (item.key == "python_requirements") {
      THAW_TRY(cog_.python_requirements, one_line(item, key));
    } else if (item.key == "system_packages") {
      THAW_TRY(cog_.system_packages, lines(item, key));
      const auto strange =
          std::find_if_not(cog_.system_packages.begin(), cog_.system_packages.end(), is_package);
      if (strange != cog_.system_packages.end()) {
        return wrong(item, key, "has '" + strange->substr(0, 100) + "', which is no package");
      }
    } else if (item.key == "run") {
      return commands(item, key);
    } else if (item.key == "gpu") {
      THAW_TRY(cog_.gpu, flag(item, key));
    } else if (item.key == "sdk_version") {
      THAW_TRY(cog_.cog_version, one_line(item, key));
      if (!is_package(cog_.cog_version)) {
        return wrong(item, key, "is to be a version such as \"0.23.1\"");
      }
    } else {
      warn_of(item, key);
    }
    return ok();
  }

  Result<void> commands(const YamlNode& node, const std::string& key) {
    if (node.kind != Kind::list || node.items.size() > most_entries) {
      return wrong(node, key, "is to be a list of at most 1000 commands");
    }
    for (const YamlNode& item : node.items) {
      const YamlNode* command = item.kind == Kind::map ? item.find("command") : &item;
      if (const YamlNode* mounts = item.find("mounts"); mounts != nullptr) {
        return wrong(*mounts, key + ".mounts",
                     "is not there: secrets of a build are not mounted; give what the command "
                     "needs with --build-arg, or do without");
      }
      if (command == nullptr) {
        return wrong(item, key, "has an entry without a command");
      }
      THAW_TRY(std::string line, one_line(*command, key));
      cog_.run.push_back(std::move(line));
    }
    return ok();
  }

  static Result<void> reference(const YamlNode& item, const std::string& key, std::string& out) {
    THAW_TRY(out, one_line(item, key));
    const std::size_t colon = out.find(':');
    const std::string_view file = std::string_view(out).substr(0, colon);
    const bool has_name = colon != std::string::npos && colon + 1 < out.size();
    if (!file.ends_with(".py") || out.size() > longest_word ||
        (colon != std::string::npos && !has_name)) {
      return wrong(item, key, "is to be a file and a name in it, such as \"predict.py:Predictor\"");
    }
    return ok();
  }

  Result<void> environment(const YamlNode& item) {
    THAW_TRY(const std::vector<std::string> all, lines(item, "environment"));
    for (const std::string& one : all) {
      const std::size_t equals = one.find('=');
      const std::string name = one.substr(0, equals);
      const bool is_name = equals != std::string::npos && !name.empty() &&
                           std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
                           std::all_of(name.begin(), name.end(), [](unsigned char c) {
                             return (c < 0x80 && std::isalnum(c) != 0) || c == '_';
                           });
      if (!is_name) {
        return wrong(item, "environment",
                     "has '" + name.substr(0, 100) + "', where NAME=value is to be");
      }
      cog_.environment.emplace_back(name, one.substr(equals + 1));
    }
    return ok();
  }

  Result<void> concurrency(const YamlNode& item) {
    if (item.kind != Kind::map) {
      return wrong(item, "concurrency", "is to be a map with max");
    }
    for (const YamlNode& one : item.items) {
      if (one.key != "max") {
        warn_of(one, "concurrency." + one.key);
        continue;
      }
      std::uint32_t number = 0;
      const char* end = one.text.data() + one.text.size();
      const auto [rest, error] = std::from_chars(one.text.data(), end, number);
      if (one.kind != Kind::text || one.written != YamlNode::Written::plain || rest != end ||
          error != std::errc() || number < 1 || number > most_concurrency) {
        return wrong(one, "concurrency.max", "is to be a whole number from 1 to 10000");
      }
      cog_.concurrency = number;
    }
    return ok();
  }

  void warn_of(const YamlNode& item, const std::string& key) {
    if (cog_.warnings.size() < most_warnings) {
      cog_.warnings.push_back("cog.yaml, line " + std::to_string(item.line) + ": " +
                              key.substr(0, 100) + " has no effect here");
    }
  }

  CogFile cog_;
};

}  // namespace

Result<CogFile> read_cog_file(std::string_view text) {
  const codec::YamlLimits limits{.bytes = most_cog_file_bytes};
  const auto root = codec::parse_yaml(text, limits);
  if (!root) {
    return Error(root.error().code(), "cog.yaml, " + root.error().message());
  }
  return Reading().file(*root);
}

}  // namespace thaw::cli
