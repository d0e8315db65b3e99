// SPDX-License-Identifier: Apache-2.0
//
// The queue's limits for a process that may have so much memory: payloads get a part of it. Pure.
#pragma once

#include <cstdint>

#include "thaw/queue/call_queue.h"

namespace thaw::queue {

// None of them becomes larger.
QueueLimits within(QueueLimits limits, std::uint64_t memory_bytes);

}  // namespace thaw::queue
