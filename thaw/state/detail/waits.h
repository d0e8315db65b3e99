// SPDX-License-Identifier: Apache-2.0
//
// Who waits at which partition. A put wakes as many as it has items, in order of arrival; one that
// is woken and finds nothing goes back to its place in the order, and one that is woken and leaves
// hands it on. A put is counted, so that none is missed between a look at the disk and the sleep
// that follows. A line goes with the last one who is there. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "thaw/async/event.h"
#include "thaw/model/ids.h"
#include "thaw/state/limits.h"

namespace thaw::state::detail {

struct Sleeper {
  async::Event woken;
  bool is_woken = false;
};

struct Line {
  std::uint64_t puts = 0;
  bool has_ended = false;                                      // its queue is gone
  std::map<std::uint64_t, std::shared_ptr<Sleeper>> sleepers;  // by arrival
  async::Event news;                                           // for those who only look

  void wake_next();
  void noticed_put(std::size_t items);
};

using Place = std::pair<std::string, std::string>;  // queue, partition

class Waits {
 public:
  using Shared = std::shared_ptr<Waits>;

  std::uint64_t next_arrival() { return ++arrivals_; }
  std::size_t count() const { return count_; }
  // null: nobody is there.
  std::shared_ptr<Line> line(const Place& place) const;
  void end(const std::string& queue);
  // resource_exhausted: the asker, or its workspace, has as many as it may.
  Result<void> admit(const StateLimits& limits, const model::WorkspaceId& workspace,
                     const std::string& asker) const;

  // Somebody at a line.
  class Visit {
   public:
    Visit(Shared waits, Place place);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    Line* operator->() const { return line_.get(); }

   private:
    Shared waits_;
    Place place_;
    std::shared_ptr<Line> line_;
  };

  // One wait, counted as long as it lives.
  class Counted {
   public:
    Counted(Shared waits, const model::WorkspaceId& workspace, const std::string& asker);
    ~Counted();
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    Shared waits_;
    std::string workspace_;
    std::string asker_;
  };

 private:
  std::size_t count_of(const std::string& name) const;
  void give_back(const std::string& name);

  std::map<Place, std::weak_ptr<Line>> lines_;
  std::map<std::string, std::size_t> by_name_;  // of a workspace, and of an asker in it
  std::size_t count_ = 0;
  std::uint64_t arrivals_ = 0;
};

}  // namespace thaw::state::detail
