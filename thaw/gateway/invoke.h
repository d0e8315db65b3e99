// SPDX-License-Identifier: Apache-2.0
//
// Invoke: the way of a request from the name in it to a call, and of a call to who asks for it. A
// dialect reads a request and words the answer; between these it goes through here, or, for what
// has no log, through passage.h:
//
//   resolve     find(): a name in a scope means a function of that dialect
//   authorise   the scope is the caller's own (access.h); whom else a function serves its dialect
//               has stored with it
//   route       KeptVersions::route(): which of its versions gets the request
//   create      new_call() and create(), which the queue admits or refuses; or Passages::lead()
//   view        find_call(), ends(), cancel(): only of what the caller may see
//
// Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/catalog/scope.h"
#include "thaw/control/fleet.h"
#include "thaw/gateway/access.h"
#include "thaw/gateway/kept_versions.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

// A function that has a name of its own: the app of that name has it and no other.
struct Published {
  std::shared_ptr<const model::App> app;
  std::shared_ptr<const catalog::Function> function;
  std::shared_ptr<const model::FunctionSpec> spec;  // its live version
};

struct InvokeParts {
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  control::Fleet& fleet;
  KeptVersions& versions;
};

class Invoke {
 public:
  // All parts outlive it.
  explicit Invoke(InvokeParts parts) : parts_(parts) {}

  // Of that dialect, in the default environment of the scope; none: as far as it can see there is
  // no such function.
  std::optional<Published> find(const catalog::Scope& scope, const std::string& dialect,
                                const std::string& name) const;

  // A call, of an id of its own, of what a request was routed to. Synchronous, until its caller
  // says otherwise.
  static model::NewCall new_call(const Route& route);
  // As the queue's create(), or create_once(). The version that it names is not dropped meanwhile.
  async::Task<queue::Created> create(model::NewCall call, std::vector<model::NewInput> inputs,
                                     std::optional<queue::Once> once = std::nullopt);

  // None: there is no such call, or it is not for `who` to see. A container that may see its own
  // environment only sees the calls of the apps in it, and of its own app once that is gone.
  async::Task<std::optional<queue::CallInfo>> find_call(Identity who, model::CallId call);
  // How its first `most` inputs ended: as soon as one has, or what there is at `until`.
  async::Task<std::vector<model::LogEntry>> ends(model::CallId call, std::size_t most,
                                                 Instant until);
  // What waits ends at once; containers are told of what they run, or are killed.
  async::Task<void> cancel(model::CallId call, control::Fleet::StopHow how);

 private:
  InvokeParts parts_;
};

}  // namespace thaw::gateway
