// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/templates.h"

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <list>

#include "thaw/async/event.h"
#include "thaw/os/files.h"

using namespace thaw;
using namespace thaw::worker;

namespace {

// A template's sandbox without a kernel.
class FakeSandbox final : public sandbox::Sandbox {
 public:
  explicit FakeSandbox(model::ContainerId id) : id_(std::move(id)) {}
  const model::ContainerId& id() const override { return id_; }
  int pid() const override { return 1; }
  bool has_ended() const override { return false; }
  const std::string& address() const override { return address_; }
  const sandbox::StartTimes& times() const override { return times_; }
  async::Task<std::optional<std::string>> read_stdout() override { co_return std::nullopt; }
  async::Task<std::optional<std::string>> read_stderr() override { co_return std::nullopt; }
  async::Task<sandbox::ExitStatus> wait() override { co_return sandbox::ExitStatus{}; }
  Result<void> signal(int number) override {
    signals.push_back(number);
    signalled.notify_all();
    return ok();
  }
  std::uint64_t memory_bytes() const override { return 0; }
  async::Task<void> freeze() override { co_return Error::unimplemented("not here"); }
  Result<void> thaw() override { return Error::unimplemented("not here"); }
  async::Task<std::uint64_t> reclaim() override { co_return Error::unimplemented("not here"); }
  async::Task<void> remove() override {
    is_removed = true;
    co_return ok();
  }

  std::vector<int> signals;
  std::size_t spares = 0;
  bool is_removed = false;
  async::Event signalled;

 private:
  model::ContainerId id_;
  std::string address_;
  sandbox::StartTimes times_;
};

struct Made {
  sandbox::SandboxSpec spec;
  std::shared_ptr<FakeSandbox> sandbox;
};

// Says what its spawner was told to let it say, and ends when it is signalled.
class FakeTemplate final : public sandbox::Template {
 public:
  // An empty word is its end.
  FakeTemplate(std::shared_ptr<FakeSandbox> sandbox, std::deque<std::string> words)
      : shared_(std::move(sandbox)), words_(std::move(words)) {}
  sandbox::Sandbox& sandbox() override { return *shared_; }
  async::Task<std::optional<std::string>> read_message() override {
    if (!words_.empty()) {
      std::string word = std::move(words_.front());
      words_.pop_front();
      co_return word.empty() ? std::nullopt : std::optional(std::move(word));
    }
    while (shared_->signals.empty() && !ends) {
      THAW_CO_TRY([[maybe_unused]] const bool told,
                  co_await shared_->signalled.wait(Instant::max()));
    }
    co_return std::nullopt;
  }
  void keep_spares(std::size_t count) override { shared_->spares = count; }
  async::Task<std::size_t> count_spares() override { co_return shared_->spares; }
  bool ends = false;

 private:
  std::shared_ptr<FakeSandbox> shared_;
  std::deque<std::string> words_;
};

class FakeSpawner final : public sandbox::Spawner {
 public:
  Result<void> attach(async::Loop&, async::Pool&) override { return ok(); }
  async::Task<void> prepare() override { co_return ok(); }
  async::Task<void> allow_port(std::uint16_t) override { co_return ok(); }
  async::Task<std::unique_ptr<sandbox::Sandbox>> start(sandbox::SandboxSpec) override {
    co_return Error::unimplemented("not here");
  }
  async::Task<std::unique_ptr<sandbox::Template>> start_template(
      sandbox::SandboxSpec spec) override {
    if (words.empty()) {
      co_return Error::unavailable("as asked");
    }
    auto sandbox = std::make_shared<FakeSandbox>(spec.id);
    made.push_back({std::move(spec), sandbox});
    co_return std::unique_ptr<sandbox::Template>(std::make_unique<FakeTemplate>(sandbox, words));
  }
  async::Task<void> shut_down() override { co_return ok(); }
  std::string bridge_host() const override { return ""; }

  std::deque<std::string> words = {"ready "};
  std::list<Made> made;
};

struct Workshop {
  explicit Workshop(std::size_t max = 2) {
    settings.max = max;
    sources.add("layer", below("/layers"));
    sources.add("package", below("/packages"));
    settings.delay = Duration::zero();
    settings.min_free_bytes = 0;
    templates = std::make_unique<Templates>(loop, spawner, kits, sources, folder, settings);
  }
  ~Workshop() {
    const auto ended = loop.run_task(templates->shut_down());
    CHECK(ended);
    for (const Made& made : spawner.made) {
      CHECK(made.sandbox->is_removed);
    }
    std::filesystem::remove_all(folder);
  }
  void let_run() {
    for (int i = 0; i < 20; ++i) {
      (void)loop.run_task(async::yield());
    }
  }
  Templates::Offer offer_of(const ForkPlan& plan, const std::string& user = "fu-1") {
    return templates->offer(plan, user);
  }

  static std::string make_folder() {
    std::string path = "/tmp/thaw-templates-XXXXXX";
    return ::mkdtemp(path.data());
  }

  static Kit forking() {
    Kit kit;
    kit.name = "forking";
    kit.fork = Kit::ForkProgram{{"fork.txt", "how it forks"}, {"runtime", "-x"}, {}};
    return kit;
  }

  async::Loop loop;
  FakeSpawner spawner;
  Kits kits{{bare_kit(), forking()}};
  Sources sources;
  std::string folder = make_folder();
  TemplateSettings settings;
  std::unique_ptr<Templates> templates;
};

ForkPlan plan_for(const std::string& layer) {
  ForkPlan plan;
  plan.kit = "forking";
  plan.workspace = "ac-1";
  plan.layers = {"layer:" + layer};
  plan.env = {"PATH=/bin"};
  plan.whole_env = {"PATH=/bin", "KEY=secret"};
  plan.modules = {"runtime"};
  return plan;
}

}  // namespace

TEST_CASE("a template is made when it is wanted, and offered once it is ready") {
  Workshop it;
  const ForkPlan plan = plan_for("image");
  CHECK(it.offer_of(plan).reason == "no_template");
  it.templates->want(plan);
  CHECK(it.offer_of(plan).reason == "template_starting");
  it.let_run();
  const auto offer = it.offer_of(plan);
  REQUIRE(offer.lease);
  REQUIRE(it.spawner.made.size() == 1);
  const sandbox::SandboxSpec& spec = it.spawner.made.front().spec;
  CHECK(offer.id == spec.id);
  CHECK(spec.profile == sandbox::Profile::templated);
  CHECK(spec.network == sandbox::SandboxSpec::Network::none);
  CHECK(spec.env == plan.env);
  CHECK(spec.argv.back() == "runtime");
}

TEST_CASE("a template that many wait for is made without delay, and waited for while it is") {
  Workshop it;
  it.settings.delay = std::chrono::hours(1);
  it.templates =
      std::make_unique<Templates>(it.loop, it.spawner, it.kits, it.sources, it.folder, it.settings);
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  CHECK(it.spawner.made.empty());
  CHECK(it.templates->hasten(plan));
  CHECK(it.offer_of(plan).reason == "template_starting");
  it.let_run();
  CHECK(it.offer_of(plan).lease);
  CHECK_FALSE(it.templates->hasten(plan));
  CHECK(it.templates->hasten(plan_for("another")));  // nobody has asked for it before
  it.let_run();
  CHECK(it.offer_of(plan_for("another")).lease);
}

TEST_CASE("nobody waits for a template that cannot be made") {
  Workshop it;
  it.spawner.words = {};
  it.templates->want(plan_for("image"));
  it.let_run();
  CHECK_FALSE(it.templates->hasten(plan_for("image")));
}

TEST_CASE("plans that differ in what shapes an interpreter share no template") {
  Workshop it;
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  for (int change = 0; change < 5; ++change) {
    CAPTURE(change);
    ForkPlan other = plan;
    if (change == 0) other.workspace = "ac-2";
    if (change == 1) other.layers.push_back("layer:more");
    if (change == 2) other.env.push_back("SEED=1");
    if (change == 3) other.binds.push_back({"package:client", "/lib/client"});
    if (change == 4) other.modules.push_back("another");
    CHECK(it.offer_of(other).reason == "no_template");
  }
  CHECK(it.offer_of(plan).lease);
}

TEST_CASE("the least recently used goes first, and its sandbox with its last fork") {
  Workshop it(2);
  it.templates->want(plan_for("a"));
  it.templates->want(plan_for("b"));
  it.let_run();
  auto held = it.offer_of(plan_for("a"));
  REQUIRE(held.lease);
  REQUIRE(it.offer_of(plan_for("b")).lease);
  it.templates->want(plan_for("c"));
  it.let_run();
  CHECK(it.offer_of(plan_for("a")).reason == "no_template");
  CHECK(it.offer_of(plan_for("b")).lease);
  CHECK(it.offer_of(plan_for("c")).lease);
  const FakeSandbox& retired = *it.spawner.made.front().sandbox;
  CHECK(retired.signals == std::vector<int>{SIGTERM});
  CHECK(!retired.is_removed);
}

TEST_CASE("a template that fails is not made again at once") {
  Workshop it;
  it.spawner.words = {};
  it.templates->want(plan_for("image"));
  it.let_run();
  CHECK(it.offer_of(plan_for("image")).reason == "template_failed");
  it.spawner.words = {"ready "};
  it.templates->want(plan_for("image"));
  it.let_run();
  CHECK(it.spawner.made.empty());
}

TEST_CASE("one that fails to fork three times is replaced; a refusal is about the function alone") {
  Workshop it;
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  auto offer = it.offer_of(plan);
  REQUIRE(offer.lease);
  it.templates->note(offer.lease, "fu-1", Templates::Outcome::refused);
  CHECK(it.offer_of(plan, "fu-1").reason == "not_fit");
  CHECK(it.offer_of(plan, "fu-2").lease);
  for (int i = 0; i < 3; ++i) {
    it.templates->note(offer.lease, "fu-2", Templates::Outcome::failed);
  }
  CHECK(it.offer_of(plan, "fu-2").reason == "no_template");
}

TEST_CASE("what forks import is imported by the next template of the same whole env") {
  Workshop it;
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  it.templates->saw(plan, "numpy,numpy.linalg,../evil,a b,numpy,");
  CHECK(it.offer_of(plan, "fu-1").id == model::ContainerId("tt-1"));  // until there is the other
  it.let_run();
  CHECK(it.offer_of(plan, "fu-1").id == model::ContainerId("tt-2"));
  CHECK(it.offer_of(plan, "fu-2").id == model::ContainerId("tt-2"));
  ForkPlan other = plan;
  other.whole_env = {"PATH=/bin", "KEY=another secret"};
  CHECK(it.offer_of(other, "fu-3").id == model::ContainerId("tt-1"));
  const sandbox::SandboxSpec& spec = it.spawner.made.back().spec;
  CHECK(spec.env == plan.whole_env);
  CHECK(std::vector<std::string>(spec.argv.end() - 3, spec.argv.end()) ==
        std::vector<std::string>{"runtime", "numpy", "numpy.linalg"});
}

TEST_CASE("a template that knows more takes the place of the one that knew less") {
  Workshop it(8);
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  it.templates->saw(plan, "json");
  (void)it.offer_of(plan);
  it.let_run();
  it.templates->saw(plan, "json,numpy");
  CHECK(it.offer_of(plan).id == model::ContainerId("tt-1"));
  it.let_run();
  CHECK(it.offer_of(plan).id == model::ContainerId("tt-3"));
  CHECK(it.templates->count() == 2);  // the first one is for whoever has another environment
}

TEST_CASE("a module that ends a template is left out of the next one") {
  Workshop it(8);
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  it.templates->saw(plan, "json,deadly,deadly.part,numpy");
  it.spawner.words = {"at json", "at deadly", ""};
  (void)it.offer_of(plan);
  it.let_run();
  it.spawner.words = {"at json", "at numpy", "ready "};
  CHECK(it.offer_of(plan).id == model::ContainerId("tt-1"));  // and the next one is asked for
  it.let_run();
  CHECK(it.offer_of(plan).id == model::ContainerId("tt-3"));
  const sandbox::SandboxSpec& spec = it.spawner.made.back().spec;
  CHECK(std::vector<std::string>(spec.argv.end() - 3, spec.argv.end()) ==
        std::vector<std::string>{"runtime", "json", "numpy"});
}

TEST_CASE("nothing is learned from a container with files among the image's modules") {
  Workshop it;
  ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  plan.learns = ForkPlan::Learns::nothing;
  it.templates->saw(plan, "numpy");
  plan.learns = ForkPlan::Learns::imports;
  (void)it.offer_of(plan);
  it.let_run();
  CHECK(it.spawner.made.size() == 1);
  it.templates->saw(plan, "numpy");
  (void)it.offer_of(plan);
  it.let_run();
  CHECK(it.spawner.made.size() == 2);
  plan.learns = ForkPlan::Learns::nothing;
  CHECK(it.offer_of(plan).id == model::ContainerId("tt-1"));
}

TEST_CASE("a template that is ready has its spares, and none when it goes") {
  Workshop it;
  it.settings.spares = 3;
  it.settings.spare_delay = Duration::zero();
  it.templates =
      std::make_unique<Templates>(it.loop, it.spawner, it.kits, it.sources, it.folder, it.settings);
  const ForkPlan plan = plan_for("image");
  it.templates->want(plan);
  it.let_run();
  REQUIRE(it.spawner.made.size() == 1);
  FakeSandbox& sandbox = *it.spawner.made.front().sandbox;
  CHECK(sandbox.spares == 3);
  sandbox.spares = 2;  // one was taken
  {
    const auto offer = it.offer_of(plan);
    it.templates->note(offer.lease, "fu-1", Templates::Outcome::forked);
  }
  it.let_run();
  CHECK(sandbox.spares == 3);
  CHECK(it.loop.run_task(it.templates->shut_down()));
  CHECK(sandbox.spares == 0);
}

TEST_CASE("memory that is short for templates is shorter for spares") {
  Workshop it;
  it.settings.min_free_bytes = std::uint64_t{1} << 60;
  it.templates =
      std::make_unique<Templates>(it.loop, it.spawner, it.kits, it.sources, it.folder, it.settings);
  it.templates->want(plan_for("image"));
  it.let_run();
  CHECK(it.spawner.made.empty());
  CHECK(it.offer_of(plan_for("image")).reason == "template_failed");
}

TEST_CASE("nothing is offered or made when it is switched off") {
  Workshop it;
  it.settings.enabled = false;
  Templates off(it.loop, it.spawner, it.kits, it.sources, it.folder, it.settings);
  off.want(plan_for("image"));
  it.let_run();
  CHECK(off.offer(plan_for("image"), "fu-1").reason == "switched_off");
  CHECK(it.spawner.made.empty());
}

TEST_CASE("a template runs the fork program of its kit, and a kit without one gets none") {
  Workshop it;
  it.templates->want(plan_for("image"));
  it.let_run();
  REQUIRE(it.spawner.made.size() == 1);
  const sandbox::SandboxSpec& spec = it.spawner.made.front().spec;
  CHECK(spec.argv ==
        std::vector<std::string>{"runtime", "-x", "/run/thaw/fork.txt", "--shared", "", "runtime"});
  const std::string folder = it.folder + "/" + spec.id.str();
  CHECK(os::read_text(folder + "/fork.txt").value_or("") == "how it forks");
  for (const char* kit : {"bare", "unknown", ""}) {
    CAPTURE(kit);
    ForkPlan plan = plan_for("image");
    plan.kit = kit;
    it.templates->want(plan);
    CHECK_FALSE(it.templates->hasten(plan));
    it.let_run();
    CHECK(it.offer_of(plan).reason == "no_fork_program");
  }
  CHECK(it.spawner.made.size() == 1);
}
