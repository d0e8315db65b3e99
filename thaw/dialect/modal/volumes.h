// SPDX-License-Identifier: Apache-2.0
//
// Volumes as the Modal client sees them: by name in an environment, or without a name for as long
// as a client says that it needs them. Files are in volume_files.cc and volume_blocks.h; where they
// are kept is worker/volumes.h.
#pragma once

#include <memory>
#include <string>

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/storage.pb.h"

namespace thaw::dialect::modal {

// A container has each of its volumes here too, by id: the client looks for open files there.
inline constexpr std::string_view volume_folder = "/__modal/volumes/";

// Network file systems are volumes without commits. They have names and ids of their own: these
// are what a volume has, under another prefix, and a name with a beginning that no volume's has.
struct VolumeKind {
  const char* id_prefix;
  const char* what;         // "a volume"
  const char* stored_name;  // before the name that its users give it
};
inline constexpr VolumeKind volume_kind{"vo", "a volume", ""};
inline constexpr VolumeKind network_file_system_kind{"sv", "a network file system", "nfs "};
bool is_network_file_system(std::string_view id);
// The name as it was given.
std::string given_name(const model::Volume& volume);

// Finds or makes one, as `type` says; `name` is for those that are not ephemeral.
async::Task<std::shared_ptr<const model::Volume>> volume_for(
    Context& cx, gateway::Identity who, VolumeKind kind, std::string environment, std::string name,
    ::modal::client::ObjectCreationType type, int format);
// Nobody finds it from here on; its files go behind the answer.
async::Task<void> end_volume(Context& cx, model::VolumeId id);
// Keeps an ephemeral one for another while.
void beat(Context& cx, const model::Volume& volume);

// Of the caller's workspace, not deleted, and no network file system.
Result<std::shared_ptr<const model::Volume>> find_volume(Context& cx, const gateway::Identity& who,
                                                         const std::string& id);
Result<std::shared_ptr<const model::Volume>> find_network_file_system(Context& cx,
                                                                      const gateway::Identity& who,
                                                                      const std::string& id);
// Of both kinds: what a function mounts.
Result<std::shared_ptr<const model::Volume>> find_any_volume(Context& cx,
                                                             const gateway::Identity& who,
                                                             const std::string& id);
// Those of a kind that have a name, in no order.
std::vector<std::shared_ptr<const model::Volume>> volumes_of(Context& cx,
                                                             const gateway::Identity& who,
                                                             const model::Environment& environment,
                                                             const VolumeKind& kind);
::modal::client::VolumeMetadata volume_metadata(const model::Volume& volume);

// Ends ephemeral volumes whose client is gone and goes on with deletions, also those of before a
// restart.
async::Task<void> volume_loop(Context& cx);

}  // namespace thaw::dialect::modal
