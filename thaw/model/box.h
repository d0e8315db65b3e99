// SPDX-License-Identifier: Apache-2.0
//
// What is known of a box: a container that runs no function, which a client made and holds. What it
// was to be started with is in memory only (control/boxes.h). Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::model {

enum class BoxEnd : int {
  none = 0,           // it runs, or is being started
  exited = 1,         // its program has ended by itself
  terminated = 2,     // somebody ended it, or its app
  timed_out = 3,      // its time limit
  idle = 4,           // nothing had used it for its idle time
  out_of_memory = 5,  // its program was killed for memory
  start_failed = 6,
  server_gone = 7,  // the server ended, and the container with it
};

// A port of a box that is reached from outside, by whom `Box::reached_from` lets in.
struct BoxPort {
  std::uint16_t port = 0;
  enum class Speaks : int { anything = 0, http1 = 1, http2 = 2 } speaks = Speaks::anything;
};

struct Box {
  BoxId id;
  ContainerId container;
  WorkspaceId workspace;
  EnvironmentId environment;
  AppId app;
  std::string name;  // of no other box of the app that lives; empty: none
  std::map<std::string, std::string> tags;
  ImageId image;
  WallTime created_at{};
  WallTime started_at{};  // its program; zero: it never ran
  WallTime ended_at{};
  Duration time_limit{};
  Duration idle_limit{};  // 0: none
  // While it has not ended:
  std::vector<BoxPort> ports;
  std::vector<std::string> reached_from;  // networks; empty: from everywhere
  BoxEnd end = BoxEnd::none;
  int exit_code = 0;  // of its program; 128 + signal
  std::string why;    // of an end that is no program's own, for people; UTF-8, bounded as below

  static constexpr std::size_t longest_why = 1'000;

  bool has_ended() const { return end != BoxEnd::none; }
};

}  // namespace thaw::model
