// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/judge.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace thaw::sim {

// FNV-1a, over the moment and the words.
void Judge::hear(const std::string& what) {
  static const bool aloud = std::getenv("SIM_TRACE") != nullptr;
  const auto now = monotonic_now().time_since_epoch().count();
  if (aloud) {
    std::fprintf(stderr, "%14.6f %s\n", static_cast<double>(now) / 1e9, what.c_str());
  }
  ++heard_;
  for (const char c : std::to_string(now) + what) {
    digest_ = (digest_ ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  }
}

void Judge::blame(std::string what) {
  hear("FAULT " + what);
  if (faults_.size() < 20) {
    faults_.push_back(std::move(what));
  }
}

void Judge::begins(const std::string& input, int attempt, const std::string& container,
                   Instant until) {
  hear(container + " begins " + input + " attempt " + std::to_string(attempt));
  const auto [run, is_new] = running_.try_emplace(input, Run{container, until});
  if (!is_new) {
    if (monotonic_now() < run->second.until) {
      blame("input " + input + " is leased to " + container + " while " + run->second.container +
            " has it");
    }
    run->second = {container, until};
  }
  const int beginnings = ++beginnings_[input];
  if (const auto allowed = allowed_.find(input); allowed != allowed_.end()) {
    if (beginnings > allowed->second.first) {
      blame("input " + input + " begins for the time number " + std::to_string(beginnings) +
            " and may " + std::to_string(allowed->second.first));
    }
    if (monotonic_now() > allowed->second.second) {
      blame("input " + input + " begins though its call has expired");
    }
  }
  if (!attempts_[input].insert(attempt).second && !may_repeat_attempts_) {
    blame("attempt " + std::to_string(attempt) + " of input " + input + " was made twice");
  }
}

void Judge::lets_go(const std::string& input, const std::string& container) {
  hear(container + " lets go of " + input);
  const auto run = running_.find(input);
  if (run != running_.end() && run->second.container == container) {
    running_.erase(run);
  }
}

void Judge::dies(const std::string& container) {
  hear(container + " dies");
  std::erase_if(running_, [&](const auto& one) { return one.second.container == container; });
}

void Judge::reads(const std::string& call, const model::LogEntry& entry) {
  const std::string words = std::to_string(static_cast<int>(entry.kind)) + " " +
                            std::to_string(entry.index) + " " +
                            std::to_string(static_cast<int>(entry.outcome)) + " " +
                            entry.payload.bytes + (entry.failure ? " " + entry.failure->type : "");
  hear(call + " has " + std::to_string(entry.number) + ": " + words);
  const auto [known, is_new] = logs_[call].try_emplace(entry.number, words);
  if (!is_new) {
    if (known->second != words) {
      blame("entry " + std::to_string(entry.number) + " of " + call + " was '" + known->second +
            "' and is '" + words + "'");
    }
    return;
  }
  if (entry.kind == model::LogEntry::Kind::final_ && !finals_[call].insert(entry.index).second) {
    blame("input " + std::to_string(entry.index) + " of " + call + " has two results");
  }
}

void Judge::starts(const std::string& container, std::size_t most) {
  hear(container + " starts");
  containers_.insert(container);
  if (containers_.size() > most) {
    blame(std::to_string(containers_.size()) + " containers where " + std::to_string(most) +
          " may be");
  }
}

void Judge::is_gone(const std::string& container) {
  hear(container + " is gone");
  containers_.erase(container);
}

void Judge::is_written(const std::string& id, const std::string& owner, int most) {
  hear(id + " is written of " + owner);
  written_[id] = owner;
  if (++writings_[owner] > most) {
    blame(owner + " is written for the time number " + std::to_string(writings_[owner]) +
          ", and nobody could start from it");
  }
}

void Judge::answers(const std::string& container) {
  const auto from = restored_.find(container);
  if (from != restored_.end()) {
    answered_.insert(container);
    restore_is_good(from->second);
  }
}

bool Judge::has_answered(const std::string& container) const {
  return answered_.contains(container);
}

void Judge::restore_is_good(const std::string& id) {
  failures_[id].in_a_row.clear();
  failures_[id].last_good = monotonic_now();
  writings_.erase(written_[id]);
}

void Judge::is_restored(const std::string& id, const std::string& owner,
                        const std::string& container) {
  hear(container + " of " + owner + " is restored from " + id);
  restored_[container] = id;
  const auto written = written_.find(id);
  if (written == written_.end()) {
    blame(container + " is restored from " + id + ", which was never written whole");
  } else if (written->second != owner) {
    blame(container + " of " + owner + " is restored from what " + written->second + " had");
  }
}

void Judge::is_chosen(const std::string& id, const std::string& container, Chosen chosen) {
  constexpr std::size_t most_failures = 3;
  const Failures& failures = failures_[id];
  const Instant now = monotonic_now();
  const auto before = std::count_if(failures.in_a_row.begin(), failures.in_a_row.end(),
                                    [now](Instant when) { return when < now; });
  if (static_cast<std::size_t>(before) >= most_failures) {
    blame(container + " is to be restored from " + id + ", which failed " + std::to_string(before) +
          " times in a row");
  }
  if (chosen == Chosen::for_others && !tried_.contains(id)) {
    blame(container + " is to be restored from " + id + ", which was never tried");
  }
  if (failures.no_good < now) {
    blame(container + " is to be restored from " + id +
          ", from which one has ended before it was ready");
  }
}

void Judge::restore_fails(const std::string& id, Instant when, Failure failure) {
  // That a server has answered is noticed now and then: which came first is nobody's to say.
  constexpr Duration noticed_within = 200ms;
  hear("a restore from " + id + " fails");
  Failures& failures = failures_[id];
  if (failures.last_good == Instant{} || failures.last_good + noticed_within < when) {
    failures.in_a_row.push_back(monotonic_now());
  }
  if (failure == Failure::before_ready) {
    failures.no_good = std::min(failures.no_good, monotonic_now());
  }
}

}  // namespace thaw::sim
