// SPDX-License-Identifier: Apache-2.0
//
// WorkOrder: what an input's payload tells a simulated program to do with it.
#pragma once

#include <string>

#include "thaw/base/time.h"

namespace thaw::sim {

enum class Deed {
  succeeds,
  fails,         // the user's code raises, each time
  fails_once,    // only at the first attempt
  crashes,       // ends the program
  crashes_once,  // only at the first attempt
  eats_memory,   // and is killed for it
  hangs,         // past every time limit
  speaks         // pieces before its result
};

struct WorkOrder {
  Deed deed = Deed::succeeds;
  Duration time{};
  int key = 0;

  std::string payload() const {
    return std::to_string(static_cast<int>(deed)) + " " + std::to_string(time.count()) + " " +
           std::to_string(key) + padding();
  }
  static WorkOrder of(const std::string& payload) {
    std::size_t at = 0;
    std::size_t used = 0;
    WorkOrder order;
    order.deed = static_cast<Deed>(std::stoi(payload, &used));
    at = used;
    order.time = Duration(std::stoll(payload.substr(at), &used));
    at += used;
    order.key = std::stoi(payload.substr(at));
    return order;
  }
  std::string result() const { return "result of " + std::to_string(key) + padding(); }
  // Some are so large that they are blobs.
  std::string padding() const { return std::string(key % 3 == 0 ? 60 : 0, ' '); }
};

}  // namespace thaw::sim
