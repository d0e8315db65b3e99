// SPDX-License-Identifier: Apache-2.0
//
// A spawner whose server has died is a keeper: it ends all but what it was told to keep, and waits
// for the next server of the same data folder at a socket below /run/thaw/keepers, which only root
// reaches. Who comes shows a secret of the folder's, speaks this version and wants the same
// options; one that wants others gets a spawner of its own, and what was kept ends.
#pragma once

#include <optional>
#include <string>

#include "thaw/base/time.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/spawner_launch.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

// Of all that a server says to its spawner and to PID 1 (wire.h): a change there is a new one.
inline constexpr std::uint64_t keeper_version = 1;

// What a server says of a sandbox that is to be kept, for the next server.
struct KeptFacts {
  std::string workspace;
  Instant until{};
  Instant started{};
};
std::string encode(const KeptFacts& facts);
Result<KeptFacts> decode_facts(std::string_view bytes);

// Of the folder of sandboxes, made if it has none; empty, if it is not to have one.
Result<std::string> keeper_key(const std::string& folder, SpawnerOptions::Keeping keeping);
// No server will come for what is kept: the folder was removed or moved, or is another one.
bool has_lost_folder(const std::string& folder, const std::string& key);
bool is_same_key(std::string_view a, std::string_view b);
bool is_same_wish(const SpawnerOptions& kept, const SpawnerOptions& wanted);

Result<os::Fd> listen_as_keeper(const std::string& instance);
void stop_listening(const std::string& instance);

struct TakenOver {
  LaunchedSpawner process;
  os::Fd lock;
  os::Fd membership;
};
// Nothing: nobody keeps anything, or what was kept ends now, which is in the log.
// failed_precondition: what is kept is not this folder's.
Result<std::optional<TakenOver>> take_over(const SpawnerOptions& options, const std::string& key);

}  // namespace thaw::sandbox::detail
