// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/sources.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::worker;
namespace fs = std::filesystem;

namespace {

struct Machine {
  Machine() {
    fs::create_directories(folder / "layers/one");
    sources.add("layer", below(folder / "layers"));
  }
  store::TempFolder folder;
  Sources sources;
};

}  // namespace

TEST_CASE("a source is found by its kind and its name") {
  Machine it;
  CHECK(it.sources.folder_of("layer:one").value_or("") == it.folder / "layers/one");
  CHECK(it.sources.folder_of("layer:a:b").value_or("") == it.folder / "layers/a:b");
  const auto both = it.sources.folders_of({"layer:one", "layer:two"});
  REQUIRE(both);
  CHECK(both->size() == 2);
}

TEST_CASE("what names nothing, or a folder elsewhere, is refused") {
  Machine it;
  for (const char* source :
       {"", "one", "layer", "other:one", "layer:", "layer:..", "layer:/etc", "layer:../x",
        "layer:a/../../x", "layer:.", "layer:a//b", "layer:a/./b"}) {
    CAPTURE(source);
    const auto found = it.sources.folder_of(source);
    REQUIRE_FALSE(found);
    CHECK(found.error().code() == Code::invalid_argument);
  }
  CHECK_FALSE(it.sources.folders_of({"layer:one", "other:one"}));
}

TEST_CASE("a folder that was made anew under its name is another one") {
  Machine it;
  const std::string before = it.sources.identity_of({"layer:one"});
  CHECK(it.sources.identity_of({"layer:one"}) == before);
  fs::rename(it.folder / "layers/one", it.folder / "layers/old");
  const std::string gone = it.sources.identity_of({"layer:one"});
  CHECK(gone != before);
  fs::create_directories(it.folder / "layers/one");
  const std::string anew = it.sources.identity_of({"layer:one"});
  CHECK(anew != before);
  CHECK(anew != gone);
}
