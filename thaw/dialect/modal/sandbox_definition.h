// SPDX-License-Identifier: Apache-2.0
//
// Between the client's Sandbox message and Thaw's own box: what is asked for, checked, and how a
// box that has ended is told.
#pragma once

#include <map>
#include <string>

#include "thaw/control/boxes.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/sandboxes.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// Of the variables that a request has in itself.
inline constexpr std::size_t most_env_bytes = 1u << 20;

// What is asked for, but for ids and owners. invalid_argument and unimplemented name what cannot
// be.
Result<control::BoxSpec> box_from(const pb::Sandbox& definition);
// Everything that it refers to is the asker's.
Result<void> check_references(Context& cx, const gateway::Identity& who,
                              const control::BoxSpec& spec);

using Tags = std::map<std::string, std::string>;
Result<Tags> tags_from(const google::protobuf::RepeatedPtrField<pb::SandboxTag>& tags);
void add_tags(const Tags& tags, google::protobuf::RepeatedPtrField<pb::SandboxTag>& out);

// Of inline and stored secrets, in their order; not_found names one that is not the asker's.
Result<std::vector<control::EnvSource>> environment_from(
    const catalog::Scope& scope,
    const google::protobuf::RepeatedPtrField<pb::SecretSource>& sources);
// The same of stored ones alone.
Result<std::vector<control::EnvSource>> environment_from(
    const catalog::Scope& scope, const google::protobuf::RepeatedPtrField<std::string>& secrets);
// A variable; invalid_argument names what cannot be one.
Result<std::string> variable_from(const std::string& name, const std::string& value);
// invalid_argument: there is no program, or too much of it.
Result<std::vector<std::string>> command_from(
    const google::protobuf::RepeatedPtrField<std::string>& words);
// None: no terminal is asked for. Otherwise `env` gets what programs look for.
std::optional<sandbox::TerminalSize> terminal_from(const pb::PTYInfo& info,
                                                   std::vector<control::EnvSource>& env);

// Of one that has ended; else nothing is set.
void tell_result(const model::Box& box, pb::GenericResult& result);
pb::SandboxHandleMetadata handle_metadata(const model::Box& box);

// A box of the caller's scope: as it was when it was found and, if it lives or ended lately, as
// itself.
struct FoundBox {
  model::Box record;
  control::BoxPtr box;  // may be nullptr

  const model::Box& now() const { return box ? box->record : record; }
};
Result<FoundBox> find_box(Context& cx, const gateway::Identity& who, const std::string& id);
// By its container; nullptr: there is none in the caller's scope.
control::BoxPtr box_of_container(Context& cx, const gateway::Identity& who,
                                 const std::string& container);

}  // namespace thaw::dialect::modal
