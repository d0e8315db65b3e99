// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/push_request.h"

#include <algorithm>

#include "thaw/catalog/model_cards.h"
#include "thaw/codec/fields.h"
#include "thaw/dialect/native/cog_labels.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/image/image_name.h"
#include "thaw/model/alias.h"
#include "thaw/model/push_presets.h"

namespace thaw::dialect::native {

namespace {

constexpr std::size_t most_dockerfile_bytes = 1u << 20;
constexpr std::size_t most_files = 50'000;
constexpr std::size_t most_variables = 1'000;
constexpr std::size_t most_variable_bytes = 256u << 10;
constexpr std::int64_t most_versions = 1'000;
constexpr double shortest_s = 0.1;
constexpr double longest_s = 24 * 3600;

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<void> check_variables(const char* field, const std::map<std::string, std::string>& all) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : all) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos) {
      return Error::invalid_argument(std::string(field) + ": '" + name.substr(0, 100) +
                                     "' cannot be the name of a variable, or its value has a NUL");
    }
    bytes += name.size() + value.size();
  }
  if (all.size() > most_variables || bytes > most_variable_bytes) {
    return Error::invalid_argument(std::string(field) + ": at most " +
                                   std::to_string(most_variables) + " variables of " +
                                   std::to_string(most_variable_bytes >> 10) + " KiB together");
  }
  return ok();
}

Result<std::vector<PushedFile>> read_files(codec::Fields& fields) {
  std::vector<PushedFile> files;
  const codec::Json& items = fields.items("files");
  if (items.size() > most_files) {
    return Error::invalid_argument("files: at most " + std::to_string(most_files) +
                                   "; name more of them in .dockerignore");
  }
  for (const codec::Json& item : items) {
    PushedFile file;
    codec::Fields one(item);
    one.read("path", file.path);
    one.read("sha256", file.sha256_hex);
    one.read("mode", file.mode);
    fields.include(one);
    if (!file.path.starts_with('/') || file.path.find('\0') != std::string::npos ||
        file.path.size() > 4'000 || (file.path + "/").find("/../") != std::string::npos) {
      return Error::invalid_argument("files: '" + file.path.substr(0, 200) +
                                     "' is no absolute path without ..");
    }
    if (!is_sha256_hex(file.sha256_hex) || file.mode > 07777) {
      return Error::invalid_argument("files: " + file.path.substr(0, 200) +
                                     " needs its sha256 in lower-case hex, and a mode up to 07777");
    }
    files.push_back(std::move(file));
  }
  return files;
}

// A number in its bounds, or an error that names both.
template <class T>
Result<void> read_number(codec::Fields& fields, const codec::Json& json, const char* name, T& out,
                         std::int64_t least, std::int64_t most) {
  if (!json.contains(name)) {
    return ok();
  }
  std::int64_t value = least - 1;
  fields.read(name, value);
  if (value < least || value > most) {
    return Error::invalid_argument(std::string(name) + ": a whole number from " +
                                   std::to_string(least) + " to " + std::to_string(most));
  }
  out = static_cast<T>(value);
  return ok();
}

Result<void> read_seconds(codec::Fields& fields, const codec::Json& json, const char* name,
                          Duration& out) {
  if (!json.contains(name)) {
    return ok();
  }
  double seconds = 0;
  fields.read(name, seconds);
  if (seconds < shortest_s || seconds > longest_s) {
    return Error::invalid_argument(std::string(name) + ": seconds from 0.1 to " +
                                   std::to_string(static_cast<int>(longest_s)));
  }
  out = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  return ok();
}

Result<std::map<std::string, unsigned>> read_shares(codec::Fields& fields) {
  std::map<std::string, unsigned> shares;
  for (const auto& [name, value] : fields.object("aliases").items()) {
    if (const Result<void> named = model::check_alias_name(name); !named) {
      return Error::invalid_argument("aliases: " + named.error().message());
    }
    const bool is_percent = value.is_number_unsigned() && value.get<std::uint64_t>() >= 1 &&
                            value.get<std::uint64_t>() <= 100;
    if (!is_percent || shares.size() >= model::most_aliases) {
      return Error::invalid_argument("aliases: at most " + std::to_string(model::most_aliases) +
                                     ", each with 1 to 100 percent of its requests");
    }
    shares[name] = value.get<unsigned>();
  }
  return shares;
}

// {"cron": "0 2 * * *", "zone": "Europe/Paris", "path": "/nightly"}, or {"every_s": 300, "path": …}
Result<void> read_schedule(codec::Fields& fields, PushRequest& request) {
  const codec::Json& json = fields.object("schedule");
  if (json.empty()) {
    return ok();
  }
  codec::Fields one(json);
  model::CronSchedule cron;
  model::PeriodSchedule period;
  one.read("cron", cron.expression);
  one.read("zone", cron.zone);
  one.read("every_s", period.seconds);
  one.read("path", request.schedule_path);
  fields.include(one);
  if (json.contains("cron") == json.contains("every_s")) {
    return Error::invalid_argument("schedule: either cron or every_s");
  }
  if (!request.schedule_path.empty() &&
      (!request.schedule_path.starts_with('/') || request.schedule_path.size() > 2'000 ||
       request.schedule_path.find_first_of(" \r\n#") != std::string::npos)) {
    return Error::invalid_argument("schedule: its path begins with / and has no space");
  }
  request.schedule = json.contains("cron") ? model::Schedule(std::move(cron)) : period;
  return ok();
}

Result<void> read_contract(codec::Fields& fields, const codec::Json& json, const Unsaid& unsaid,
                           PushRequest& request) {
  request.preset = unsaid.preset;
  fields.read("preset", request.preset);
  request.preset_by =
      json.contains("preset") ? PushRequest::SaidBy::request : PushRequest::SaidBy::nobody;
  const model::PushPreset* preset = model::find_push_preset(request.preset);
  if (preset == nullptr) {
    std::string known;
    for (const model::PushPreset& one : model::push_presets()) {
      known += (known.empty() ? "" : ", ") + std::string(one.name);
    }
    return Error::invalid_argument("preset: '" + request.preset.substr(0, 60) + "' is none of " +
                                   known);
  }
  model::PushContract& contract = request.contract;
  contract = preset->contract;
  contract.port = unsaid.port != 0 ? unsaid.port : contract.port;
  THAW_TRY_VOID(read_number(fields, json, "port", contract.port, 1, 65'535));
  std::string wire;
  fields.read("wire", wire);
  if (wire == "http1" || wire == "h2c") {
    using Wire = model::PushContract::Wire;
    contract.wire = wire == "h2c" ? Wire::h2c : Wire::http1;
  } else if (!wire.empty()) {
    return Error::invalid_argument("wire: 'http1' or 'h2c'");
  }
  std::string ready_path;
  fields.read("ready_path", ready_path);
  if (!ready_path.empty()) {
    contract.ready = {model::PushContract::Ready::By::status, ready_path, {}, {}, {}};
  }
  fields.read("health_path", contract.health_path);
  fields.read("restored_path", contract.restored_path);
  fields.read("arguments", contract.arguments);
  return model::check(contract);
}

// What its root file system is: an image as it is, or what is built of the files that were sent.
Result<void> read_source(codec::Fields& fields, PushRequest& request) {
  fields.read("image", request.image);
  fields.read("dockerfile", request.dockerfile);
  std::size_t bytes = 0;
  for (const std::string& line : request.dockerfile) {
    bytes += line.size();
  }
  const bool is_image = !request.image.empty();
  if (!is_image && (request.dockerfile.empty() || bytes > most_dockerfile_bytes)) {
    return Error::invalid_argument("dockerfile: the lines of one, at most " +
                                   std::to_string(most_dockerfile_bytes >> 10) + " KiB");
  }
  THAW_TRY(request.files, read_files(fields));
  fields.read("build_args", request.build_args);
  if (is_image &&
      !(request.dockerfile.empty() && request.files.empty() && request.build_args.empty())) {
    return Error::invalid_argument(
        "image: nothing is built of it, so that it stands without dockerfile, files and "
        "build_args");
  }
  if (is_image) {
    if (const auto named = image::parse_image_name(request.image); !named) {
      return Error::invalid_argument("image: " + named.error().message());
    }
  }
  return ok();
}

// Where the schema of an image lies that says nothing else of it, Cog's own builds know.
Result<void> read_model(codec::Fields& fields, PushRequest& request) {
  codec::Json model = fields.object("model");
  if (model.empty()) {
    return ok();
  }
  if (!request.image.empty() && !model.contains("schema_path")) {
    model["schema_path"] = cog_schema_path;
  }
  THAW_TRY(request.model, read_pushed_model(model));
  return ok();
}

}  // namespace

Result<PushRequest> read_push_request(std::string_view text, const Unsaid& unsaid) {
  THAW_TRY(const codec::Json json, codec::parse_json(text));
  if (!json.is_object()) {
    return Error::invalid_argument("a function is described by a JSON object");
  }
  PushRequest request;
  codec::Fields fields(json);
  fields.read("name", request.name);
  if (const Result<void> named = gateway::check_label(request.name); !named) {
    return Error::invalid_argument("name: " + named.error().message());
  }
  THAW_TRY_VOID(read_source(fields, request));
  fields.read("env", request.env);
  THAW_TRY_VOID(check_variables("build_args", request.build_args));
  THAW_TRY_VOID(check_variables("env", request.env));
  THAW_TRY_VOID(read_contract(fields, json, unsaid, request));

  constexpr std::int64_t most_bytes = std::int64_t{1} << 46;
  std::uint64_t& memory = request.resources.memory_bytes;
  THAW_TRY_VOID(read_number(fields, json, "memory_bytes", memory, 0, most_bytes));
  request.resources.memory_limit_bytes = memory;
  THAW_TRY_VOID(
      read_number(fields, json, "cpu_millis", request.resources.cpu_millis, 0, 10'000'000));
  request.resources.gpu = unsaid.gpu;
  fields.read("gpu", request.resources.gpu);
  model::Scaling& scaling = request.scaling;
  THAW_TRY_VOID(read_number(fields, json, "min", scaling.min_containers, 0, 10'000));
  THAW_TRY_VOID(read_number(fields, json, "max", scaling.max_containers, 0, 10'000));
  scaling.max_concurrent_inputs = unsaid.concurrency;
  THAW_TRY_VOID(read_number(fields, json, "concurrency", scaling.max_concurrent_inputs, 1, 10'000));
  request.concurrency_by =
      json.contains("concurrency") ? PushRequest::SaidBy::request : PushRequest::SaidBy::nobody;
  if (scaling.max_containers > 0 && scaling.min_containers > scaling.max_containers) {
    return Error::invalid_argument("min: at most max");
  }
  THAW_TRY_VOID(read_seconds(fields, json, "idle_s", scaling.scaledown_window));
  THAW_TRY_VOID(read_seconds(fields, json, "timeout_s", request.timeout));
  THAW_TRY_VOID(read_seconds(fields, json, "startup_timeout_s", request.startup_timeout));
  THAW_TRY_VOID(
      read_number(fields, json, "keep_versions", request.keep_versions, 1, most_versions));
  THAW_TRY(request.shares, read_shares(fields));
  std::string callers;
  fields.read("callers", callers);
  if (callers == "anyone" || callers == "tokens") {
    request.callers =
        callers == "tokens" ? PushRequest::Callers::tokens : PushRequest::Callers::anyone;
  } else if (!callers.empty()) {
    return Error::invalid_argument("callers: 'anyone' or 'tokens'");
  }
  std::string snapshot;
  fields.read("snapshot", snapshot);
  if (!snapshot.empty() && snapshot != "never" && snapshot != "ready") {
    return Error::invalid_argument("snapshot: 'never' or 'ready'");
  }
  using At = model::SnapshotAt;
  request.snapshot_at = snapshot.empty()      ? unsaid.snapshot_at
                        : snapshot == "ready" ? At::ready
                                              : At::never;
  if (!request.contract.restored_path.empty() && request.snapshot_at != At::ready) {
    return Error::invalid_argument(
        "restored_path: nothing is restored without snapshot 'ready'; say that too, or leave it "
        "out");
  }
  THAW_TRY_VOID(read_schedule(fields, request));
  THAW_TRY_VOID(read_model(fields, request));
  if (const Result<void> read = fields.outcome(); !read) {
    return Error::invalid_argument(read.error().message());
  }
  return request;
}

std::string write_definition(const Definition& definition) {
  return codec::dump_json({{"preset", definition.preset},
                           {"for_tokens", definition.for_tokens},
                           {"schedule_path", definition.schedule_path},
                           {"env", definition.env}});
}

Result<Definition> read_definition(std::string_view bytes) {
  THAW_TRY(const codec::Json json, codec::parse_json(catalog::own_definition(bytes)));
  Definition definition;
  codec::Fields fields(json);
  fields.read("preset", definition.preset);
  fields.read("for_tokens", definition.for_tokens);
  fields.read("schedule_path", definition.schedule_path);
  fields.read("env", definition.env);
  THAW_TRY_VOID(fields.outcome());
  return definition;
}

}  // namespace thaw::dialect::native
