// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/container.h"

namespace thaw::control {

std::string_view status_name(Status status) {
  switch (status) {
    case Status::starting: return "starting";
    case Status::warm: return "warm";
    case Status::frozen: return "frozen";
    case Status::busy: return "busy";
    case Status::standby: return "standby";
    case Status::stopping: return "stopping";
    case Status::stopped: return "stopped";
  }
  return "stopped";
}

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::none: return "";
    case StopReason::idle: return "idle";
    case StopReason::unhealthy: return "its server was not well";
    case StopReason::made_room: return "made room for another function";
    case StopReason::made_way: return "made way for another version of its function";
    case StopReason::replaced: return "replaced by a new version";
    case StopReason::app_stopped: return "app stopped";
    case StopReason::single_use: return "single use";
    case StopReason::timeout: return "an input ran past its timeout";
    case StopReason::user: return "stopped by request";
    case StopReason::shutdown: return "server stopped";
    case StopReason::limit: return "it went past a limit";
  }
  return "";
}

}  // namespace thaw::control
