// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/buckets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/worker/served_requests.h"

namespace thaw::worker {

namespace {

constexpr net::RelayLimits relay_limits{
    .connections = 64, .connect = std::chrono::seconds(10), .idle = std::chrono::minutes(2)};
constexpr std::size_t most_lines = 20;  // of a helper in a minute
constexpr std::size_t longest_line = 1024;
constexpr Duration look_pause = std::chrono::milliseconds(20);

// Nobody but root gets to it by its path; inside of the helper's sandbox everybody does.
Result<os::Fd> listen_at(const std::string& path) {
  os::Fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error::invalid_argument("the path of a socket is too long").with("path", path);
  }
  path.copy(address.sun_path, path.size());
  if (!listener.valid() ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0666) != 0 || ::listen(listener.get(), 1) != 0) {
    return Error::from_errno(errno, "listen at " + path);
  }
  return listener;
}

async::Task<net::PortRelay::Target> find_endpoint(BucketEndpoints& endpoints, net::WebUrl url,
                                                  std::string share) {
  const std::uint16_t port = url.port;
  THAW_CO_TRY(const std::vector<net::IpAddress> addresses,
              co_await endpoints.addresses_of(std::move(url), std::move(share)));
  co_return net::PortRelay::Target{addresses.front().str(), port};
}

}  // namespace

BucketMount::BucketMount(async::Loop& loop, BucketPlan plan, std::string folder, Say say)
    : loop_(loop),
      plan_(std::move(plan)),
      folder_(std::move(folder)),
      say_(std::move(say)),
      tasks_(loop) {}

BucketMount::~BucketMount() { tasks_.cancel(); }

Result<void> BucketMount::make_folder() {
  THAW_TRY_VOID(os::remove_tree(folder_));
  THAW_TRY_VOID(os::make_folders(folder_, 0755));
  THAW_TRY_VOID(
      os::create_text(folder_ + "/" + bucket_hosts, BucketHelper::hosts_for(plan_), 0644));
  if (::chmod(folder_.c_str(), 0755) != 0 ||
      ::chmod((folder_ + "/" + bucket_hosts).c_str(), 0644) != 0) {
    return Error::from_errno(errno, "open " + folder_ + " to what serves a bucket");
  }
  THAW_TRY(listener_, listen_at(folder_ + "/" + bucket_socket));
  return ok();
}

void BucketMount::tell(const std::string& text) {
  say_("bucket '" + plan_.bucket + "' at " + plan_.target + ": " + text);
}

void BucketMount::serve(sandbox::ServedMount served) {
  served_ = std::move(served);
  if (helper_->has_ended()) {
    served_.device.reset();
    return;
  }
  handing_over_ = tasks_.start("a bucket's device", hand_over(*this));
}

// Once: from then on the helper is the only one that has it, so that its end is the folder's.
async::Task<void> BucketMount::hand_over(BucketMount& self) {
  THAW_CO_TRY(async::FdWatch asked, async::FdWatch::make(self.loop_, self.listener_.get()));
  THAW_CO_TRY_VOID(co_await asked.readable());
  const os::Fd helper(::accept4(self.listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  auto sent = os::send_message(helper.get(), "x", {self.served_.device.get()});
  self.served_.device.reset();
  co_return sent.map([](const auto&) {});
}

async::Task<void> BucketMount::watch(BucketMount& self) {
  THAW_CO_TRY(const sandbox::ExitStatus end, co_await self.helper_->wait());
  // If it has not asked for it yet: whoever waits for the folder is told now.
  self.handing_over_.cancel();
  self.served_.device.reset();
  if (!self.is_ending_) {
    self.tell(
        std::string("what serves it has ended (") +
        (end.out_of_memory ? "it had no memory left" : "exit code " + std::to_string(end.code)) +
        "); its files cannot be reached any more in this container");
  }
  co_return ok();
}

// What endpoints answer is in it: bounded, and for the owner of the container only.
async::Task<void> BucketMount::pump(BucketMount& self, Stream stream) {
  std::string held;
  while (true) {
    // tidy(ends): the pipe cannot be read any more
    THAW_CO_TRY(std::optional<std::string> piece, stream == Stream::out
                                                      ? co_await self.helper_->read_stdout()
                                                      : co_await self.helper_->read_stderr());
    if (!piece) {
      co_return ok();
    }
    held += *piece;
    for (std::size_t end = 0; (end = held.find('\n')) != std::string::npos;) {
      const std::string line = held.substr(0, std::min(end, longest_line));
      held.erase(0, end + 1);
      const Instant now = monotonic_now();
      if (now - self.told_since_ > std::chrono::minutes(1)) {
        self.told_since_ = now;
        self.told_ = 0;
      }
      if (!line.empty() && ++self.told_ <= most_lines) {
        self.tell(line);
      }
    }
    if (held.size() > longest_line) {
      held.clear();
    }
  }
}

async::Task<void> BucketMount::flush(Duration limit) {
  const Instant until = monotonic_now() + limit;
  while (served_.mount.valid() && !helper_->has_ended()) {
    const Result<std::uint64_t> waiting = waiting_requests(served_.mount);
    if (!waiting || *waiting == 0) {
      break;
    }
    if (monotonic_now() > until) {
      tell("not all that was written has arrived within " +
           std::to_string(static_cast<int>(to_seconds(limit))) + " s, and the rest is lost");
      break;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(look_pause));
  }
  co_return ok();
}

void BucketMount::break_off_in(Duration limit) {
  if (!breaking_off_.running() && helper_) {
    breaking_off_ = tasks_.start("a bucket's end", break_off(*this, limit));
  }
}

async::Task<void> BucketMount::break_off(BucketMount& self, Duration limit) {
  THAW_CO_TRY_VOID(co_await async::sleep_for(limit));
  self.is_ending_ = true;
  self.served_.device.reset();
  co_return self.helper_->signal(SIGKILL);
}

async::Task<void> BucketMount::stop() {
  is_ending_ = true;
  served_ = {};
  Result<void> removed = ok();
  if (helper_) {
    removed = co_await helper_->remove();
  }
  if (relay_) {
    THAW_CO_TRY_VOID(co_await relay_->stop());
  }
  THAW_CO_TRY_VOID(co_await tasks_.stop());
  listener_.reset();
  if (auto gone = os::remove_tree(folder_); !gone && removed) {
    removed = std::move(gone);
  }
  co_return removed;
}

async::Task<std::unique_ptr<BucketMount>> Buckets::open(BucketPlan plan, std::string name,
                                                        std::string workspace,
                                                        BucketMount::Say say) {
  THAW_CO_TRY_VOID(helper_.prepare());
  THAW_CO_TRY(plan, co_await parts_.endpoints.check(std::move(plan), workspace));
  std::unique_ptr<BucketMount> mount(new BucketMount(
      parts_.loop, std::move(plan), parts_.run_folder + "/" + name, std::move(say)));
  if (auto begun = co_await begin(*mount, std::move(name), std::move(workspace)); !begun) {
    (void)co_await mount->stop();
    co_return std::move(begun).error();
  }
  co_return mount;
}

async::Task<void> Buckets::begin(BucketMount& mount, std::string name, std::string workspace) {
  THAW_CO_TRY_VOID(mount.make_folder());
  sandbox::SandboxSpec spec = helper_.spec_for(mount.plan_, mount.folder_);
  spec.id = model::ContainerId(std::move(name));
  spec.workspace = workspace;
  THAW_CO_TRY(mount.helper_, co_await parts_.spawner.start(std::move(spec)));
  mount.tasks_.start("a bucket's helper", BucketMount::watch(mount));
  mount.tasks_.start("a bucket's helper", BucketMount::pump(mount, BucketMount::Stream::out));
  mount.tasks_.start("a bucket's helper", BucketMount::pump(mount, BucketMount::Stream::error));
  THAW_CO_TRY(const net::WebUrl url, net::parse_web_url(mount.plan_.origin() + "/"));
  mount.relay_ = net::PortRelay::of(parts_.loop, mount.helper_->take_door(), relay_limits);
  mount.relay_->start([this, url, workspace = std::move(workspace)] {
    return find_endpoint(parts_.endpoints, url, workspace);
  });
  co_return ok();
}

}  // namespace thaw::worker
