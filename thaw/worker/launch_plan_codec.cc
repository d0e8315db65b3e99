// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/launch_plan_codec.h"

#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "thaw/codec/json.h"

// Each struct is taken apart by name: a field that is added and not written does not compile.
namespace thaw::worker {

namespace {

using codec::Json;

// --- writing ---

template <class E>
  requires std::is_enum_v<E>
int number(E value) {
  return static_cast<int>(value);
}

Json json_of(const Bind& bind) {
  const auto& [source, target, access, inside] = bind;
  return {{"source", source}, {"target", target}, {"access", number(access)}, {"inside", inside}};
}

Json json_of(const BucketPlan& plan) {
  const auto& [bucket, scheme, host, port, region, prefix, target, access, requester_pays,
               access_key_id, secret_access_key, session_token] = plan;
  return {{"bucket", bucket},
          {"scheme", scheme},
          {"host", host},
          {"port", port},
          {"region", region},
          {"prefix", prefix},
          {"target", target},
          {"access", number(access)},
          {"requester_pays", requester_pays},
          {"access_key_id", access_key_id},
          {"secret_access_key", secret_access_key},
          {"session_token", session_token}};
}

Json json_of(const InjectedFile& file) {
  const auto& [name, bytes] = file;
  return {{"name", name}, {"bytes", bytes}};
}

Json json_of(const sandbox::Limits& limits) {
  const auto& [memory_bytes, cpu_millis, pids] = limits;
  return {{"memory_bytes", memory_bytes}, {"cpu_millis", cpu_millis}, {"pids", pids}};
}

Json json_of(const model::PushContract& contract) {
  const auto& [port, wire, ready, health_path, target, drop_headers, restored_path, arguments,
               drain_path, stop_signal] = contract;
  const auto& [by, path, pointer, good, bad] = ready;
  return {
      {"port", port},
      {"wire", number(wire)},
      {"ready",
       {{"by", number(by)}, {"path", path}, {"pointer", pointer}, {"good", good}, {"bad", bad}}},
      {"health_path", health_path},
      {"target", target},
      {"drop_headers", drop_headers},
      {"restored_path", restored_path},
      {"arguments", arguments},
      {"drain_path", drain_path},
      {"stop_signal", stop_signal}};
}

template <class T>
Json list_of(const std::vector<T>& values) {
  Json list = Json::array();
  for (const T& value : values) {
    if constexpr (std::is_enum_v<T>) {
      list.push_back(number(value));
    } else {
      list.push_back(json_of(value));
    }
  }
  return list;
}

Json json_of(const ForkPlan& fork) {
  const auto& [kit, workspace, layers, binds, env, whole_env, learns, lineage, modules] = fork;
  return {{"kit", kit},
          {"workspace", workspace},
          {"layers", layers},
          {"binds", list_of(binds)},
          {"env", env},
          {"whole_env", whole_env},
          {"learns", number(learns)},
          {"lineage", lineage},
          {"modules", modules}};
}

Json json_of(const SnapshotPoint& point) {
  const auto& [signal, file_name, file_bytes, renewal] = point;
  return {{"restored_signal", signal},
          {"file_name", file_name},
          {"file_bytes", file_bytes},
          {"renewal", number(renewal)}};
}

Json json_of(const Fallback& fallback) {
  const auto& [level, reason, detail, tried] = fallback;
  return {
      {"level", number(level)}, {"reason", reason}, {"detail", detail}, {"tried", number(tried)}};
}

Json json_of(const std::vector<std::string>& texts) { return texts; }

template <class T>
void put(Json& into, const char* name, const std::optional<T>& value) {
  if (value) {
    into[name] = json_of(*value);
  }
}

// --- reading ---

// nullptr: there is none of that name.
const Json* part(const Json& from, const char* name) {
  if (!from.is_object()) {
    throw std::invalid_argument(std::string("what is to have '") + name + "' is no object");
  }
  const auto found = from.find(name);
  return found == from.end() ? nullptr : &*found;
}

template <class T>
void get(const Json& from, const char* name, T& value) {
  const Json* const found = part(from, name);
  if (found == nullptr) {
    return;
  }
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    // The library would cut it to fit.
    const bool fits =
        found->is_number_unsigned()
            ? std::in_range<T>(found->template get<std::uint64_t>())
            : found->is_number_integer() && std::in_range<T>(found->template get<std::int64_t>());
    if (!fits) {
      throw std::out_of_range(std::string(name) + " is no whole number that fits");
    }
  }
  found->get_to(value);
}

template <class E>
void get_enum(const Json& from, const char* name, E& value, E last) {
  int as_number = number(value);
  get(from, name, as_number);
  if (as_number < 0 || as_number > number(last)) {
    throw std::out_of_range(std::string(name) + " is " + std::to_string(as_number));
  }
  value = static_cast<E>(as_number);
}

void read(const Json& from, Bind& bind) {
  get(from, "source", bind.source);
  get(from, "target", bind.target);
  get_enum(from, "access", bind.access, Bind::Access::read_write);
  get(from, "inside", bind.inside);
}

void read(const Json& from, BucketPlan& plan) {
  get(from, "bucket", plan.bucket);
  get(from, "scheme", plan.scheme);
  get(from, "host", plan.host);
  get(from, "port", plan.port);
  get(from, "region", plan.region);
  get(from, "prefix", plan.prefix);
  get(from, "target", plan.target);
  get_enum(from, "access", plan.access, Bind::Access::read_write);
  get(from, "requester_pays", plan.requester_pays);
  get(from, "access_key_id", plan.access_key_id);
  get(from, "secret_access_key", plan.secret_access_key);
  get(from, "session_token", plan.session_token);
}

void read(const Json& from, InjectedFile& file) {
  get(from, "name", file.name);
  get(from, "bytes", file.bytes);
}

void read(const Json& from, sandbox::Limits& limits) {
  get(from, "memory_bytes", limits.memory_bytes);
  get(from, "cpu_millis", limits.cpu_millis);
  get(from, "pids", limits.pids);
}

void read(const Json& from, model::PushContract& contract) {
  using Ready = model::PushContract::Ready;
  get(from, "port", contract.port);
  get_enum(from, "wire", contract.wire, model::PushContract::Wire::h2c);
  if (const Json* ready = part(from, "ready")) {
    get_enum(*ready, "by", contract.ready.by, Ready::By::said);
    get(*ready, "path", contract.ready.path);
    get(*ready, "pointer", contract.ready.pointer);
    get(*ready, "good", contract.ready.good);
    get(*ready, "bad", contract.ready.bad);
  }
  get(from, "health_path", contract.health_path);
  get(from, "target", contract.target);
  get(from, "drop_headers", contract.drop_headers);
  get(from, "restored_path", contract.restored_path);
  get(from, "arguments", contract.arguments);
  get(from, "drain_path", contract.drain_path);
  get(from, "stop_signal", contract.stop_signal);
}

template <class T>
void get_list(const Json& from, const char* name, std::vector<T>& values) {
  values.clear();
  for (const Json& one : from.at(name)) {
    read(one, values.emplace_back());
  }
}

void read(const Json& from, ForkPlan& fork) {
  get(from, "kit", fork.kit);
  get(from, "workspace", fork.workspace);
  get(from, "layers", fork.layers);
  get_list(from, "binds", fork.binds);
  get(from, "env", fork.env);
  get(from, "whole_env", fork.whole_env);
  get_enum(from, "learns", fork.learns, ForkPlan::Learns::nothing);
  get(from, "lineage", fork.lineage);
  get(from, "modules", fork.modules);
}

void read(const Json& from, SnapshotPoint& point) {
  get(from, "restored_signal", point.restored_signal);
  get(from, "file_name", point.file_name);
  get(from, "file_bytes", point.file_bytes);
  get_enum(from, "renewal", point.renewal, SnapshotPoint::Renewal::of_kits);
}

void read(const Json& from, Fallback& fallback) {
  get_enum(from, "level", fallback.level, model::last_level);
  get(from, "reason", fallback.reason);
  get(from, "detail", fallback.detail);
  get_enum(from, "tried", fallback.tried, Fallback::Tried::failed_before);
}

void read(const Json& from, std::vector<std::string>& texts) { from.get_to(texts); }

template <class T>
void get(const Json& from, const char* name, std::optional<T>& value) {
  if (const Json* found = part(from, name)) {
    read(*found, value.emplace());
  }
}

LaunchPlan plan_of(const Json& from) {
  LaunchPlan plan;
  std::string id;
  get(from, "id", id);
  plan.id = model::ContainerId(std::move(id));
  get(from, "layers", plan.layers);
  get_list(from, "binds", plan.binds);
  if (part(from, "buckets") != nullptr) {  // plans of before this field have none
    get_list(from, "buckets", plan.buckets);
  }
  get_list(from, "files", plan.files);
  get(from, "argv", plan.argv);
  get(from, "env", plan.env);
  get(from, "cwd", plan.cwd);
  get(from, "user", plan.user);
  read(from.at("limits"), plan.limits);
  get_enum(from, "network", plan.network, sandbox::SandboxSpec::Network::host);
  get(from, "reaches", plan.reaches);
  get(from, "log_stream", plan.log_stream);
  get(from, "function", plan.function);
  get(from, "wants_socket", plan.wants_socket);
  get_enum(from, "guests", plan.guests, sandbox::SandboxSpec::Guests::possible);
  get(from, "workspace", plan.workspace);
  get(from, "door_port", plan.door_port);
  get(from, "push", plan.push);
  get_enum(from, "users", plan.users, InsideUsers::all);
  plan.levels.clear();
  for (const Json& level : from.at("levels")) {
    get_enum({{"level", level}}, "level", plan.levels.emplace_back(), model::last_level);
  }
  get(from, "fork", plan.fork);
  get(from, "snapshot_point", plan.snapshot_point);
  get_enum(from, "purpose", plan.purpose, LaunchPlan::Purpose::snapshot);
  get(from, "staging", plan.staging);
  get(from, "snapshot_env", plan.snapshot_env);
  get(from, "restore", plan.restore);
  get(from, "not_restored", plan.not_restored);
  return plan;
}

}  // namespace

std::string write_plan(const LaunchPlan& plan) {
  const auto& [id, layers, binds, buckets, files, argv, env, cwd, user, limits, network, reaches,
               log_stream, function, wants_socket, guests, workspace, door_port, push, users,
               levels, fork, snapshot_point, purpose, staging, snapshot_env, restore,
               not_restored] = plan;
  Json json = {{"id", id.str()},
               {"layers", layers},
               {"binds", list_of(binds)},
               {"buckets", list_of(buckets)},
               {"files", list_of(files)},
               {"argv", argv},
               {"env", env},
               {"cwd", cwd},
               {"user", user},
               {"limits", json_of(limits)},
               {"network", number(network)},
               {"log_stream", log_stream},
               {"function", function},
               {"wants_socket", wants_socket},
               {"guests", number(guests)},
               {"workspace", workspace},
               {"door_port", door_port},
               {"users", number(users)},
               {"levels", list_of(levels)},
               {"purpose", number(purpose)},
               {"staging", staging},
               {"snapshot_env", snapshot_env},
               {"restore", restore}};
  put(json, "reaches", reaches);
  put(json, "push", push);
  put(json, "fork", fork);
  put(json, "snapshot_point", snapshot_point);
  put(json, "not_restored", not_restored);
  const std::vector<std::uint8_t> bytes = Json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}

Result<LaunchPlan> read_plan(const std::string& bytes) {
  try {
    return plan_of(Json::from_cbor(bytes.begin(), bytes.end()));
  } catch (const std::exception& error) {
    return Error::invalid_argument(std::string("a launch plan cannot be read: ") + error.what());
  }
}

}  // namespace thaw::worker
