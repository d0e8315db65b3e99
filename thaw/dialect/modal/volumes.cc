// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/volumes.h"

#include <algorithm>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/named_state.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using model::Volume;

namespace {

Task<void> remove_volume(Context& cx, model::VolumeId id) {
  if (!cx.volumes_in_removal.insert(id).second) {
    co_return ok();
  }
  Result<void> outcome = co_await cx.parts.volumes.erase(id);
  if (outcome) {
    outcome = co_await cx.parts.catalog.volumes.erase(id.str());
  }
  cx.volumes_in_removal.erase(id);
  co_return outcome;
}

pb::VolumeGetOrCreateResponse answer_for(const Volume& volume) {
  pb::VolumeGetOrCreateResponse reply;
  reply.set_volume_id(volume.id.str());
  *reply.mutable_metadata() = volume_metadata(volume);
  reply.set_version(reply.metadata().version());
  return reply;
}

Task<pb::VolumeGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                  pb::VolumeGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const int format = request.version() == pb::VOLUME_FS_VERSION_V1 ? 1 : 2;
  THAW_CO_TRY(
      const auto volume,
      co_await volume_for(cx, who, volume_kind, request.environment_name(),
                          request.deployment_name(), request.object_creation_type(), format));
  co_return answer_for(*volume);
}

Task<pb::VolumeGetByIdResponse> get_by_id(Context& cx, net::GrpcCall& call,
                                          pb::VolumeGetByIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  pb::VolumeGetByIdResponse reply;
  reply.set_volume_id(volume->id.str());
  *reply.mutable_metadata() = volume_metadata(*volume);
  co_return reply;
}

Task<Empty> heartbeat(Context& cx, net::GrpcCall& call, pb::VolumeHeartbeatRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  beat(cx, *volume);
  co_return Empty();
}

Task<pb::VolumeListResponse> list(Context& cx, net::GrpcCall& call, pb::VolumeListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  const auto volumes =
      page_of(volumes_of(cx, who, *environment, volume_kind), request.pagination());
  pb::VolumeListResponse reply;
  reply.set_environment_name(environment->name);
  for (const auto& volume : volumes) {
    auto* item = reply.add_items();
    item->set_label(volume->name);
    item->set_volume_id(volume->id.str());
    item->set_created_at(unix_seconds(volume->created_at));
    *item->mutable_metadata() = volume_metadata(*volume);
  }
  co_return reply;
}

Task<Empty> erase(Context& cx, net::GrpcCall& call, pb::VolumeDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY_VOID(co_await end_volume(cx, volume->id));
  co_return Empty();
}

Task<Empty> rename(Context& cx, net::GrpcCall& call, pb::VolumeRenameRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto known, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY_VOID(check_object_name(request.name(), "a volume"));
  if (known->life != Volume::Life::named) {
    co_return Error::failed_precondition("an ephemeral volume takes no name");
  }
  const auto other = scope_of(cx, who).named_volume(known->environment, request.name());
  if (other && other->id != known->id) {
    co_return Error::already_exists("volume '" + request.name() + "' exists already");
  }
  Volume volume = *known;
  volume.name = request.name();
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.volumes.put(std::move(volume)));
  co_return Empty();
}

// Where the calling container has the volume; failed_precondition if it has it nowhere.
Result<model::VolumeMount> mount_of(Context& cx, const gateway::Identity& who,
                                    const model::VolumeId& id) {
  if (who.kind == gateway::Identity::Kind::container) {
    THAW_TRY(const auto spec, cx.fleet->spec_of(who.container));
    for (const model::VolumeMount& mount : spec->volumes) {
      if (mount.volume == id) {
        return mount;
      }
    }
  }
  return Error::failed_precondition("volume " + id.str() +
                                    " is not mounted here: commit and reload are for the inside "
                                    "of a function that mounts it");
}

Task<pb::VolumeCommitResponse> commit(Context& cx, net::GrpcCall& call,
                                      pb::VolumeCommitRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const model::VolumeMount mount, mount_of(cx, who, volume->id));
  if (mount.access == model::VolumeMount::Access::read_write) {
    THAW_CO_TRY_VOID(co_await cx.parts.volumes.flush());
  }
  pb::VolumeCommitResponse reply;
  // Others' changes are here already.
  reply.set_skip_reload(true);
  co_return reply;
}

Task<Empty> reload(Context& cx, net::GrpcCall& call, pb::VolumeReloadRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const model::VolumeMount mount, mount_of(cx, who, volume->id));
  // Nothing needs to be loaded. The refusal is what programs written for that cloud know, and tells
  // them early of what would fail there.
  std::vector<std::string> folders{mount.path, std::string(volume_folder) + volume->id.str()};
  THAW_CO_TRY(const std::string open_file,
              co_await cx.fleet->find_open_file(who.container, std::move(folders)));
  if (!open_file.empty()) {
    co_return Error::failed_precondition("there are open files preventing the operation: " +
                                         codec::valid_utf8(open_file));
  }
  co_return Empty();
}

}  // namespace

bool is_network_file_system(std::string_view id) {
  return id.starts_with(std::string(network_file_system_kind.id_prefix) + "-");
}

std::string given_name(const Volume& volume) {
  const std::string_view before =
      is_network_file_system(volume.id.str()) ? network_file_system_kind.stored_name : "";
  return volume.name.starts_with(before) ? volume.name.substr(before.size()) : volume.name;
}

Task<std::shared_ptr<const Volume>> volume_for(Context& cx, gateway::Identity who, VolumeKind kind,
                                               std::string environment_name, std::string name,
                                               pb::ObjectCreationType type, int format) {
  THAW_CO_TRY(const auto environment, find_environment(cx, who, environment_name));
  const bool is_ephemeral = type == pb::OBJECT_CREATION_TYPE_EPHEMERAL;
  const bool is_new = type == pb::OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS;
  const std::string stored = is_ephemeral ? "" : kind.stored_name + name;
  const std::string what = std::string(kind.what).substr(kind.what[1] == ' ' ? 2 : 0);
  const auto taken = [&what, &name] {
    return Error::already_exists(what + " '" + name + "' exists already");
  };
  if (!is_ephemeral) {
    THAW_CO_TRY_VOID(check_object_name(name, kind.what));
    if (auto known = scope_of(cx, who).named_volume(environment->id, stored)) {
      co_return is_new ? Result<std::shared_ptr<const Volume>>(taken()) : std::move(known);
    }
    if (type == pb::OBJECT_CREATION_TYPE_UNSPECIFIED) {
      const bool is_volume = what == "volume";
      co_return Error::not_found(std::string(is_volume ? "Volume" : "Network file system") + " '" +
                                 name + "' not found in environment '" + environment->name +
                                 "'; `modal " + (is_volume ? "volume" : "nfs") +
                                 " create` makes it");
    }
  }
  if (type != pb::OBJECT_CREATION_TYPE_CREATE_IF_MISSING && !is_ephemeral && !is_new) {
    co_return Error::invalid_argument(std::string(kind.what) + " is not made in this way");
  }
  Volume volume;
  volume.id = model::VolumeId(codec::random_id(kind.id_prefix));
  volume.workspace = who.workspace;
  volume.environment = environment->id;
  volume.name = stored;
  volume.life = is_ephemeral ? Volume::Life::ephemeral : Volume::Life::named;
  volume.format = format;
  volume.created_at = wall_now();
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.create(volume.id));
  // Another request may have made it while the folder was made.
  auto known =
      is_ephemeral ? nullptr : scope_of(cx, who).named_volume(environment->id, volume.name);
  if (known) {
    THAW_CO_TRY_VOID(co_await cx.parts.volumes.erase(volume.id));
    co_return is_new ? Result<std::shared_ptr<const Volume>>(taken()) : std::move(known);
  }
  if (!scope_of(cx, who).is_open(environment->id)) {
    THAW_CO_TRY_VOID(co_await cx.parts.volumes.erase(volume.id));
    co_return Error::not_found("environment '" + environment->name + "' was deleted meanwhile");
  }
  beat(cx, volume);
  auto made = std::make_shared<const Volume>(volume);
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.volumes.put(std::move(volume)));
  co_return std::move(made);
}

Task<void> end_volume(Context& cx, model::VolumeId id) {
  const auto known =
      cx.parts.catalog.volumes.find(id.str());  // all workspaces: found by its caller
  if (!known || known->life == Volume::Life::doomed) {
    cx.volume_heartbeats.erase(id);
    co_return ok();
  }
  Volume volume = *known;
  volume.life = Volume::Life::doomed;
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.volumes.put(std::move(volume)));
  cx.volume_heartbeats.erase(id);
  cx.tasks.start("remove volume", remove_volume(cx, std::move(id)));
  co_return ok();
}

void beat(Context& cx, const Volume& volume) {
  if (volume.life == Volume::Life::ephemeral) {
    cx.volume_heartbeats[volume.id] = monotonic_now();
  }
}

Result<std::shared_ptr<const Volume>> find_any_volume(Context& cx, const gateway::Identity& who,
                                                      const std::string& id) {
  auto volume = scope_of(cx, who).volume(id);
  if (!volume && who.kind == gateway::Identity::Kind::container) {
    // What its function mounts is a container's to use, whichever environment it is of.
    THAW_TRY(const auto spec, cx.fleet->spec_of(who.container));
    const bool is_mounted =
        std::any_of(spec->volumes.begin(), spec->volumes.end(),
                    [&](const model::VolumeMount& mount) { return mount.volume.str() == id; });
    volume = is_mounted ? scope_of(cx, *spec).volume(id) : nullptr;
  }
  if (!volume || volume->life == Volume::Life::doomed) {
    return Error::not_found("volume '" + id.substr(0, 80) + "' does not exist");
  }
  return volume;
}

Result<std::shared_ptr<const Volume>> find_volume(Context& cx, const gateway::Identity& who,
                                                  const std::string& id) {
  if (is_network_file_system(id)) {
    return Error::not_found("'" + id.substr(0, 80) + "' is no volume");
  }
  return find_any_volume(cx, who, id);
}

Result<std::shared_ptr<const Volume>> find_network_file_system(Context& cx,
                                                               const gateway::Identity& who,
                                                               const std::string& id) {
  if (!is_network_file_system(id)) {
    return Error::not_found("'" + id.substr(0, 80) + "' is no network file system");
  }
  return find_any_volume(cx, who, id);
}

std::vector<std::shared_ptr<const Volume>> volumes_of(Context& cx, const gateway::Identity& who,
                                                      const model::Environment& environment,
                                                      const VolumeKind& kind) {
  std::vector<std::shared_ptr<const Volume>> found;
  const bool wanted = is_network_file_system(std::string(kind.id_prefix) + "-");
  for (const auto& volume : scope_of(cx, who).volumes_in(environment.id)) {
    if (volume->life == Volume::Life::named && is_network_file_system(volume->id.str()) == wanted) {
      found.push_back(volume);
    }
  }
  return found;
}

pb::VolumeMetadata volume_metadata(const Volume& volume) {
  pb::VolumeMetadata out;
  out.set_name(volume.name);
  out.set_version(volume.format == 1 ? pb::VOLUME_FS_VERSION_V1 : pb::VOLUME_FS_VERSION_V2);
  out.mutable_creation_info()->set_created_at(unix_seconds(volume.created_at));
  return out;
}

namespace {

// Volumes whose client is gone end, and removals that failed are tried again.
Task<void> look_after_volumes(Context& cx) {
  std::vector<model::VolumeId> abandoned;
  for (const auto& [id, beat] : cx.volume_heartbeats) {
    if (beat + cx.options.ephemeral_volume_limit < monotonic_now()) {
      abandoned.push_back(id);
    }
  }
  std::vector<model::VolumeId> doomed;
  // all workspaces: what is to be removed anywhere
  for (const auto& [id, volume] : cx.parts.catalog.volumes.all()) {
    if (volume->life == Volume::Life::doomed && !cx.volumes_in_removal.contains(volume->id)) {
      doomed.push_back(volume->id);
    }
  }
  Result<void> outcome;
  const auto note = [&outcome](Result<void> one) {
    if (!one && outcome) {
      outcome = std::move(one);
    }
  };
  for (const model::VolumeId& id : abandoned) {
    log_info("ephemeral volume ended", {{"volume", id.str()}});
    note(co_await end_volume(cx, id));
  }
  for (const model::VolumeId& id : doomed) {
    note(co_await remove_volume(cx, id));
  }
  co_return outcome;
}

}  // namespace

async::Task<void> volume_loop(Context& cx) {
  // all workspaces: what has ended anywhere
  for (const auto& [id, volume] : cx.parts.catalog.volumes.all()) {
    if (volume->life == Volume::Life::ephemeral) {
      cx.volume_heartbeats[volume->id] = monotonic_now();
    }
  }
  return async::every(std::min<Duration>(cx.options.ephemeral_volume_limit, 5s), "volumes",
                      [&cx] { return look_after_volumes(cx); });
}

void add_volume_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "VolumeGetOrCreate", get_or_create);
  add(table, cx, "VolumeGetById", get_by_id);
  add(table, cx, "VolumeHeartbeat", heartbeat);
  add(table, cx, "VolumeList", list);
  add(table, cx, "VolumeDelete", erase);
  add(table, cx, "VolumeRename", rename);
  add(table, cx, "VolumeCommit", commit);
  add(table, cx, "VolumeReload", reload);
}

}  // namespace thaw::dialect::modal
