// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/plan.h"

#include <doctest/doctest.h>

#include "thaw/image/context_paths.h"
#include "thaw/image/dockerfile_words.h"

using namespace thaw;
using namespace thaw::image;

namespace {

Result<BaseFacts> lookup(const std::string& reference) {
  if (reference == "missing") {
    return Error::not_found("no base image \"missing\"");
  }
  BaseFacts facts;
  facts.key = "key-of-" + reference;
  facts.config.env = {"PATH=/usr/bin", "LANG=C.UTF-8"};
  facts.config.cmd = {"bash"};
  return facts;
}

Recipe recipe_of(std::vector<std::string> lines) {
  Recipe recipe;
  recipe.dockerfile = std::move(lines);
  return recipe;
}
Plan planned(const Recipe& recipe) {
  auto plan = make_plan(recipe, lookup);
  REQUIRE_MESSAGE(plan, (plan ? "" : plan.error().to_string()));
  return *plan;
}
Plan planned(std::vector<std::string> lines) { return planned(recipe_of(std::move(lines))); }
Error refused(const Recipe& recipe) {
  const auto plan = make_plan(recipe, lookup);
  REQUIRE(!plan);
  return plan.error();
}
std::string refused(std::vector<std::string> lines) {
  return refused(recipe_of(std::move(lines))).message();
}
std::string key_of(const Recipe& recipe) { return planned(recipe).result().key(); }
std::string key_of(std::vector<std::string> lines) { return key_of(recipe_of(std::move(lines))); }

Recipe with_context(std::vector<std::string> lines) {
  Recipe recipe = recipe_of(std::move(lines));
  recipe.context = {{"/app/main.py", {"aa", 0644}},
                    {"/app/data/x.txt", {"bb", 0600}},
                    {"/app/data/y.bin", {"cc", 0755}},
                    {"/setup.py", {"dd", 0644}}};
  recipe.files = {{"/requirements.txt", "aiohttp\n"}};
  return recipe;
}
const CopyStep& copy_of(const Plan& plan) { return plan.result().steps.back().copy; }

}  // namespace

TEST_CASE("the same recipe has the same key, another one another") {
  const std::vector<std::string> lines = {"FROM base", "RUN a"};
  CHECK(key_of(lines) == key_of(lines));
  CHECK(key_of(lines).size() == 40);
  CHECK(key_of(lines) != key_of({"FROM base", "RUN b"}));
  CHECK(key_of(lines) != key_of({"FROM other", "RUN a"}));
  CHECK(key_of({"FROM base", "ENV A=1", "RUN a"}) != key_of({"FROM base", "ENV A=2", "RUN a"}));
  CHECK(key_of({"FROM base", "RUN a", "RUN b"}) != key_of({"FROM base", "RUN b", "RUN a"}));
}

TEST_CASE("what changes nothing changes no key") {
  CHECK(key_of({"FROM base"}) == "key-of-base");
  CHECK(key_of({"FROM base", "LABEL a=b", "EXPOSE 80", "MAINTAINER me"}) == "key-of-base");
  CHECK(key_of({"FROM base", "# words", "RUN a"}) == key_of({"FROM base", "RUN a"}));
  CHECK(key_of({"FROM base", "ENV LANG=C.UTF-8"}) == "key-of-base");
}

TEST_CASE("secrets are not part of the key, arguments are") {
  Recipe recipe = recipe_of({"FROM base", "ARG V=1", "RUN a"});
  const std::string key = key_of(recipe);
  recipe.secret_env = {"TOKEN=x"};
  CHECK(key_of(recipe) == key);
  recipe.build_args = {{"V", "2"}};
  CHECK(key_of(recipe) != key);
  recipe.build_args = {{"UNUSED", "2"}};
  CHECK(key_of(recipe) == key);
}

TEST_CASE("a plan that looks at the context too often is refused before it has looked") {
  Recipe recipe = recipe_of({"FROM base"});
  for (int i = 0; i < 10'000; ++i) {
    recipe.context["/f" + std::to_string(i)] = {"aa", 0644};
  }
  const std::vector<std::string> usual(50, "COPY . /x");
  recipe.dockerfile.insert(recipe.dockerfile.end(), usual.begin(), usual.end());
  planned(recipe);
  std::string words = "COPY";
  for (int i = 0; i < 1'000; ++i) {
    words += " f1";
  }
  for (const std::string& line : {words + " /x/", "RUN true\n" + words + " /x/"}) {
    recipe.dockerfile = {"FROM base", line};
    const Error error = refused(recipe);
    CHECK(error.code() == Code::resource_exhausted);
    CHECK(error.message().find("too many for one image") != std::string::npos);
  }
}

TEST_CASE("the content of what is copied is part of the key, other content is not") {
  Recipe recipe = with_context({"FROM base", "COPY app /x"});
  const std::string key = key_of(recipe);
  recipe.context["/setup.py"].sha256_hex = "ee";
  CHECK(key_of(recipe) == key);
  recipe.context["/app/main.py"].sha256_hex = "ee";
  CHECK(key_of(recipe) != key);
  Recipe files = with_context({"FROM base", "COPY /requirements.txt /r.txt"});
  const std::string before = key_of(files);
  files.files["/requirements.txt"] = "other\n";
  CHECK(key_of(files) != before);
}

TEST_CASE("ENV has two forms and sees the variables as they were before it") {
  const Plan plan = planned({"FROM base", "ENV A one two", "ENV B=\"x y\" C=$A D='$A' A=new",
                             "ENV PATH=/opt/bin:$PATH", "ENV E=a\\ b"});
  const auto& env = plan.result().config().env;
  CHECK(env == std::vector<std::string>{"PATH=/opt/bin:/usr/bin", "LANG=C.UTF-8", "A=new", "B=x y",
                                        "C=one two", "D=$A", "E=a b"});
}

TEST_CASE("an argument gives way to a variable of the environment") {
  const Plan plan =
      planned({"ARG TAG=base", "FROM $TAG", "ARG TAG", "ARG X=1", "ENV X=2", "WORKDIR /$TAG/$X"});
  CHECK(plan.stages[0].base == "base");
  CHECK(plan.result().config().workdir == "/base/2");
}

TEST_CASE("build arguments replace defaults, also before FROM") {
  Recipe recipe = recipe_of({"ARG TAG=base", "FROM $TAG", "ARG A=1", "RUN x"});
  recipe.build_args = {{"TAG", "other"}, {"A", "9"}};
  const Plan plan = planned(recipe);
  CHECK(plan.stages[0].base == "other");
  CHECK(plan.result().steps.back().run.args == std::vector<std::string>{"A=9"});
}

TEST_CASE("the platform's arguments are known") {
  const Plan plan = planned({"FROM base", "ARG TARGETARCH", "WORKDIR /$TARGETARCH"});
  CHECK(plan.result().config().workdir == "/amd64");
}

TEST_CASE("RUN has a shell form, an exec form and scripts") {
  const auto argv = [](std::vector<std::string> lines) {
    return planned(std::move(lines)).result().steps.back().run.argv;
  };
  CHECK(argv({"FROM base", "RUN echo $HOME"}) ==
        std::vector<std::string>{"/bin/sh", "-c", "echo $HOME"});
  CHECK(argv({"FROM base", "RUN [\"a\", \"$B\"]"}) == std::vector<std::string>{"a", "$B"});
  CHECK(argv({"FROM base", "SHELL [\"/bin/bash\", \"-c\"]", "RUN x"}) ==
        std::vector<std::string>{"/bin/bash", "-c", "x"});
  CHECK(argv({"FROM base", "RUN <<EOF", "one", "two", "EOF"}) ==
        std::vector<std::string>{"/bin/sh", "-c", "one\ntwo\n"});
  CHECK(argv({"FROM base", "RUN python3 <<EOF", "print(1)", "EOF"}) ==
        std::vector<std::string>{"/bin/sh", "-c", "python3 <<EOF\nprint(1)\nEOF\n"});
  const Plan script = planned({"FROM base", "RUN <<EOF", "#!/usr/bin/python3", "print(1)", "EOF"});
  CHECK(script.result().steps.back().run.script == "#!/usr/bin/python3\nprint(1)\n");
}

TEST_CASE("ENTRYPOINT drops the base's CMD, but not one of its own recipe") {
  CHECK(planned({"FROM base", "ENTRYPOINT [\"a\"]"}).result().config().cmd.empty());
  CHECK(planned({"FROM base", "CMD [\"b\"]", "ENTRYPOINT [\"a\"]"}).result().config().cmd ==
        std::vector<std::string>{"b"});
  CHECK(planned({"FROM base", "ENTRYPOINT []"}).result().config().entrypoint.empty());
}

TEST_CASE("STOPSIGNAL is kept as a number, and inherited") {
  const auto signal = [](const std::string& text) {
    return planned({"FROM base", "ARG S=SIGQUIT", "STOPSIGNAL " + text})
        .result()
        .config()
        .stop_signal;
  };
  CHECK(planned({"FROM base", "RUN a"}).result().config().stop_signal == 0);
  CHECK(signal("SIGINT") == 2);
  CHECK(signal("quit") == 3);
  CHECK(signal("15") == 15);
  CHECK(signal("$S") == 3);
  CHECK(signal("SIGRTMIN+3") == 37);
  CHECK(signal("RTMAX-1") == 63);
  CHECK(signal("SIGWINCH") == 28);
  for (const char* none : {"SIGNONE", "0", "65", "-1", "9x", "SIGRTMIN-1", "SIGRTMAX+1",
                           "SIGRTMIN+40", "SIG", "RTMINUS"}) {
    CAPTURE(none);
    CHECK(refused({"FROM base", std::string("STOPSIGNAL ") + none}).find("is no signal") !=
          std::string::npos);
  }
}

TEST_CASE("WORKDIR is relative to the one before") {
  CHECK(planned({"FROM base", "WORKDIR /a", "WORKDIR b/../c", "WORKDIR ./d/"})
            .result()
            .config()
            .workdir == "/a/c/d");
}

TEST_CASE("COPY finds files, folders, everything and wildcards of the context") {
  const CopyStep file = copy_of(planned(with_context({"FROM base", "COPY setup.py /x"})));
  REQUIRE(file.items.size() == 1);
  CHECK(file.items[0].kind == CopyItem::Kind::file);
  CHECK(file.items[0].name == "setup.py");
  CHECK(file.destination == "/x");

  const CopyStep folder = copy_of(planned(with_context({"FROM base", "COPY ./app/. /x"})));
  REQUIRE(folder.items.size() == 1);
  CHECK(folder.items[0].kind == CopyItem::Kind::folder);
  REQUIRE(folder.items[0].entries.size() == 3);
  CHECK(folder.items[0].entries[0].path == "data/x.txt");
  CHECK(folder.items[0].entries[0].mode == 0600);

  const CopyStep all = copy_of(planned(with_context({"FROM base", "WORKDIR /w", "COPY . ."})));
  CHECK(all.items[0].entries.size() == 4);
  CHECK(all.destination == "/w/");

  const CopyStep wild = copy_of(planned(with_context({"FROM base", "COPY app/data/*.t?t /x/"})));
  REQUIRE(wild.items.size() == 1);
  CHECK(wild.items[0].name == "x.txt");

  const CopyStep given =
      copy_of(planned(with_context({"FROM base", "COPY /requirements.txt /r.txt"})));
  CHECK(given.items[0].entries[0].bytes == "aiohttp\n");
}

TEST_CASE("an empty context may be copied as a whole") {
  const CopyStep copy = copy_of(planned({"FROM base", "COPY . /x"}));
  REQUIRE(copy.items.size() == 1);
  CHECK(copy.items[0].entries.empty());
}

TEST_CASE("COPY takes heredocs as files") {
  const CopyStep copy = copy_of(planned(
      {"FROM base", "ENV A=1", "COPY <<one.txt <<'two' /x/", "it's $A", "one.txt", "$A", "two"}));
  REQUIRE(copy.items.size() == 2);
  CHECK(copy.items[0].name == "one.txt");
  CHECK(copy.items[0].entries[0].bytes == "it's 1\n");
  CHECK(copy.items[1].entries[0].bytes == "$A\n");
}

TEST_CASE("COPY --from names an earlier stage, or a base") {
  const Plan plan =
      planned({"FROM base AS build", "RUN make", "FROM other", "COPY --from=build /a /b",
               "COPY --from=0 /c /d", "COPY --from=tool /uv /.uv/uv"});
  REQUIRE(plan.stages.size() == 2);
  CHECK(plan.result().steps[0].copy.from_stage == 0);
  CHECK(plan.result().steps[1].copy.from_stage == 0);
  CHECK(plan.result().steps[2].copy.from_reference == "tool");
  CHECK(plan.result().steps[2].copy.patterns == std::vector<std::string>{"/uv"});
  CHECK(key_of({"FROM base AS b", "RUN x", "FROM o", "COPY --from=b /a /b"}) !=
        key_of({"FROM base AS b", "RUN y", "FROM o", "COPY --from=b /a /b"}));
}

TEST_CASE("stages that the last one does not need are left out, even if their base is unknown") {
  const Plan plan = planned({"FROM missing AS unused", "RUN x", "FROM base AS a", "FROM a"});
  REQUIRE(plan.stages.size() == 2);
  CHECK(plan.result().base_stage == 0);
  CHECK(plan.result().key() == "key-of-base");
}

TEST_CASE("errors name the line and what to do") {
  CHECK(refused({"RUN x"}).find("line 1: the recipe must begin with FROM") == 0);
  CHECK(refused({"FROM missing"}).find("line 1: no base image") == 0);
  CHECK(refused(recipe_of({"FROM missing"})).code() == Code::not_found);
  CHECK(refused({"FROM a b"}).find("line 1: write FROM image") == 0);
  CHECK(refused({"FROM ${NO}"}).find("is empty") != std::string::npos);
  CHECK(refused({"FROM base", "COPY nothing /x"}).find("line 2: COPY: \"nothing\" is not in") == 0);
  CHECK(refused({"FROM base", "COPY a"}).find("needs a source and a destination") !=
        std::string::npos);
  CHECK(refused(with_context({"FROM base", "COPY app setup.py /x"})).message().find("/x/") !=
        std::string::npos);
  CHECK(refused({"FROM base", "RUN --mount=type=ssh cat"}).find("type=ssh is not supported") !=
        std::string::npos);
  CHECK(refused({"FROM base", "RUN --mount=type=cache x"}).find("target=") != std::string::npos);
  CHECK(refused({"FROM base", "RUN --mount=type=bind,target=/ x"}).find("target=") !=
        std::string::npos);
  CHECK(refused({"FROM base", "RUN --mount=type=secret x"}).find("id=NAME") != std::string::npos);
  CHECK(refused({"FROM base", "RUN --mount=source=nothing,target=/x x"}).find("not in the build") !=
        std::string::npos);
  CHECK(refused({"FROM base", "RUN --mount=from=missing,target=/x x"}).find("from=missing") !=
        std::string::npos);
  CHECK(refused({"FROM base", "RUN --security=insecure x"}).find("--security") !=
        std::string::npos);
  CHECK(refused({"FROM base", "ADD https://host/x /x"}).find("RUN a download") !=
        std::string::npos);
  CHECK(refused({"FROM base", "ADD x.tar.gz /x"}).find("only what COPY names") !=
        std::string::npos);
  CHECK(refused({"FROM base", "SHELL bash"}).find("exec form") != std::string::npos);
  CHECK(refused({"FROM base", "ENV A"}).find("ENV NAME=value") != std::string::npos);
  CHECK(refused({"FROM base", "ENV A=1 b"}).find("\"b\" has no =") != std::string::npos);
  CHECK(refused({"FROM base", "COPY --chmod=rwx a b"}).find("octal") != std::string::npos);
  CHECK(refused({"FROM base", "RUN []"}).find("no program") != std::string::npos);
}

TEST_CASE("mounts of a step are part of what it means") {
  const auto mounts = [](const std::string& options, Recipe recipe = recipe_of({})) {
    recipe.dockerfile = {"FROM base", "WORKDIR /w", "RUN " + options + " x"};
    auto plan = make_plan(recipe, lookup);
    REQUIRE_MESSAGE(plan, options);
    return plan->result().steps.back();
  };
  const Step plain = mounts("");
  const Step cache = mounts("--mount=type=cache,id=pip,sharing=locked,target=/root/.cache");
  REQUIRE(cache.run.mounts.size() == 1);
  CHECK(cache.run.mounts[0].kind == RunMount::Kind::scratch);
  CHECK(cache.run.mounts[0].target == "/root/.cache");
  CHECK(cache.run.mounts[0].access == RunMount::Access::read_write);
  CHECK(cache.key != plain.key);
  CHECK(mounts("--mount=type=tmpfs,dst=t").run.mounts[0].target == "/w/t");
  const Step secret = mounts("--mount=type=secret,id=TOKEN,required=true");
  CHECK(secret.run.mounts[0].target == "/run/secrets/TOKEN");
  CHECK(secret.run.mounts[0].missing == RunMount::Missing::error);
  CHECK(mounts("--mount=type=secret,id=TOKEN,env=T").run.mounts[0].target.empty());

  Recipe recipe = recipe_of({});
  recipe.context = {{"/app/a.py", {std::string(64, 'a'), 0644}}};
  const Step bound = mounts("--mount=target=/src,source=app,rw", recipe);
  CHECK(bound.run.mounts[0].access == RunMount::Access::read_write);
  CHECK(bound.run.mounts[0].items.size() == 1);
  recipe.context["/app/a.py"].sha256_hex = std::string(64, 'b');
  CHECK(mounts("--mount=target=/src,source=app,rw", recipe).key != bound.key);
}

TEST_CASE("a stage that only a mount reads is built before") {
  const Plan plan =
      planned({"FROM base AS made", "RUN make", "FROM base AS unused", "RUN no", "FROM base",
               "RUN --mount=type=bind,from=made,source=/out,target=/in x"});
  REQUIRE(plan.stages.size() == 2);
  const RunMount& mount = plan.result().steps[0].run.mounts.at(0);
  CHECK(mount.from_stage == 0);
  CHECK(mount.source == "/out");
}

TEST_CASE("ADD is not COPY: what is an archive is unpacked") {
  Recipe recipe = recipe_of({"FROM base", "ADD a.tar.gz /x"});
  recipe.context = {{"/a.tar.gz", {std::string(64, 'a'), 0644}}};
  const auto added = make_plan(recipe, lookup);
  recipe.dockerfile = {"FROM base", "COPY a.tar.gz /x"};
  const auto copied = make_plan(recipe, lookup);
  REQUIRE(added);
  REQUIRE(copied);
  CHECK(added->result().steps[0].copy.archives == CopyStep::Archives::unpacked);
  CHECK(copied->result().steps[0].copy.archives == CopyStep::Archives::stay);
  CHECK(added->result().key() != copied->result().key());
}

TEST_CASE("an environment that doubles itself is stopped") {
  std::vector<std::string> lines = {"FROM base", "ENV A=xxxxxxxxxxxxxxxx"};
  for (int i = 0; i < 40; ++i) {
    lines.emplace_back("ENV A=$A$A");
  }
  CHECK(refused(lines).find("1 MiB") != std::string::npos);
}

TEST_CASE("a short recipe that would fill the memory is refused before it does") {
  // 512 KiB in twenty lines; each of the recipes is smaller than most.
  std::vector<std::string> large = {"FROM base", "ENV A=x"};
  for (int i = 0; i < 19; ++i) {
    large.push_back("ENV A=$A$A");
  }
  const auto with = [&](std::size_t count, const std::string& line, const std::string& first = "") {
    std::vector<std::string> lines = large;
    if (first.empty()) {
      lines.insert(lines.end(), count, line);
      return recipe_of(lines);
    }
    lines.push_back(first);
    for (std::size_t i = 0; i < count; ++i) {
      lines.back() += " " + line;
    }
    return recipe_of(lines);
  };
  for (const Recipe& bomb :
       {with(200, "LABEL a=b"), with(20, "WORKDIR $A"), with(200, "B=$A", "ENV"),
        with(200, "B=$A", "ARG"), with(200, "$A", "COPY"), with(200, "USER $A"),
        with(200, "B=${A:+}", "ENV")}) {
    const Error error = refused(bomb);
    CAPTURE(error.message());
    CHECK(error.code() == Code::resource_exhausted);
    CHECK(error.message().size() < 1100);
  }
  CHECK(make_plan(with(5, "LABEL a=b"), lookup));
  std::vector<std::string> stages = large;
  stages.front() = "FROM base AS s0";
  for (int i = 0; i < 200; ++i) {
    stages.push_back("FROM s" + std::to_string(i) + " AS s" + std::to_string(i + 1));
  }
  CHECK(refused(recipe_of(stages)).code() == Code::resource_exhausted);
  std::vector<std::string> before_from = {"ARG A=x"};
  for (int i = 0; i < 19; ++i) {
    before_from.push_back("ARG A=$A$A");
  }
  for (int i = 0; i < 200; ++i) {
    before_from.push_back("ARG B" + std::to_string(i) + "=$A");
  }
  before_from.push_back("FROM base");
  CHECK(refused(recipe_of(before_from)).code() == Code::resource_exhausted);
}

TEST_CASE("a recipe that would take hours to plan is refused before it does") {
  std::string many = "ENV";
  for (int i = 0; i < 60'000; ++i) {
    many += " a" + std::to_string(i) + "=1";
  }
  CHECK(refused(recipe_of({"FROM base", many})).code() == Code::resource_exhausted);
  Recipe wild = recipe_of({"FROM base", "COPY *[" + std::string(4'000, 'a') + "]b /d/"});
  for (int i = 0; i < 5'000; ++i) {
    wild.context["/" + std::string(100, 'a') + std::to_string(i)] = {"aa", 0644};
  }
  CHECK(refused(wild).code() == Code::resource_exhausted);
  CHECK(refused({"FROM base", "COPY " + std::string(5'000, 'x') + " /d"}).find("at most 4096") !=
        std::string::npos);
}

TEST_CASE("an error says no more than a thousand bytes of a recipe") {
  CHECK(refused({"FROM base", "ENV " + std::string(100'000, 'x')}).size() < 1'100);
  CHECK(refused({"FROM base", "ENV A=1 " + std::string(100'000, 'x')}).size() < 1'100);
}

TEST_CASE("paths are normal and wildcards match as in Go") {
  CHECK(normal_path("a//b/../c/./") == "/a/c");
  CHECK(normal_path("/../../etc") == "/etc");
  CHECK(normal_path("") == "/");
  CHECK(matches("/a/*", "/a/b"));
  CHECK(!matches("/a/*", "/a/b/c"));
  CHECK(matches("/[a-c]?/x*y", "/b1/x--y"));
  CHECK(!matches("/[^a-c]", "/b"));
  CHECK(matches("/\\*", "/*"));
  CHECK(!matches("/[a", "/a"));
  CHECK(!matches("/" + std::string(60, '*') + "b", "/" + std::string(5000, 'a')));
}

TEST_CASE("ONBUILD runs first in the stage that is FROM it, and only there") {
  const Plan plan = planned({"FROM debian AS p", "ONBUILD RUN echo one > /ob", "ONBUILD ENV A=b",
                             "RUN here", "FROM p", "RUN cat /ob", "FROM p AS other"});
  const Stage& last = plan.result();
  REQUIRE(last.steps.size() == 2);
  CHECK(last.steps[0].run.argv.back() == "echo one > /ob");
  CHECK(env_value(last.config().env, "A") == "b");
  CHECK(last.config().onbuild.empty());
  CHECK(plan.stages[0].config().onbuild.size() == 2);

  const Plan middle = planned({"FROM debian AS p", "ONBUILD RUN echo one > /ob", "FROM p AS q",
                               "RUN x", "FROM q", "RUN y"});
  REQUIRE(middle.stages.size() == 3);
  CHECK(middle.stages[1].steps.size() == 2);
  CHECK(middle.stages[2].steps.size() == 1);
  CHECK(planned({"FROM debian AS p", "ONBUILD RUN a", "FROM p"}).result().key() !=
        planned({"FROM debian AS p", "ONBUILD RUN b", "FROM p"}).result().key());
}

TEST_CASE("what ONBUILD cannot be is refused") {
  for (const char* line :
       {"ONBUILD ONBUILD RUN x", "ONBUILD FROM debian", "ONBUILD NONSENSE", "ONBUILD RUN <<EOF"}) {
    CAPTURE(line);
    CHECK(refused(recipe_of({"FROM debian", line})).message().find("line 2: ") == 0);
  }
  CHECK(refused(recipe_of({"FROM debian AS s", "RUN x", "FROM debian AS p",
                           "ONBUILD COPY --from=s /a /b", "FROM p"}))
            .message()
            .find("not built") != std::string::npos);
}

TEST_CASE("a byte order mark before the first line means nothing") {
  CHECK(planned({"\xEF\xBB\xBF# words", "FROM debian", "RUN x"}).result().key() ==
        planned({"FROM debian", "RUN x"}).result().key());
}
