// SPDX-License-Identifier: Apache-2.0
//
// Readers: who follows the items of each running generator. Its client asks for items and for the
// result at the same time, and asks again as soon as an answer ends, also while the user's code
// pauses between items. A client that breaks both off, or asks for neither, has left: what it does
// not read, nobody does, and the call is cancelled. Loop thread only.
#pragma once

#include <unordered_map>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/ids.h"

namespace thaw::dialect::modal {

class Readers {
 public:
  // A call whose reader is to come.
  void expect(const model::CallId& call);
  void forget(const model::CallId& call) { calls_.erase(call); }
  // Calls that nobody has followed for long enough; each is named twice, with a pause.
  std::vector<model::CallId> take_left();

  // One request of a reader, from its arrival to its end. Does nothing for calls that are not
  // expected to be followed.
  class Visit {
   public:
    Visit(Readers& readers, const model::CallId& call);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    // It was answered to its end: the next request follows. (Else its client broke it off.)
    void will_come_again() { is_answered_ = true; }

   private:
    Readers& readers_;
    model::CallId call_;
    bool is_answered_ = false;
  };

 private:
  struct Call {
    int visits = 0;
    Instant patience{};  // until then somebody may come again
  };
  std::unordered_map<model::CallId, Call> calls_;
};

}  // namespace thaw::dialect::modal
