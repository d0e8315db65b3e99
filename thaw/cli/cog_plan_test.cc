// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/cog_plan.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::cli;

namespace {

const std::vector<std::string> paths = {"/cog.yaml", "/predict.py", "/requirements.txt"};

CogFile file() {
  CogFile file;
  file.predictor = "predict.py:Predictor";
  return file;
}

std::string plan(const CogFile& file, std::string_view requirements = "") {
  const auto text = cog_dockerfile(file, paths, requirements);
  REQUIRE_MESSAGE(text, (text ? std::string() : text.error().to_string()));
  return *text;
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a predictor alone is served by the usual cog package on the usual Python") {
  const std::string text = plan(file());
  CHECK(text.starts_with("FROM python:3.13-slim\n"));
  CHECK(has(text, "\ncog>=0.23.1,<0.24\n"));
  CHECK(has(text, "ENV COG_PREDICT_TYPE_STUB=\"predict.py:Predictor\"\n"));
  CHECK(has(text, "CMD [\"python\", \"-m\", \"cog.server.http\"]\n"));
  CHECK_FALSE(has(text, "apt-get"));
  CHECK_FALSE(has(text, "COG_MAX_CONCURRENCY"));
  // What changes often comes last, so that the packages stay as they are.
  CHECK(text.find("pip install") < text.find("COPY . /src"));
  CHECK(text.find("COPY . /src") < text.find("RUN [\"python\", \"-B\""));
}

TEST_CASE("what the folder asks for is done in the order in which it may need each other") {
  CogFile all = file();
  all.python_version = "3.11";
  all.python_requirements = "./requirements.txt";
  all.system_packages = {"ffmpeg", "jq"};
  all.run = {"echo one \\", "echo $TWO"};
  all.environment = {{"TWO", "a \"b\" $C \\"}};
  all.concurrency = 4;
  all.trainer = "train.py:train";
  const std::string text = plan(all, "numpy\n");
  CHECK(text.starts_with("FROM python:3.11-slim\n"));
  CHECK(has(text, "ENV TWO=\"a \\\"b\\\" \\$C \\\\\"\n"));
  CHECK(has(text, "--no-install-recommends 'ffmpeg' 'jq' && "));
  CHECK(has(text, "COPY [\"requirements.txt\","));
  CHECK(has(text, "RUN <<'THAW_COG_END'\necho one \\\nTHAW_COG_END\n"));
  CHECK(has(text, "RUN <<'THAW_COG_END'\necho $TWO\nTHAW_COG_END\n"));
  CHECK(has(text, "ENV COG_MAX_CONCURRENCY=\"4\"\n"));
  CHECK(has(text, "ENV COG_TRAIN_TYPE_STUB=\"train.py:train\"\n"));
  CHECK(text.find("ENV TWO") < text.find("apt-get"));
  CHECK(text.find("apt-get") < text.find("pip install"));
  CHECK(text.find("pip install") < text.find("echo one"));
}

TEST_CASE("the cog package is the one that the folder asks for") {
  for (const char* line : {"cog==0.22.0", "Cog >= 1", "cog[all]", "  cog", "cog"}) {
    CAPTURE(line);
    CogFile one = file();
    one.python_packages = {"numpy", line};
    CHECK_FALSE(has(plan(one), "cog>=0.23.1"));
    one.python_packages.clear();
    one.python_requirements = "requirements.txt";
    CHECK_FALSE(has(plan(one, "numpy\n" + std::string(line) + "\n"), "cog>=0.23.1"));
  }
  for (const char* line : {"cogwheel", "cog-tools==1", "# cog", "mycog"}) {
    CAPTURE(line);
    CogFile one = file();
    one.python_packages = {line};
    CHECK(has(plan(one), "cog>=0.23.1,<0.24"));
  }
  CogFile said = file();
  said.cog_version = "0.22.0";
  CHECK(has(plan(said), "\ncog==0.22.0\n"));
}

TEST_CASE("a file that is named and not sent is an error before anything is built") {
  const auto refused = [](const CogFile& file) {
    const auto text = cog_dockerfile(file, paths, "");
    return text ? "taken" : text.error().message();
  };
  CogFile one = file();
  for (const char* path : {"other.py:P", "../predict.py:P", "/predict.py:P", "/etc/x.py:P"}) {
    CAPTURE(path);
    one.predictor = path;
    CHECK(refused(one).starts_with("cog.yaml: predict names "));
  }
  one = file();
  one.python_requirements = "../requirements.txt";
  CHECK(refused(one).starts_with("cog.yaml: build.python_requirements names "));
  one = file();
  one.run = {"THAW_COG_END"};
  CHECK(refused(one).find("THAW_COG_END") != std::string::npos);
}

TEST_CASE("a model is called as it is said, or as cog.yaml or the folder says") {
  const auto name = [](const std::string& given, const std::string& image = "") {
    CogFile one = file();
    one.image = image;
    const auto read = cog_model_name(given, one, "My Folder");
    return read ? read->owner + "|" + read->name + "|" + read->tag : read.error().message();
  };
  CHECK(name("hello") == "|hello|");
  CHECK(name("ada/Hello_1.2:v3") == "ada|Hello_1.2|v3");
  CHECK(name("hello:latest") == "|hello|");
  CHECK(name("", "r8.im/ada/hello:v1") == "ada|hello|v1");
  CHECK(name("", "localhost:5000/ada/hello") == "ada|hello|");
  CHECK(name("hello", "r8.im/ada/other") == "|hello|");
  CHECK(name("") == "|my-folder|");
  for (const char* given : {"a/b/c", "/b", "a/", "a:"}) {
    CAPTURE(given);
    CHECK(name(given).find('|') == std::string::npos);
  }
}
