// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/named_state.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/state/state_store.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using model::Dict;
using state::Dicts;
using state::Entry;

namespace {

// A larger value is read when there is room for its reply.
constexpr std::uint64_t most_at_once = 1u << 20;

Dicts& dicts_of(Context& cx) { return cx.parts.state.dicts(); }

Result<std::shared_ptr<const Dict>> find_dict(Context& cx, const gateway::Identity& who,
                                              const std::string& id) {
  auto dict = scope_of(cx, who).dict(id);
  if (!dict) {
    return Error::not_found("dict '" + id.substr(0, 80) + "' does not exist");
  }
  return dict;
}

Result<state::Object> object_for(Context& cx, const net::GrpcCall& call, const std::string& id) {
  THAW_TRY(const gateway::Identity who, identify(cx, call));
  THAW_TRY(const auto dict, find_dict(cx, who, id));
  return state::object_of(*dict);
}

template <class Entries>
std::vector<Entry> entries_of(Entries* given) {
  std::vector<Entry> entries;
  entries.reserve(static_cast<std::size_t>(given->size()));
  for (pb::DictEntry& one : *given) {
    entries.push_back({std::move(*one.mutable_key()), std::move(*one.mutable_value())});
  }
  return entries;
}

Task<pb::DictGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                pb::DictGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  gateway::NamedStates::Wanted wanted{who.workspace, environment, request.deployment_name()};
  THAW_CO_TRY(wanted.making, making_of(request.object_creation_type()));
  if (wanted.making != gateway::NamedStates::Making::ephemeral) {
    THAW_CO_TRY_VOID(check_object_name(wanted.name, "a dict"));
  }
  THAW_CO_TRY(const auto found,
              co_await cx.parts.named_states.dict(scope_of(cx, who), std::move(wanted)));
  if (found.is_new && request.data_size() > 0) {
    auto stored = co_await dicts_of(cx).update(state::object_of(*found.thing),
                                               entries_of(request.mutable_data()),
                                               Dicts::Existing::replace, request_key(call, who));
    if (!stored) {
      co_return as_told(std::move(stored).error());
    }
  }
  pb::DictGetOrCreateResponse reply;
  reply.set_dict_id(found.thing->id.str());
  *reply.mutable_metadata() = metadata_of<pb::DictMetadata>(*found.thing);
  co_return reply;
}

Task<pb::DictGetByIdResponse> get_by_id(Context& cx, net::GrpcCall& call,
                                        pb::DictGetByIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto dict, find_dict(cx, who, request.dict_id()));
  pb::DictGetByIdResponse reply;
  reply.set_dict_id(dict->id.str());
  *reply.mutable_metadata() = metadata_of<pb::DictMetadata>(*dict);
  co_return reply;
}

Task<Empty> heartbeat(Context& cx, net::GrpcCall& call, pb::DictHeartbeatRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto dict, find_dict(cx, who, request.dict_id()));
  cx.parts.named_states.beat(*dict);
  co_return Empty();
}

Task<pb::DictListResponse> list(Context& cx, net::GrpcCall& call, pb::DictListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  pb::DictListResponse reply;
  reply.set_environment_name(environment->name);
  for (const auto& dict :
       page_of(scope_of(cx, who).dicts_in(environment->id), request.pagination())) {
    auto* item = reply.add_dicts();
    item->set_name(dict->name);
    item->set_dict_id(dict->id.str());
    item->set_created_at(unix_seconds(dict->created_at));
    *item->mutable_metadata() = metadata_of<pb::DictMetadata>(*dict);
  }
  co_return reply;
}

Task<Empty> erase(Context& cx, net::GrpcCall& call, pb::DictDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto dict, find_dict(cx, who, request.dict_id()));
  THAW_CO_TRY_VOID(co_await cx.parts.named_states.erase(*dict));
  co_return Empty();
}

Task<pb::DictGetResponse> get(Context& cx, net::GrpcCall& call, pb::DictGetRequest request) {
  THAW_CO_TRY(const state::Object dict, object_for(cx, call, request.dict_id()));
  THAW_CO_TRY(auto found, co_await dicts_of(cx).get(dict, request.key(), most_at_once));
  if (found.left_out > 0) {
    THAW_CO_TRY_VOID(co_await call.reserve_reply(found.left_out));
    THAW_CO_TRY(found, co_await dicts_of(cx).get(dict, request.key(), UINT64_MAX));
  }
  pb::DictGetResponse reply;
  reply.set_found(found.is_found);
  if (found.is_found) {
    reply.set_value(std::move(found.value));
  }
  co_return reply;
}

Task<pb::DictContainsResponse> contains(Context& cx, net::GrpcCall& call,
                                        pb::DictContainsRequest request) {
  THAW_CO_TRY(const state::Object dict, object_for(cx, call, request.dict_id()));
  THAW_CO_TRY(const bool is_found, co_await dicts_of(cx).contains(dict, request.key()));
  pb::DictContainsResponse reply;
  reply.set_found(is_found);
  co_return reply;
}

Task<pb::DictLenResponse> len(Context& cx, net::GrpcCall& call, pb::DictLenRequest request) {
  THAW_CO_TRY(const state::Object dict, object_for(cx, call, request.dict_id()));
  THAW_CO_TRY(const std::uint64_t size, co_await dicts_of(cx).size(dict));
  pb::DictLenResponse reply;
  reply.set_len(static_cast<std::int32_t>(std::min<std::uint64_t>(size, INT32_MAX)));
  co_return reply;
}

Task<pb::DictUpdateResponse> update(Context& cx, net::GrpcCall& call,
                                    pb::DictUpdateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto dict, find_dict(cx, who, request.dict_id()));
  const auto existing = request.if_not_exists() ? Dicts::Existing::keep : Dicts::Existing::replace;
  auto added =
      co_await dicts_of(cx).update(state::object_of(*dict), entries_of(request.mutable_updates()),
                                   existing, request_key(call, who));
  if (!added) {
    co_return as_told(std::move(added).error());
  }
  pb::DictUpdateResponse reply;
  // What is not kept from it is written, whether or not there was something before.
  reply.set_created(existing == Dicts::Existing::replace || *added > 0);
  co_return reply;
}

Task<pb::DictPopResponse> pop(Context& cx, net::GrpcCall& call, pb::DictPopRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto dict, find_dict(cx, who, request.dict_id()));
  THAW_CO_TRY(auto value, co_await dicts_of(cx).pop(state::object_of(*dict), request.key(),
                                                    request_key(call, who)));
  pb::DictPopResponse reply;
  reply.set_found(value.has_value());
  if (value) {
    reply.set_value(std::move(*value));
  }
  co_return reply;
}

Task<Empty> clear(Context& cx, net::GrpcCall& call, pb::DictClearRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto dict, find_dict(cx, who, request.dict_id()));
  THAW_CO_TRY_VOID(co_await dicts_of(cx).clear(state::object_of(*dict), request_key(call, who)));
  co_return Empty();
}

// Keys always: the client reads the key of a value too.
Task<void> contents(Context& cx, net::GrpcCall& call, pb::DictContentsRequest request,
                    net::Sink<pb::DictEntry> sink) {
  THAW_CO_TRY(const state::Object dict, object_for(cx, call, request.dict_id()));
  const auto values = request.values() ? Dicts::Values::read : Dicts::Values::left_out;
  std::optional<std::string> after;
  while (true) {
    THAW_CO_TRY(std::vector<Entry> page, co_await dicts_of(cx).read(dict, after, values));
    if (page.empty()) {
      co_return ok();
    }
    after = page.back().key;
    for (Entry& entry : page) {
      pb::DictEntry item;
      item.set_key(std::move(entry.key));
      item.set_value(std::move(entry.value));
      THAW_CO_TRY_VOID(co_await sink.write(item));
    }
  }
}

}  // namespace

void add_dict_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "DictGetOrCreate", get_or_create);
  add(table, cx, "DictGetById", get_by_id);
  add(table, cx, "DictHeartbeat", heartbeat);
  add(table, cx, "DictList", list);
  add_once(table, cx, "DictDelete", erase);
  add(table, cx, "DictGet", get);
  add(table, cx, "DictContains", contains);
  add(table, cx, "DictLen", len);
  // These have their request's key in what is stored.
  add(table, cx, "DictUpdate", update);
  add(table, cx, "DictPop", pop);
  add(table, cx, "DictClear", clear);
  add_stream(table, cx, "DictContents", contents);
}

}  // namespace thaw::dialect::modal
