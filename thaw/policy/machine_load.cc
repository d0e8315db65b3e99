// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/machine_load.h"

#include <algorithm>
#include <cmath>

namespace thaw::policy {

namespace {

constexpr Duration half_life = 200ms;
constexpr Duration shortest = 40ms;  // counters tick: a shorter moment says nothing
constexpr Duration too_old = 2s;

void blend(double& mean, double value, double fresh) { mean += (value - mean) * fresh; }

}  // namespace

void MachineLoad::note(const MachineSample& sample) {
  if (!last_ || sample.at - last_->at > too_old || sample.at < last_->at ||
      sample.busy < last_->busy) {
    last_ = sample;
    view_.reset();
    return;
  }
  if (sample.at - last_->at < shortest) {
    return;
  }
  const double wall = to_seconds(sample.at - last_->at);
  const double busy = std::min(to_seconds(sample.busy - last_->busy) / wall, cores_);
  const double contained =
      std::clamp(to_seconds(sample.containers - last_->containers) / wall, 0.0, busy);
  MachineView now;
  now.cores = cores_;
  now.idle = cores_ - busy;
  now.outside = busy - contained;
  // A moment's threads say little, but on the average what the counter says.
  const double waiting = sample.queued && last_->queued
                             ? to_seconds(*sample.queued - *last_->queued) / wall
                             : std::max(0.0, sample.runnable - cores_);
  now.queueing = std::max(0.0, waiting) / std::max(busy, 0.5);
  now.pressure = sample.pressed && last_->pressed
                     ? to_seconds(*sample.pressed - *last_->pressed) / wall
                     : (sample.runnable > cores_ ? 1.0 : 0.0);
  last_ = sample;
  if (!view_) {
    view_ = now;
    return;
  }
  const double fresh = 1 - std::exp2(-wall / to_seconds(half_life));
  blend(view_->idle, now.idle, fresh);
  blend(view_->outside, now.outside, fresh);
  blend(view_->queueing, now.queueing, fresh);
  blend(view_->pressure, now.pressure, fresh);
}

MachineView MachineLoad::view(Instant now) const {
  if (!view_ || now - last_->at > too_old) {
    MachineView unknown;
    unknown.cores = cores_;
    unknown.idle = cores_;
    return unknown;
  }
  return *view_;
}

}  // namespace thaw::policy
