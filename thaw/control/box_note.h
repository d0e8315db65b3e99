// SPDX-License-Identifier: Apache-2.0
//
// What one server leaves the next to know of a box and of each process in it: what the catalog does
// not say, since values of secrets are in it. It is in the memory of the process that keeps the box
// and of the box's PID 1, never on a disk. JSON; what is read of it is trusted no more than a file.
#pragma once

#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/control/box_process.h"

namespace thaw::control {

struct ProcessNote {
  std::string id;  // its starter's; empty: the box's own program
  BoxProcess::Keeps keeps;
  Instant kill_at = Instant::max();
  std::uint64_t journal = 0;  // its number among those of the box

  static ProcessNote of_program() {
    return {"", {KeptOutput::Loses::oldest, KeptOutput::Loses::oldest}};
  }
};
std::string write_note(const ProcessNote& note);
Result<ProcessNote> read_process_note(const std::string& text);

struct Box;
std::string write_note(const Box& box);
// Into what the record does not say.
Result<void> read_note(const std::string& text, Box& box);

}  // namespace thaw::control
