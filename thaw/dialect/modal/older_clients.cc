// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/older_clients.h"

#include <google/protobuf/unknown_field_set.h>

#include <charconv>

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

namespace {

// By the numbers of the wire. Those that the schema does not name any more are among no GPUs that
// are known, and a function that asks for one is told so by this name.
std::string gpu_of(int type) {
  switch (type) {
    case pb::GPU_TYPE_T4: return "T4";
    case pb::GPU_TYPE_A100: return "A100-40GB";
    case pb::GPU_TYPE_A10G: return "A10G";
    case pb::GPU_TYPE_ANY: return "ANY";
    case 5: return "A100-20GB";
    case 6: return "A100-40GB-MANY";
    case 7: return "INFERENTIA2";
    case pb::GPU_TYPE_A100_80GB: return "A100-80GB";
    case pb::GPU_TYPE_L4: return "L4";
    case pb::GPU_TYPE_H100: return "H100";
    case pb::GPU_TYPE_L40S: return "L40S";
    case pb::GPU_TYPE_H200: return "H200";
    default: return "number " + std::to_string(type);
  }
}

void name(pb::GPUConfig& gpu) {
  if (gpu.gpu_type().empty() && gpu.type() != pb::GPU_TYPE_UNSPECIFIED) {
    gpu.set_gpu_type(gpu_of(gpu.type()));
  }
}

}  // namespace

std::optional<ClientVersion> parse_client_version(std::string_view text) {
  ClientVersion version;
  int* const parts[] = {&version.major, &version.minor, &version.patch};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int* part : parts) {
    if (part != parts[0]) {
      if (at == end || *at != '.') {
        return std::nullopt;
      }
      ++at;
    }
    const auto [rest, failure] = std::from_chars(at, end, *part);
    if (failure != std::errc{} || *part < 0) {
      return std::nullopt;
    }
    at = rest;
  }
  return version;
}

std::string former_text(const google::protobuf::Message& message, int field) {
  std::string text;
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const auto& one = unknown.field(i);
    if (one.number() == field &&
        one.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) {
      text = one.length_delimited();
    }
  }
  return text;
}

void set_former_text(google::protobuf::Message& message, int field, const std::string& text) {
  auto* unknown = message.GetReflection()->MutableUnknownFields(&message);
  unknown->DeleteByNumber(field);
  unknown->AddLengthDelimited(field, text);
}

void in_todays_words(pb::Function& definition) {
  if (definition.resources().has_gpu_config()) {
    name(*definition.mutable_resources()->mutable_gpu_config());
  }
}

void in_todays_words(pb::FunctionOptions& options) {
  if (options.resources().has_gpu_config()) {
    name(*options.mutable_resources()->mutable_gpu_config());
  }
  if (options.has_target_concurrent_inputs() && !options.has_max_concurrent_inputs()) {
    options.set_max_concurrent_inputs(options.target_concurrent_inputs());
    options.clear_target_concurrent_inputs();
  }
}

}  // namespace thaw::dialect::modal
