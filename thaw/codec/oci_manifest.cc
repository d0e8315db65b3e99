// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/oci_manifest.h"

#include <algorithm>
#include <iterator>

#include "thaw/codec/json.h"

namespace thaw::codec {

namespace {

constexpr std::size_t most_named = 2'000;
constexpr std::size_t longest_type = 255;
// Of media types, which stand in headers and addresses: "application/vnd.x+json; v=1" has no more.
constexpr std::string_view letters_of_types =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+/;= ";

enum class Form { manifest, index };
struct Type {
  std::string_view name;
  Form form;
};
constexpr Type types[] = {
    {"application/vnd.oci.image.manifest.v1+json", Form::manifest},
    {oci_index_type, Form::index},
    {"application/vnd.docker.distribution.manifest.v2+json", Form::manifest},
    {"application/vnd.docker.distribution.manifest.list.v2+json", Form::index},
};

Error wrong(const std::string& what) { return Error::invalid_argument("the manifest " + what); }

// A text of the object, or nothing.
std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<ManifestFacts::Named> read_named(const Json& json, const std::string& what) {
  if (!json.is_object()) {
    return wrong("has a " + what + " that is no descriptor");
  }
  const std::string digest = text_of(json, "digest");
  const auto hex = sha256_of_digest(digest);
  if (!hex) {
    return wrong("names a " + what + " by '" + digest.substr(0, 100) +
                 "': here digests are sha256: and 64 digits of lower-case hex");
  }
  const auto size = json.find("size");
  if (size == json.end() || !size->is_number_unsigned()) {
    return wrong("says no size of its " + what + " " + digest);
  }
  const auto urls = json.find("urls");
  const bool is_elsewhere = urls != json.end() && urls->is_array() && !urls->empty();
  return ManifestFacts::Named{*hex, size->get<std::uint64_t>(), is_elsewhere};
}

Result<void> read_list(const Json& json, const char* name, const std::string& what,
                       std::vector<ManifestFacts::Named>& out) {
  const auto list = json.find(name);
  if (list == json.end() || list->is_null()) {
    return ok();
  }
  if (!list->is_array() || list->size() > most_named) {
    return wrong(std::string("has ") + name + " that are no list of at most " +
                 std::to_string(most_named));
  }
  for (const Json& item : *list) {
    THAW_TRY(ManifestFacts::Named named, read_named(item, what));
    out.push_back(std::move(named));
  }
  return ok();
}

// "application/json; charset=utf-8" without what stands behind the type.
std::string_view bare_type(std::string_view type) {
  type = type.substr(0, type.find(';'));
  while (!type.empty() && type.back() == ' ') {
    type.remove_suffix(1);
  }
  return type;
}

}  // namespace

std::optional<std::string> sha256_of_digest(std::string_view digest) {
  constexpr std::string_view prefix = "sha256:";
  constexpr std::size_t digits = 64;
  if (!digest.starts_with(prefix) || digest.size() != prefix.size() + digits ||
      digest.find_first_not_of("0123456789abcdef", prefix.size()) != std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(digest.substr(prefix.size()));
}

Result<ManifestFacts> read_oci_manifest(std::string_view bytes, std::string_view content_type) {
  const auto json = parse_json(bytes);
  if (!json || !json->is_object()) {
    return wrong(json ? "is no JSON object" : "is no JSON: " + json.error().message());
  }
  const auto schema = json->find("schemaVersion");
  if (schema == json->end() || !schema->is_number_unsigned() || schema->get<std::uint64_t>() != 2) {
    return wrong("has not 2 as its schemaVersion, and no other is kept");
  }
  ManifestFacts facts;
  const std::string_view sent = bare_type(content_type);
  facts.media_type = text_of(*json, "mediaType");
  if (facts.media_type.empty()) {
    facts.media_type = sent;
  } else if (!sent.empty() && sent != facts.media_type) {
    return wrong("was sent as " + std::string(sent.substr(0, longest_type)) + " and calls itself " +
                 facts.media_type.substr(0, longest_type));
  }
  const auto type = std::find_if(std::begin(types), std::end(types),
                                 [&](const Type& one) { return one.name == facts.media_type; });
  if (type == std::end(types)) {
    return wrong("is of the type '" + facts.media_type.substr(0, longest_type) +
                 "'; manifests and indexes of OCI and of Docker (schema 2) are kept");
  }
  facts.artifact_type = text_of(*json, "artifactType");
  if (type->form == Form::index) {
    THAW_TRY_VOID(read_list(*json, "manifests", "manifest", facts.children));
  } else {
    const auto config = json->find("config");
    if (config == json->end()) {
      return wrong("names no configuration");
    }
    THAW_TRY(ManifestFacts::Named named, read_named(*config, "configuration"));
    facts.blobs.push_back(std::move(named));
    if (facts.artifact_type.empty()) {
      facts.artifact_type = text_of(*config, "mediaType");
    }
    THAW_TRY_VOID(read_list(*json, "layers", "layer", facts.blobs));
  }
  if (facts.artifact_type.size() > longest_type ||
      facts.artifact_type.find_first_not_of(letters_of_types) != std::string::npos) {
    return wrong("has a type of artifact that is no media type, of 255 letters at most");
  }
  if (const auto subject = json->find("subject"); subject != json->end() && !subject->is_null()) {
    THAW_TRY(const ManifestFacts::Named named, read_named(*subject, "subject"));
    facts.subject = named.sha256_hex;
  }
  if (const auto notes = json->find("annotations"); notes != json->end() && notes->is_object()) {
    for (const auto& [name, value] : notes->items()) {
      if (!value.is_string()) {
        return wrong("has an annotation that is no text: " + name.substr(0, longest_type));
      }
      facts.annotations.emplace(name, value.get<std::string>());
    }
  }
  return facts;
}

}  // namespace thaw::codec
