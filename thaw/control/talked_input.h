// SPDX-License-Identifier: Apache-2.0
//
// TalkedInput: one input that is worked on in a conversation (talk.h). What the server says on its
// way goes to the call's log as it comes: whatever has gathered while the entry before it was
// written is one entry, so that neither a slow disk nor many small pieces hold the server up. Who
// cancels it has the server asked to leave it, and what it has said stays; a server that does not
// leave it in time is of no more use. Owned by Driver; loop thread only.
#pragma once

#include <memory>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/control/container.h"
#include "thaw/control/talk.h"
#include "thaw/worker/server_port.h"

namespace thaw::control {

class TalkedInput {
 public:
  // All outlive it.
  TalkedInput(async::Loop& loop, queue::CallQueue& queue, Container& container,
              queue::LeasedInput input, std::unique_ptr<Conversation> conversation);

  // The exchange from its beginning to its end.
  async::Task<Reply> run();
  // For use beside run(), whose task it ends if the server does not leave it: resumes when that has
  // ended, or is to be ended by force (false).
  async::Task<bool> leave();
  bool is_left() const { return is_left_; }

 private:
  class Bodies;
  async::Task<Reply> ask();
  static async::Task<void> tell(TalkedInput& self);

  async::Loop& loop_;
  queue::CallQueue& queue_;
  Container& container_;
  queue::LeasedInput input_;
  std::unique_ptr<Conversation> conversation_;
  std::string untold_;
  bool is_ended_ = false;  // nothing more comes to be told
  bool is_over_ = false;
  bool is_left_ = false;
  async::Event changed_;
};

}  // namespace thaw::control
