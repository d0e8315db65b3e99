// SPDX-License-Identifier: Apache-2.0
//
// Between the client's Function message and Thaw's own FunctionSpec. The stored definition is the
// client's bytes; what the platform must act on is read out once, at creation.
#pragma once

#include <string>

#include "thaw/catalog/records.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/calls.pb.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// FunctionSpec::dialect of what is published here.
inline constexpr const char* dialect_name = "modal";

// Reads policy and references out of `definition`; invalid_argument names what cannot be.
Result<model::FunctionSpec> spec_from(const pb::Function& definition);
// Where something is mounted in a container: absolute, and none of the system's own folders.
Result<std::string> folder_for_mount(const std::string& given);
// invalid_argument for a path that none can be mounted at.
Result<model::VolumeMount> volume_mount_from(const pb::VolumeMount& mount);
// Its memory snapshots are to hold the GPU's memory too.
bool wants_gpu_snapshot(const pb::Function& definition);
// A function that is to run by itself: cron or period.
bool has_schedule(const pb::Schedule& schedule);
// `schedule` is one; what it says is not checked.
model::Schedule schedule_from(const pb::Schedule& schedule);
// What the client of an app that is only run is told instead.
std::string schedule_warning(const std::string& function);
// Lays a variant's options over the base's definition.
pb::Function with_options(pb::Function definition, const pb::FunctionOptions& options);

// Where an app is, as far as its labels tell: empty for the default workspace and environment.
struct LabelPlace {
  std::string workspace;
  std::string environment;
};
// The label under which a function or method is on the web; empty if it is not. An app that is
// deployed in two environments has two, and no label of one workspace can be another's.
// invalid_argument says what a user's own label may not be.
Result<std::string> web_label(const std::string& app_name, const std::string& function_name,
                              const pb::WebhookConfig& config, bool ephemeral,
                              const LabelPlace& place);
// The class's parameters that a web request's query names, serialised as the client would; nullopt
// if it names none. invalid_argument names one that is missing or no value of its type.
Result<std::optional<std::string>> parameters_in_query(const pb::Function& definition,
                                                       std::string_view query);
std::string web_url(const WebAddresses& addresses, const model::FunctionSpec& spec,
                    const std::string& label);

// What clients learn of a function: from its stored definition, with URLs for this asker.
pb::FunctionHandleMetadata handle_metadata(const model::FunctionSpec& spec,
                                           const WebAddresses& addresses);
Result<pb::Function> parse_definition(const model::FunctionSpec& spec);

}  // namespace thaw::dialect::modal
