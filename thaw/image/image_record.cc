// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_record.h"

#include <nlohmann/json.hpp>

namespace thaw::image {
namespace {

using nlohmann::json;

// Config may hold any bytes that a recipe holds; JSON needs UTF-8.
std::string text(const json& value) {
  return value.dump(1, ' ', false, json::error_handler_t::replace);
}

bool read_list(const json& object, const char* name, std::vector<std::string>& out) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_array()) {
    return false;
  }
  for (const json& item : *it) {
    if (!item.is_string()) {
      return false;
    }
    out.push_back(item.get<std::string>());
  }
  return true;
}

bool read_text(const json& object, const char* name, std::string& out) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_string()) {
    return false;
  }
  out = it->get<std::string>();
  return true;
}

}  // namespace

std::string write_record(const ImageRecord& record) {
  const json config = {
      {"env", record.config.env},         {"workdir", record.config.workdir},
      {"user", record.config.user},       {"entrypoint", record.config.entrypoint},
      {"cmd", record.config.cmd},         {"shell", record.config.shell},
      {"onbuild", record.config.onbuild}, {"stop_signal", record.config.stop_signal}};
  return text(
      {{"format", 1}, {"layers", record.layers}, {"python", record.python}, {"config", config}});
}

std::optional<ImageRecord> read_record(std::string_view bytes) {
  const json parsed = json::parse(bytes, nullptr, false);
  if (!parsed.is_object() || parsed.value("format", json()) != json(1)) {
    return std::nullopt;
  }
  ImageRecord record;
  const auto config = parsed.find("config");
  if (config == parsed.end() || !config->is_object() ||
      !read_list(parsed, "layers", record.layers) || !read_text(parsed, "python", record.python) ||
      !read_list(*config, "env", record.config.env) ||
      !read_text(*config, "workdir", record.config.workdir) ||
      !read_text(*config, "user", record.config.user) ||
      !read_list(*config, "entrypoint", record.config.entrypoint) ||
      !read_list(*config, "cmd", record.config.cmd) ||
      !read_list(*config, "shell", record.config.shell)) {
    return std::nullopt;
  }
  // Records of earlier versions have none of what follows.
  if (const auto signal = config->find("stop_signal"); signal != config->end()) {
    if (!signal->is_number_integer() || *signal < 0 || *signal > 64) {
      return std::nullopt;
    }
    record.config.stop_signal = signal->get<int>();
  }
  if (config->contains("onbuild") && !read_list(*config, "onbuild", record.config.onbuild)) {
    return std::nullopt;
  }
  return record;
}

}  // namespace thaw::image
