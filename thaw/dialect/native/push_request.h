// SPDX-License-Identifier: Apache-2.0
//
// PushRequest: what is to become a function, as the API gets it (docs/reference/api.md): read and
// checked at the door, so that nothing strange is stored. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/dialect/native/pushed_model.h"
#include "thaw/model/function.h"

namespace thaw::dialect::native {

struct PushedFile {
  std::string path;  // absolute, in the build's context
  std::string sha256_hex;
  std::uint32_t mode = 0644;
};

struct PushRequest {
  std::string name;
  std::string image;                    // that it is, as it is; else it is built:
  std::vector<std::string> dockerfile;  // lines
  std::vector<PushedFile> files;
  std::map<std::string, std::string> build_args;
  std::map<std::string, std::string> env;
  std::string preset = "plain";
  enum class SaidBy { nobody, request } preset_by = SaidBy::nobody;
  model::PushContract contract;
  model::Resources resources;
  model::Scaling scaling;
  SaidBy concurrency_by = SaidBy::nobody;
  Duration timeout = std::chrono::minutes(5);
  Duration startup_timeout = std::chrono::minutes(5);
  std::size_t keep_versions = 0;           // the live one among them; 0: the server's number
  std::map<std::string, unsigned> shares;  // percent of aliases, by name
  model::SnapshotAt snapshot_at = model::SnapshotAt::never;
  std::optional<model::Schedule> schedule = std::nullopt;  // its zone is not checked
  std::string schedule_path;  // that is asked for then; empty: where its preset takes calls
  enum class Callers { by_place, anyone, tokens } callers = Callers::by_place;
  std::optional<PushedModel> model = std::nullopt;
};

// What holds where a request says nothing: of an image, what the image says.
struct Unsaid {
  std::string preset = "plain";
  std::uint16_t port = 0;  // 0: the preset's
  model::SnapshotAt snapshot_at = model::SnapshotAt::never;
  int concurrency = 1;
  std::string gpu;
};

// invalid_argument names the field and what it may be.
Result<PushRequest> read_push_request(std::string_view json, const Unsaid& unsaid = {});

// What a version keeps beside its FunctionSpec, and of it again.
struct Definition {
  std::string preset;
  bool for_tokens = false;
  std::map<std::string, std::string> env;
  std::string schedule_path = {};
};
std::string write_definition(const Definition& definition);
Result<Definition> read_definition(std::string_view bytes);

}  // namespace thaw::dialect::native
