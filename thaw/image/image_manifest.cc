// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_manifest.h"

#include <sys/utsname.h>

#include <algorithm>
#include <charconv>

#include "thaw/codec/json.h"
#include "thaw/image/context_paths.h"
#include "thaw/image/image_name.h"
#include "thaw/image/plan.h"
#include "thaw/image/signal_names.h"

namespace thaw::image {

namespace {

using codec::Json;

constexpr std::uint64_t most_blob_bytes = std::uint64_t{1} << 50;
constexpr std::size_t most_manifests = 1'000;  // of an index
constexpr std::size_t most_words = 2'000;      // of a list of the configuration
constexpr std::size_t most_config_bytes = 1u << 20;
constexpr std::size_t most_triggers = 200;
constexpr int deepest_json = 64;

Error bad(const std::string& what) {
  return Error::failed_precondition("what the registry or archive calls an image is none: " + what);
}

// Nesting costs the parser its stack, and what reads it is a server.
Result<Json> read_json(std::string_view bytes, const char* what) {
  if (bytes.size() > most_manifest_bytes) {
    return bad(std::string(what) + " has more than " + std::to_string(most_manifest_bytes >> 20) +
               " MiB");
  }
  bool is_too_deep = false;
  const auto look = [&is_too_deep](int depth, Json::parse_event_t, Json&) {
    is_too_deep = is_too_deep || depth > deepest_json;
    return !is_too_deep;
  };
  Json parsed = Json::parse(bytes, look, false);
  if (is_too_deep || !parsed.is_object()) {
    return bad(std::string(what) + " is no JSON object");
  }
  return parsed;
}

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const Json* object_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

const Json* list_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_array() ? &*found : nullptr;
}

Result<Descriptor> read_descriptor(const Json* json, const std::string& what) {
  if (json == nullptr || !json->is_object()) {
    return bad("it names no " + what);
  }
  Descriptor out;
  out.digest = text_of(*json, "digest");
  const auto size = json->find("size");
  if (!is_digest(out.digest)) {
    return bad("the digest of its " + what + " is no sha256");
  }
  if (size == json->end() || !size->is_number_unsigned() ||
      size->get<std::uint64_t>() > most_blob_bytes) {
    return bad("the size of its " + what + " is no number of bytes");
  }
  out.size = size->get<std::uint64_t>();
  return out;
}

Result<Descriptor> choose(const Json& manifests, const Platform& platform) {
  if (manifests.size() > most_manifests) {
    return bad("its index has " + std::to_string(manifests.size()) + " manifests");
  }
  std::vector<std::string> others;
  const Json* chosen = nullptr;
  for (const Json& one : manifests) {
    if (!one.is_object()) {
      return bad("its index holds something that is no manifest");
    }
    const Json* of = object_of(one, "platform");
    const std::string system = of == nullptr ? "linux" : text_of(*of, "os");
    const std::string architecture =
        of == nullptr ? platform.architecture : text_of(*of, "architecture");
    if (system == "linux" && architecture == platform.architecture && chosen == nullptr) {
      chosen = &one;
    }
    // What builders attach beside an image is for no platform.
    if (system != "unknown") {
      others.push_back(system.substr(0, 40) + "/" + architecture.substr(0, 40));
    }
  }
  if (chosen != nullptr) {
    return read_descriptor(chosen, "manifest");
  }
  std::string listed;
  for (std::size_t i = 0; i < others.size() && i < 10; ++i) {
    listed += (i == 0 ? "" : ", ") + others[i];
  }
  return Error::not_found(
      "it is not there for linux/" + platform.architecture +
      ", which this machine needs; it is for: " + (listed.empty() ? "no platform" : listed));
}

// Words of a list of the configuration; null is none.
Result<std::vector<std::string>> words_of(const Json& config, const char* name) {
  std::vector<std::string> words;
  const auto found = config.find(name);
  if (found == config.end() || found->is_null()) {
    return words;
  }
  if (!found->is_array() || found->size() > most_words) {
    return bad(std::string("its ") + name + " is no list, or too long a one");
  }
  for (const Json& word : *found) {
    if (!word.is_string() || word.get_ref<const std::string&>().find('\0') != std::string::npos) {
      return bad(std::string("its ") + name + " holds something that is no text");
    }
    words.push_back(word.get<std::string>());
  }
  return words;
}

Result<std::string> word_of(const Json& config, const char* name) {
  std::string text = text_of(config, name);
  if (text.find('\0') != std::string::npos) {
    return bad(std::string("its ") + name + " is no text");
  }
  return text;
}

Result<ImageConfig> read_settings(const Json& json) {
  ImageConfig config;
  THAW_TRY(const std::vector<std::string> env, words_of(json, "Env"));
  for (const std::string& entry : env) {
    const auto equals = entry.find('=');
    if (equals != std::string::npos && equals != 0) {
      set_env(config.env, entry.substr(0, equals), entry.substr(equals + 1));
    }
  }
  THAW_TRY(const std::string workdir, word_of(json, "WorkingDir"));
  config.workdir = workdir.empty() ? "" : absolute_path("", workdir);
  THAW_TRY(config.user, word_of(json, "User"));
  THAW_TRY(config.entrypoint, words_of(json, "Entrypoint"));
  THAW_TRY(config.cmd, words_of(json, "Cmd"));
  THAW_TRY(config.shell, words_of(json, "Shell"));
  THAW_TRY(config.onbuild, words_of(json, "OnBuild"));
  if (config.onbuild.size() > most_triggers) {
    return bad("it has more than " + std::to_string(most_triggers) + " ONBUILD instructions");
  }
  // A signal that Linux does not have is as none.
  config.stop_signal = signal_number(text_of(json, "StopSignal")).value_or(0);
  return config;
}

// What is no text is no label, and what is no port of TCP none.
ImageNotes read_notes(const Json& json) {
  ImageNotes notes;
  if (const Json* labels = object_of(json, "Labels")) {
    for (const auto& [name, value] : labels->items()) {
      if (value.is_string()) {
        notes.labels[name] = value.get<std::string>();
      }
    }
  }
  const Json* ports = object_of(json, "ExposedPorts");
  if (ports == nullptr) {
    return notes;
  }
  for (const auto& [name, value] : ports->items()) {
    std::uint16_t port = 0;
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, port);
    const std::string_view protocol(rest, static_cast<std::size_t>(end - rest));
    const bool is_tcp = protocol.empty() || protocol == "/tcp";
    if (error == std::errc() && is_tcp && port != 0 && (notes.port == 0 || port < notes.port)) {
      notes.port = port;
    }
  }
  return notes;
}

}  // namespace

Platform Platform::own() {
  utsname machine{};
  ::uname(&machine);
  const std::string_view name = machine.machine;
  return {name == "x86_64" ? "amd64" : name == "aarch64" ? "arm64" : std::string(name)};
}

Result<ManifestOrNext> read_manifest(std::string_view bytes, const Platform& platform) {
  THAW_TRY(const Json json, read_json(bytes, "its manifest"));
  const auto version = json.find("schemaVersion");
  if (version == json.end() || *version != 2) {
    return Error::unimplemented(
        "its manifest is not of schema 2; only images in OCI's form, and in Docker's since 2016, "
        "are pulled: push it again with a tool of today");
  }
  if (const Json* manifests = list_of(json, "manifests")) {
    THAW_TRY(Descriptor next, choose(*manifests, platform));
    return ManifestOrNext(std::move(next));
  }
  Manifest manifest;
  THAW_TRY(manifest.config, read_descriptor(object_of(json, "config"), "configuration"));
  if (manifest.config.size > most_manifest_bytes) {
    return bad("its configuration has more than " + std::to_string(most_manifest_bytes >> 20) +
               " MiB");
  }
  const Json* layers = list_of(json, "layers");
  if (layers == nullptr || layers->size() > most_layers) {
    return bad("it has no list of layers, or more than " + std::to_string(most_layers));
  }
  for (const Json& layer : *layers) {
    THAW_TRY(Descriptor one, read_descriptor(&layer, "layer"));
    manifest.layers.push_back(std::move(one));
  }
  return ManifestOrNext(std::move(manifest));
}

Result<ConfigFile> read_config_file(std::string_view bytes, const Platform& platform) {
  THAW_TRY(const Json json, read_json(bytes, "its configuration"));
  const std::string system = text_of(json, "os");
  const std::string architecture = text_of(json, "architecture");
  if ((!system.empty() && system != "linux") ||
      (!architecture.empty() && architecture != platform.architecture)) {
    return Error::failed_precondition("it is for " + system.substr(0, 40) + "/" +
                                      architecture.substr(0, 40) + ", and this machine is linux/" +
                                      platform.architecture);
  }
  ConfigFile file;
  if (const Json* config = object_of(json, "config")) {
    if (config->dump(-1, ' ', false, Json::error_handler_t::replace).size() > most_config_bytes) {
      return bad("its settings have more than 1 MiB");
    }
    THAW_TRY(file.config, read_settings(*config));
    file.notes = read_notes(*config);
  }
  const Json* root = object_of(json, "rootfs");
  const Json* ids = root == nullptr ? nullptr : list_of(*root, "diff_ids");
  if (ids == nullptr || ids->size() > most_layers) {
    return Error::unimplemented(
        "its configuration names no layers of a file system: it holds something else than an "
        "image that can be run");
  }
  for (const Json& id : *ids) {
    if (!id.is_string() || !is_digest(id.get_ref<const std::string&>())) {
      return bad("its configuration names a layer by something that is no sha256");
    }
    file.layer_ids.push_back(id.get<std::string>());
  }
  return file;
}

}  // namespace thaw::image
