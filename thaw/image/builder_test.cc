// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/task_group.h"
#include "thaw/image/image_fixture_test.h"

using namespace thaw;
using namespace thaw::image;

namespace {

// A recipe whose RUN prints and writes one file named after its text.
FakeProgram scribble(const sandbox::SandboxSpec& spec) {
  FakeProgram program;
  program.out = {"running " + spec.argv.back() + "\n"};
  program.files = {{"made/" + spec.argv.back(), "text"}};
  return program;
}

async::Task<void> build_into(Builder* builder, Recipe recipe, BuildLog log,
                             std::optional<Result<BuildResult>>* result) {
  *result = co_await builder->build(std::move(recipe), std::move(log));
  co_return ok();
}

async::Task<void> wait_until(async::Event* event, std::function<bool()> condition) {
  while (!condition()) {
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await event->wait(Instant::max()));
  }
  co_return ok();
}

}  // namespace

TEST_CASE("steps become layers, are announced, and their output is told") {
  FakeHouse house;
  house.spawner.run = scribble;
  const auto result = house.build({"FROM scratch", "ENV A=1", "RUN one", "RUN two", "CMD [\"x\"]"});
  CHECK(result.layers_built == 2);
  REQUIRE(result.image.layers.size() == 3);
  CHECK(read_file(result.image.layers[1] + "/made/one") == "text");
  CHECK(read_file(result.image.layers[2] + "/made/two") == "text");
  CHECK(result.image.config.env == std::vector<std::string>{"A=1"});
  CHECK(result.image.config.cmd == std::vector<std::string>{"x"});
  CHECK(house.output.find("Step 3/5: RUN one\n") != std::string::npos);
  CHECK(house.output.find("running one\n") != std::string::npos);
  REQUIRE(house.spawner.specs.size() == 2);
  CHECK(house.spawner.specs[1].layers.size() == 2);
  CHECK(house.spawner.specs[0].profile == sandbox::Profile::build);
  CHECK(house.spawner.running == 0);
}

TEST_CASE("the same recipe is not built again, a longer one only from its end") {
  FakeHouse house;
  house.spawner.run = scribble;
  const auto first = house.build({"FROM scratch", "RUN one"});
  const auto again = house.build({"FROM scratch", "RUN one"});
  CHECK(again.key == first.key);
  CHECK(again.layers_built == 0);
  CHECK(again.image.layers == first.image.layers);
  CHECK(house.output.find("RUN one  (cached)") != std::string::npos);
  const auto longer = house.build({"FROM scratch", "RUN one", "RUN two"});
  CHECK(longer.layers_built == 1);
  CHECK(house.spawner.specs.size() == 2);
}

TEST_CASE("key_of and find agree with build") {
  FakeHouse house;
  house.spawner.run = scribble;
  const Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN one", "ENV A=1"});
  const auto key = house.builder->key_of(recipe);
  REQUIRE(key);
  CHECK(!house.builder->find(*key));
  CHECK(house.build(recipe).key == *key);
  const auto found = house.builder->find(*key);
  REQUIRE(found);
  CHECK(found->image.config.env == std::vector<std::string>{"A=1"});
  CHECK(found->image.layers.size() == 2);
  CHECK(!house.builder->find("../../etc"));
  CHECK(house.builder->key_of(FakeHouse::recipe({"RUN x"})).error().code() ==
        Code::invalid_argument);
}

TEST_CASE("an image is the base of the next by its key, config included") {
  FakeHouse house;
  house.spawner.run = scribble;
  const auto first = house.build({"FROM scratch", "RUN one", "ENV A=1", "WORKDIR /made"});
  Recipe next = FakeHouse::recipe({"FROM base", "RUN two"});
  next.bases = {{"base", first.key}};
  const auto second = house.build(next);
  CHECK(second.image.layers.size() == 3);
  CHECK(second.image.config.env == std::vector<std::string>{"A=1"});
  CHECK(house.spawner.specs.back().cwd == "/made");
  next.bases = {{"base", "0000000000000000000000000000000000000000"}};
  const auto missing = house.try_build(next);
  REQUIRE(!missing);
  CHECK(missing.error().code() == Code::not_found);
}

TEST_CASE("an ignored cache builds again beside the old layer") {
  FakeHouse house;
  house.spawner.run = scribble;
  Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN one"});
  const auto first = house.build(recipe);
  recipe.cache = Recipe::Cache::ignore;
  const auto second = house.build(recipe);
  CHECK(second.key == first.key);
  CHECK(second.layers_built == 1);
  CHECK(second.image.layers.back() != first.image.layers.back());
  CHECK(os::exists(first.image.layers.back()));
  CHECK(house.builder->find(first.key)->image.layers == second.image.layers);
}

TEST_CASE("a failing step says which, its code and the end of its output, and leaves nothing") {
  FakeHouse house;
  house.spawner.run = [](const sandbox::SandboxSpec& spec) {
    FakeProgram program = scribble(spec);
    if (spec.argv.back() == "bad") {
      program.out.clear();
      for (int i = 0; i < 3000; ++i) program.out.push_back("line " + std::to_string(i) + "\n");
      program.err = {"E: no such package\n"};
      program.code = 100;
    }
    return program;
  };
  const Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN good", "RUN bad", "RUN never"});
  const auto result = house.try_build(recipe);
  REQUIRE(!result);
  CHECK(result.error().code() == Code::failed_precondition);
  const std::string message = result.error().message();
  CHECK(message.find("step 3/4 (RUN bad) ended with exit code 100") != std::string::npos);
  CHECK(message.find("line 2999") != std::string::npos);
  CHECK(message.size() < 6000);
  CHECK(house.output.find("E: no such package") != std::string::npos);
  CHECK(house.spawner.running == 0);
  // The good step stays, of the bad one nothing does; it is tried again.
  house.spawner.specs.clear();
  CHECK(!house.try_build(recipe));
  CHECK(house.spawner.specs.size() == 1);
  CHECK(os::list_folder(house.folder / "layers/locks").empty());
}

TEST_CASE("secrets and arguments reach RUN, secrets change no key") {
  FakeHouse house;
  house.spawner.run = scribble;
  Recipe recipe = FakeHouse::recipe({"FROM scratch", "ARG V=1", "ENV A=x", "RUN one"});
  const auto key = house.builder->key_of(recipe);
  recipe.secret_env = {"TOKEN=secret"};
  CHECK(house.build(recipe).key == *key);
  const auto& env = house.spawner.specs.back().env;
  for (const char* item : {"TOKEN=secret", "V=1", "A=x", "HOME=/root"}) {
    CHECK(std::find(env.begin(), env.end(), item) != env.end());
  }
}

TEST_CASE("what a workspace's own files or secrets have a part in is nobody else's") {
  FakeHouse house;
  house.spawner.run = scribble;
  const auto key_of = [&house](const std::string& workspace, Recipe::Runs runs) {
    Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN one"});
    recipe.workspace = workspace;
    recipe.runs = runs;
    return house.builder->key_of(recipe).value();
  };
  CHECK(key_of("a", Recipe::Runs::shared) == key_of("b", Recipe::Runs::shared));
  CHECK(key_of("a", Recipe::Runs::own) == key_of("a", Recipe::Runs::own));
  CHECK(key_of("a", Recipe::Runs::own) != key_of("b", Recipe::Runs::own));
  CHECK(key_of("a", Recipe::Runs::own) != key_of("a", Recipe::Runs::shared));
}

TEST_CASE("what a step depends on besides its image is a part of its key, and of no other step's") {
  FakeHouse house;
  house.spawner.run = scribble;
  const auto key_of = [&house](const std::string& step, const std::string& depends_on) {
    Recipe recipe = FakeHouse::recipe({"FROM scratch", step});
    recipe.depends_on = depends_on;
    return house.builder->key_of(recipe).value();
  };
  CHECK(key_of("RUN one", "volume a") == key_of("RUN one", "volume a"));
  CHECK(key_of("RUN one", "volume a") != key_of("RUN one", "volume b"));
  CHECK(key_of("RUN one", "volume a") != key_of("RUN one", ""));
  CHECK(key_of("ENV A=1", "volume a") == key_of("ENV A=1", "volume b"));
}

TEST_CASE("a step finds folders over its image and files beside it, and they are no part of it") {
  FakeHouse house;
  house.spawner.run = scribble;
  Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN one"});
  const auto key = house.builder->key_of(recipe);
  recipe.besides.layers = {"/over/the/image"};
  recipe.besides.binds = {{"/of/the/host", "/pkg", sandbox::BindMount::Access::read_only}};
  CHECK(house.build(recipe).key == *key);
  const sandbox::SandboxSpec& spec = house.spawner.specs.back();
  CHECK(spec.layers.back() == "/over/the/image");
  CHECK(std::any_of(spec.binds.begin(), spec.binds.end(),
                    [](const auto& bind) { return bind.target == "/pkg"; }));
}

TEST_CASE("two builds of one step share it, and both hear its output") {
  FakeHouse house;
  house.spawner.run = [](const sandbox::SandboxSpec& spec) {
    FakeProgram program = scribble(spec);
    program.ends = FakeProgram::Ends::when_released;
    return program;
  };
  std::optional<Result<BuildResult>> one, two;
  std::string out_one, out_two;
  const Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN one"});
  async::TaskGroup tasks(house.loop);
  tasks.start("one", build_into(
                         house.builder.get(), recipe,
                         [&](logs::Channel, const std::string& text) { out_one += text; }, &one));
  const auto wait = [&](std::function<bool()> condition) {
    REQUIRE(house.loop.run_task(wait_until(&house.spawner.started, std::move(condition))));
  };
  wait([&] { return house.spawner.running == 1; });
  tasks.start("two", build_into(
                         house.builder.get(), recipe,
                         [&](logs::Channel, const std::string& text) { out_two += text; }, &two));
  REQUIRE(house.loop.run_task(async::sleep_for(1ms)));
  house.spawner.is_released = true;
  house.spawner.release.notify_all();
  REQUIRE(house.loop.run_task(tasks.join(Instant::max())));
  REQUIRE(one);
  REQUIRE(two);
  REQUIRE(*one);
  REQUIRE(*two);
  CHECK((*one)->key == (*two)->key);
  CHECK(house.spawner.specs.size() == 1);
  CHECK(out_one.find("running one") != std::string::npos);
  CHECK(out_two.find("running one") != std::string::npos);
}

TEST_CASE("a cancelled build ends its step and leaves nothing; one that shares it goes on") {
  FakeHouse house;
  house.spawner.run = [](const sandbox::SandboxSpec& spec) {
    FakeProgram program = scribble(spec);
    program.ends = FakeProgram::Ends::when_released;
    return program;
  };
  std::optional<Result<BuildResult>> one, two;
  const Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN one"});
  async::TaskGroup first(house.loop), second(house.loop);
  first.start("one", build_into(house.builder.get(), recipe, house.log(), &one));
  const auto wait = [&](std::function<bool()> condition) {
    REQUIRE(house.loop.run_task(wait_until(&house.spawner.started, std::move(condition))));
  };
  wait([&] { return house.spawner.running == 1; });
  second.start("two", build_into(house.builder.get(), recipe, house.log(), &two));
  REQUIRE(house.loop.run_task(async::sleep_for(1ms)));
  REQUIRE(house.loop.run_task(first.stop()));
  REQUIRE(one);
  CHECK(one->error().code() == Code::cancelled);
  CHECK(house.spawner.running == 1);
  REQUIRE(house.loop.run_task(second.stop()));
  REQUIRE(two);
  CHECK(two->error().code() == Code::cancelled);
  CHECK(house.spawner.running == 0);
  CHECK(!house.builder->find(*house.builder->key_of(recipe)));
  CHECK(os::list_folder(house.folder / "layers/locks").empty());
}

TEST_CASE("servers that share a cache folder share layers") {
  TempFolder cache;
  FakeHouse first(cache.path), second(cache.path);
  first.spawner.run = scribble;
  second.spawner.run = scribble;
  const auto built = first.build({"FROM scratch", "RUN one"});
  const auto found = second.build({"FROM scratch", "RUN one"});
  CHECK(found.layers_built == 0);
  CHECK(found.image.layers == built.image.layers);
  CHECK(built.image.layers.back().starts_with(cache.path));
}

TEST_CASE("COPY brings files of the context with their modes") {
  if (!can_mount()) return;
  FakeHouse house;
  Recipe recipe = FakeHouse::recipe({"FROM scratch", "WORKDIR /w", "COPY . .",
                                     "COPY --chmod=700 --chown=7:8 /r.txt renamed",
                                     "COPY <<EOF /etc/motd", "hello", "EOF"});
  recipe.context = {{"/python/x.py", {house.blobs.add("print(1)"), 0644}},
                    {"/python/bin/tool", {house.blobs.add("#!"), 0755}}};
  recipe.files = {{"/r.txt", "requirements"}};
  const auto result = house.build(recipe);
  REQUIRE(result.image.layers.size() == 5);
  const std::string& first = result.image.layers[2];
  CHECK(read_file(first + "/w/python/x.py") == "print(1)");
  CHECK((std::filesystem::status(first + "/w/python/bin/tool").permissions() ==
         std::filesystem::perms(0755)));
  struct stat status {};
  REQUIRE(::stat((result.image.layers[3] + "/w/renamed").c_str(), &status) == 0);
  CHECK(status.st_uid == 7);
  CHECK(status.st_gid == 8);
  CHECK((status.st_mode & 07777) == 0700);
  CHECK(read_file(result.image.layers[4] + "/etc/motd") == "hello\n");
  CHECK(result.image.config.workdir == "/w");
}

TEST_CASE("content that is damaged in the store is data loss, and no layer") {
  if (!can_mount()) return;
  FakeHouse house;
  Recipe recipe = FakeHouse::recipe({"FROM scratch", "COPY x /x"});
  const std::string blob = house.blobs.add("good");
  recipe.context = {{"/x", {blob, 0644}}};
  write_file(house.folder / "blobs/" + blob, "evil");
  const auto result = house.try_build(recipe);
  REQUIRE(!result);
  CHECK(result.error().code() == Code::data_loss);
  CHECK(!house.builder->find(*house.builder->key_of(recipe)));
}

TEST_CASE("COPY --from takes files of another stage") {
  if (!can_mount()) return;
  FakeHouse house;
  house.spawner.run = [](const sandbox::SandboxSpec&) {
    FakeProgram program;
    program.files = {{"out/a/one.so", "1"}, {"out/a/two.txt", "2"}, {"out/b/three", "3"}};
    return program;
  };
  const auto result = house.build(
      {"FROM scratch AS build", "RUN make", "FROM scratch", "COPY --from=build /out /all",
       "COPY --from=build /out/a/*.so /lib/", "COPY --from=0 /out/b/three /renamed"});
  REQUIRE(result.image.layers.size() == 4);
  CHECK(read_file(result.image.layers[1] + "/all/b/three") == "3");
  CHECK(read_file(result.image.layers[2] + "/lib/one.so") == "1");
  CHECK(!os::exists(result.image.layers[2] + "/lib/two.txt"));
  CHECK(read_file(result.image.layers[3] + "/renamed") == "3");
}

TEST_CASE("the Python of an image is found without running it") {
  FakeHouse house;
  if (!can_mount()) return;
  house.spawner.run = [](const sandbox::SandboxSpec& spec) {
    FakeProgram program;
    program.files = {{"usr/local/bin/python3.12", ""}};
    std::filesystem::create_directories(spec.upper + "/upper/usr/local/bin");
    std::filesystem::create_symlink("python3.12", spec.upper + "/upper/usr/local/bin/python");
    return program;
  };
  CHECK(house.build({"FROM scratch", "RUN install"}).image.python == "3.12");
}

TEST_CASE("a step finds its mounts, and nothing of them stays") {
  if (!can_mount()) return;
  FakeHouse house;
  std::map<std::string, std::string> seen;
  house.spawner.run = [&](const sandbox::SandboxSpec& spec) {
    FakeProgram program;
    program.files = {{"out/a/one", "1"}, {"out/two", "2"}};
    for (const sandbox::BindMount& bind : spec.binds) {
      if (bind.target.starts_with("/m/") || bind.target.starts_with("/run/secrets/")) {
        seen[bind.target] = bind.source;
        seen[bind.target + " text"] = read_file(bind.source);
        seen[bind.target + "/a/one"] = read_file(bind.source + "/a/one");
        seen[bind.target + "/x.py"] = read_file(bind.source + "/x.py");
      }
    }
    return program;
  };
  Recipe recipe = FakeHouse::recipe(
      {"FROM scratch AS made", "RUN make", "FROM scratch",
       "RUN --mount=from=made,source=out,target=/m/tree "
       "--mount=from=made,source=/out/two,target=/m/file --mount=source=app,target=/m/context "
       "--mount=source=app/x.py,target=/m/x --mount=type=cache,target=/m/cache "
       "--mount=type=secret,id=TOKEN --mount=type=secret,id=NONE use"});
  recipe.context = {{"/app/x.py", {house.blobs.add("print(1)"), 0644}}};
  recipe.secret_env = {"TOKEN=hush"};
  const auto result = house.build(recipe);
  CHECK(seen["/m/tree/a/one"] == "1");
  CHECK(seen["/m/file text"] == "2");
  CHECK(seen["/m/context/x.py"] == "print(1)");
  CHECK(seen["/m/x text"] == "print(1)");
  CHECK(seen["/run/secrets/TOKEN text"] == "hush");
  CHECK_FALSE(seen.contains("/run/secrets/NONE"));
  for (const char* target : {"/m/tree", "/m/cache", "/run/secrets/TOKEN"}) {
    REQUIRE_FALSE(seen[target].empty());
    CHECK_FALSE(os::exists(seen[target]));
  }
  CHECK_FALSE(os::exists(result.image.layers.back() + "/m"));

  recipe.dockerfile.back() = "RUN --mount=type=secret,id=NONE,required=true use";
  const auto refused = house.try_build(recipe);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("no secret \"NONE\"") != std::string::npos);
}

TEST_CASE("ADD unpacks archives inside the image and copies what is none") {
  if (!can_mount()) return;
  FakeHouse house;
  house.spawner.run = [](const sandbox::SandboxSpec& spec) {
    FakeProgram program;
    program.files = {{"opt/unpacked", spec.argv.at(4) + " " + spec.argv.at(6)}};
    return program;
  };
  Recipe recipe = FakeHouse::recipe({"FROM scratch", "USER nobody", "ADD plain.txt tool.tgz /opt/",
                                     "ADD --chown=1 tool.tgz /x/"});
  recipe.context = {{"/plain.txt", {house.blobs.add("text"), 0644}},
                    {"/tool.tgz", {house.blobs.add("\x1f\x8b what gzip reads"), 0644}}};
  const Recipe whole = recipe;
  recipe.dockerfile.pop_back();
  const auto result = house.build(recipe);
  REQUIRE(house.spawner.specs.size() == 1);
  const sandbox::SandboxSpec& spec = house.spawner.specs[0];
  CHECK(spec.user.empty());
  CHECK(spec.network == sandbox::SandboxSpec::Network::none);
  CHECK(spec.binds.back().target == "/run/thaw-build-archive");
  const std::string& layer = result.image.layers.back();
  CHECK(read_file(layer + "/opt/plain.txt") == "text");
  CHECK(read_file(layer + "/opt/unpacked") == "gzip /opt/");
  CHECK_FALSE(os::exists(layer + "/opt/tool.tgz"));
  const auto refused = house.try_build(whole);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("RUN chown") != std::string::npos);
}
