// SPDX-License-Identifier: Apache-2.0
//
// Judge: hears what happens in a simulated world and says what must never be. It knows nothing of
// how the server works: only what was promised to those outside.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/call.h"

namespace thaw::sim {

class Judge {
 public:
  // --- a container runs an input; after `until` its time is over, and another may have it ---
  void begins(const std::string& input, int attempt, const std::string& container, Instant until);
  // It has been told to leave it, or is done: another may have it from now on.
  void lets_go(const std::string& input, const std::string& container);
  void dies(const std::string& container);
  // What the call of an input allows: `deliveries` beginnings, none of them after `begin_by`.
  void allows(const std::string& input, int deliveries, Instant begin_by) {
    allowed_[input] = {deliveries, begin_by};
  }
  // A disk that is full stops nobody: what attempts it has not recorded a restart does not know.
  void disk_is_full() { may_repeat_attempts_ = true; }

  // --- a client reads the log of a call ---
  void reads(const std::string& call, const model::LogEntry& entry);

  // --- containers exist ---
  void starts(const std::string& container, std::size_t most);
  void is_gone(const std::string& container);

  // --- memory snapshots: who may start from which, and how it goes ---
  // Written of a container of this function and version; `id` is the file's, as the simulation has
  // it. More than `most` of an owner, of which no start was ever good, are a fault.
  void is_written(const std::string& id, const std::string& owner, int most);
  // Somebody is to be started from it. Three failures in a row are enough, and so is one end before
  // its program was ready: a start that is ordered later than that is a fault. So is a start from a
  // server's of which no trial was ever ready, unless it is that trial.
  enum class Chosen { for_trial, for_others };
  void is_chosen(const std::string& id, const std::string& container, Chosen chosen);
  void trial_is_ready(const std::string& id) { tried_.insert(id); }
  // A start from it begins. An owner that is not the writer's is a fault.
  void is_restored(const std::string& id, const std::string& owner, const std::string& container);
  // It failed at this moment, for a reason of its own: nobody was told to end or was killed, and
  // the machine had what it takes.
  enum class Failure { some, before_ready };
  void restore_fails(const std::string& id, Instant when, Failure failure);
  // A container has answered at its port; what it was restored from, if it was, is good.
  void answers(const std::string& container);
  bool has_answered(const std::string& container) const;
  void restore_is_good(const std::string& id);
  // It counts anew from here on.
  void server_starts() {
    failures_.clear();
    writings_.clear();
  }
  void functions_stop() { writings_.clear(); }

  void hear(const std::string& what);
  void blame(std::string what);
  const std::vector<std::string>& faults() const { return faults_; }
  // Of all that was heard, in order: equal for two runs that were equal.
  std::uint64_t digest() const { return digest_; }
  std::uint64_t heard() const { return heard_; }

 private:
  struct Run {
    std::string container;
    Instant until{};
  };
  std::map<std::string, Run> running_;                                // by input
  std::map<std::string, std::set<int>> attempts_;                     // by input
  std::map<std::string, int> beginnings_;                             // by input
  std::map<std::string, std::pair<int, Instant>> allowed_;            // by input
  std::map<std::string, std::map<std::uint64_t, std::string>> logs_;  // by call and number
  std::map<std::string, std::set<int>> finals_;                       // by call: indices
  std::set<std::string> containers_;
  std::map<std::string, std::string> written_;  // owner, by snapshot
  struct Failures {
    std::vector<Instant> in_a_row;
    Instant no_good = Instant::max();  // since then
    Instant last_good{};
  };
  std::map<std::string, Failures> failures_;     // by snapshot
  std::set<std::string> tried_;                  // snapshots
  std::map<std::string, std::string> restored_;  // containers: from what
  std::set<std::string> answered_;               // of these
  std::map<std::string, int> writings_;          // in vain, by owner
  bool may_repeat_attempts_ = false;
  std::vector<std::string> faults_;
  std::uint64_t digest_ = 14695981039346656037ull;
  std::uint64_t heard_ = 0;
};

}  // namespace thaw::sim
