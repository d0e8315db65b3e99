// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/memory_keeper.h"

#include "thaw/os/own_memory.h"
#include "thaw/policy/give_back.h"

namespace thaw::main_program {

async::Task<void> keep_memory(async::Pool& pool, const net::Server& server,
                              std::vector<store::Database*> databases, std::uint64_t limit_bytes) {
  constexpr int look_every_s = 5;
  const auto requests = [&server] {
    return server.stats().grpc_calls + server.stats().http_requests;
  };
  policy::OwnMemory memory;
  memory.limit_bytes = limit_bytes;
  THAW_CO_TRY(memory.resident_after_last_bytes, os::own_resident_bytes());
  Instant given_at = monotonic_now();
  std::uint64_t seen = requests();
  while (true) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(std::chrono::seconds(look_every_s)));
    const auto resident = os::own_resident_bytes();
    if (!resident) {
      continue;
    }
    memory.resident_bytes = *resident;
    memory.requests_per_s = (requests() - seen) / look_every_s;
    seen = requests();
    memory.since_last = monotonic_now() - given_at;
    if (!policy::gives_memory_back(memory)) {
      continue;
    }
    for (store::Database* database : databases) {
      const auto released = co_await database->release_memory();
      if (!released && released.error().code() == Code::cancelled) {
        co_return released.error();
      }
    }
    const auto work = [] {
      os::give_memory_back();
      return os::own_resident_bytes();
    };
    const auto left = co_await async::blocking(pool, work);
    if (!left && left.error().code() == Code::cancelled) {
      co_return left.error();
    }
    memory.resident_after_last_bytes = left.value_or(memory.resident_bytes);
    given_at = monotonic_now();
  }
}

}  // namespace thaw::main_program
