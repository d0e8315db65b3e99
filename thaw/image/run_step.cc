// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/run_step.h"

#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "thaw/async/task_group.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

constexpr std::size_t tail_bytes = 4096;
constexpr const char* script_path = "/run/thaw-build-script";

// How much of `text` is whole UTF-8: a character that a read has cut in two stays for the next.
std::size_t whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) {
      continue;
    }
    const std::size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return length > back ? text.size() - back : text.size();
  }
  return text.size();
}

struct Output {
  BuildLog say;
  std::string tail;

  void add(logs::Channel channel, const std::string& text) {
    tail += text;
    if (tail.size() > 2 * tail_bytes) {
      tail.erase(0, tail.size() - tail_bytes);
    }
    say(channel, text);
  }
  // The last lines, from the beginning of one.
  std::string end() const {
    if (tail.size() <= tail_bytes) {
      return tail;
    }
    const auto line = tail.find('\n', tail.size() - tail_bytes);
    return line == std::string::npos ? tail.substr(tail.size() - tail_bytes)
                                     : tail.substr(line + 1);
  }
};

async::Task<void> pump(sandbox::Sandbox* box, logs::Channel channel, Output* output) {
  std::string pending;
  while (true) {
    if (output->say.room) {
      THAW_CO_TRY_VOID(co_await output->say.room());  // tidy(ends): the build has ended
    }
    auto piece =
        channel == logs::Channel::out ? co_await box->read_stdout() : co_await box->read_stderr();
    if (!piece) {
      co_return piece.error();  // tidy(ends): the pipe cannot be read any more
    }
    if (!*piece) {
      break;
    }
    pending += **piece;
    const std::size_t whole = whole_characters(pending);
    if (whole > 0) {
      output->add(channel, pending.substr(0, whole));
      pending.erase(0, whole);
    }
  }
  if (!pending.empty()) {
    output->add(channel, pending);
  }
  co_return ok();
}

async::Task<void> kill_after(sandbox::Sandbox* box, Duration timeout, bool* timed_out) {
  THAW_CO_TRY_VOID(co_await async::sleep_for(timeout));
  *timed_out = true;
  co_return box->signal(SIGKILL);
}

// A second cancellation must not leave a task running on what is about to go away.
async::Task<void> stop_all(async::TaskGroup* group) {
  while (group->size() > 0) {
    [[maybe_unused]] const auto stopped = co_await group->stop();
  }
  co_return ok();
}

model::ContainerId new_id() {
  std::uint64_t number = 0;
  [[maybe_unused]] const auto n = ::getrandom(&number, sizeof number, 0);
  static constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
  std::string id = "bd-";
  for (int i = 0; i < 12; ++i, number >>= 5) {
    id.push_back(letters[number & 31]);
  }
  return model::ContainerId(id);
}

Error failure(const RunRequest& request, const sandbox::ExitStatus& status, bool timed_out,
              const Output& output) {
  std::string why = "ended with exit code " + std::to_string(status.code);
  if (timed_out) {
    why = "did not end within " + std::to_string(static_cast<long>(to_seconds(request.timeout))) +
          " s and was stopped";
  } else if (status.out_of_memory) {
    why = "needed more memory than a build step may have (" +
          std::to_string(request.limits.memory_bytes >> 20) +
          " MiB, [images] step_memory_mb) and was killed";
  } else if (status.ended_with_spawner) {
    why = "was ended because the process that starts containers was killed; build again";
  } else if (status.signal != 0) {
    why = "was ended by signal " + std::to_string(status.signal);
  }
  const std::string end = output.end();
  return Error::failed_precondition(request.label + " " + why + (end.empty() ? "" : ":\n" + end));
}

// The complete environment of a step: what it inherits from the host, the image's own, arguments
// and secrets, each stronger than the one before it.
std::vector<std::string> step_environment(const RunRequest& request) {
  std::vector<std::string> env = {
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  if (request.config.user.empty() || request.config.user == "root" || request.config.user == "0") {
    env.emplace_back("HOME=/root");
  }
  for (const auto* list :
       {&request.settings.env, &request.config.env, &request.step.args, &request.secret_env}) {
    for (const std::string& item : *list) {
      const auto equals = item.find('=');
      if (equals != std::string::npos) {
        set_env(env, item.substr(0, equals), item.substr(equals + 1));
      }
    }
  }
  return env;
}

}  // namespace

async::Task<void> run_step(async::Loop& loop, sandbox::Spawner& spawner, RunRequest request,
                           BuildLog say) {
  sandbox::SandboxSpec spec;
  spec.id = new_id();
  spec.layers = request.layers;
  spec.upper = request.draft;
  spec.binds = request.settings.binds;
  spec.binds.insert(spec.binds.end(), request.mounts.begin(), request.mounts.end());
  spec.argv = request.step.argv;
  if (!request.step.script.empty()) {
    const std::string script = request.draft + "/script";
    THAW_CO_TRY_VOID(os::create_text(script, request.step.script, 0755));
    ::chmod(script.c_str(), 0755);
    spec.binds.push_back({script, script_path, sandbox::BindMount::Access::read_only});
    spec.argv = {script_path};
  }
  spec.env = step_environment(request);
  spec.cwd = request.config.workdir.empty() ? "/" : request.config.workdir;
  spec.hostname = "build";
  spec.user = request.config.user;
  spec.limits = request.limits;
  spec.profile = sandbox::Profile::build;
  spec.network = request.step.network == RunStep::Network::none
                     ? sandbox::SandboxSpec::Network::none
                     : request.network;

  auto started = co_await spawner.start(std::move(spec));
  if (!started) {
    co_return std::move(started).error().with("step", request.label);
  }
  const std::unique_ptr<sandbox::Sandbox> box = std::move(*started);
  Output output{std::move(say), {}};
  bool timed_out = false;
  async::TaskGroup pumps(loop);
  async::TaskGroup watch(loop);
  pumps.start("build output", pump(box.get(), logs::Channel::out, &output));
  pumps.start("build errors", pump(box.get(), logs::Channel::err, &output));
  watch.start("build timeout", kill_after(box.get(), request.timeout, &timed_out));

  auto status = co_await box->wait();
  if (status) {
    // The tree is dead, so its pipes end: what is still in them belongs to the log.
    const auto drained = co_await pumps.join(monotonic_now() + 10s);
    if (!drained) {
      status = drained.error();
    }
  }
  co_await async::forget_cancellation();
  if (!status) {
    [[maybe_unused]] const auto killed = box->signal(SIGKILL);
  }
  [[maybe_unused]] const auto watch_ended = co_await stop_all(&watch);
  [[maybe_unused]] const auto pumps_ended = co_await stop_all(&pumps);
  const auto removed = co_await box->remove();
  if (!status) {
    co_return status.error();
  }
  if (status->code != 0) {
    co_return failure(request, *status, timed_out, output);
  }
  co_return removed;
}

}  // namespace thaw::image
