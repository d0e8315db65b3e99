// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/unused_images.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::policy;

namespace {

const WallTime now = WallTime{} + std::chrono::hours(24 * 365);
const UnusedImageRules rules{.keep_untagged = std::chrono::hours(100),
                             .untagged_bytes = 1'000,
                             .young = std::chrono::hours(10)};

struct Maker {
  RepositoryView view;

  void blob(const std::string& digest, std::uint64_t size, int hours_ago = 50) {
    model::RepositoryBlob made;
    made.sha256_hex = digest;
    made.size = size;
    made.linked_at = now - std::chrono::hours(hours_ago);
    view.blobs.push_back(std::make_shared<const model::RepositoryBlob>(made));
  }
  void manifest(const std::string& digest, int hours_ago, bool is_tagged,
                std::vector<std::string> blobs, std::vector<std::string> children = {},
                const std::string& subject = "") {
    model::RepositoryManifest made;
    made.sha256_hex = digest;
    made.blobs = std::move(blobs);
    made.children = std::move(children);
    made.subject = subject;
    made.pushed_at = made.used_at = now - std::chrono::hours(hours_ago);
    view.manifests.push_back({std::make_shared<const model::RepositoryManifest>(made), is_tagged});
  }
  std::string gone() const {
    const UnusedImages unused = find_unused_images(view, rules, now);
    std::string text;
    for (const auto& manifest : unused.manifests) {
      text += manifest->sha256_hex + " ";
    }
    text += "|";
    for (const auto& blob : unused.blobs) {
      text += " " + blob->sha256_hex;
    }
    return text;
  }
};

}  // namespace

TEST_CASE("a tag holds its manifest, its index's manifests, and what is about them") {
  Maker m;
  m.blob("layer", 5);
  m.blob("sbom", 5);
  m.manifest("index", 500, true, {}, {"image"});
  m.manifest("image", 500, false, {"layer"});
  m.manifest("about", 500, false, {"sbom"}, {}, "image");
  CHECK(m.gone() == "|");
}

TEST_CASE("without a tag a manifest goes with its blobs once nobody has asked for it for long") {
  Maker m;
  m.blob("old", 5);
  m.blob("shared", 5);
  m.blob("new", 5);
  m.manifest("past", 101, false, {"old", "shared"});
  m.manifest("recent", 99, false, {"new", "shared"});
  CHECK(m.gone() == "past | old");
}

TEST_CASE("of too much without a tag what was asked for last stays") {
  Maker m;
  m.blob("a", 600);
  m.blob("b", 600);
  m.blob("c", 300);
  m.manifest("first", 30, false, {"a"});
  m.manifest("second", 20, false, {"b"});
  m.manifest("third", 25, false, {"c"});
  CHECK(m.gone() == "first | a");
  m.manifest("tagged", 500, true, {"b"});  // which then costs the others nothing
  CHECK(m.gone() == "|");
}

TEST_CASE("nothing young goes, however much there is") {
  Maker m;
  m.blob("big", 5'000, 9);
  m.blob("loose", 5'000, 9);
  m.manifest("pushed", 9, false, {"big"});
  CHECK(m.gone() == "|");
}

TEST_CASE("a blob whose manifest never came goes") {
  Maker m;
  m.blob("left", 5, 11);
  CHECK(m.gone() == "| left");
}

TEST_CASE("manifests that name each other in a circle are all gone, or all held") {
  Maker m;
  m.manifest("one", 200, false, {}, {"two"});
  m.manifest("two", 200, false, {}, {"one"});
  CHECK(find_unused_images(m.view, rules, now).manifests.size() == 2);
  m.manifest("top", 200, true, {}, {"one"});
  CHECK(find_unused_images(m.view, rules, now).manifests.empty());
}

TEST_CASE("an index that is asked for holds what it names and what is about it, tag or not") {
  Maker m;
  m.blob("layer", 5);
  m.blob("sbom", 5);
  m.manifest("index", 99, false, {}, {"here", "elsewhere"});
  m.manifest("here", 99, false, {"layer"});
  m.manifest("elsewhere", 500, false, {"layer"});  // of a platform that nobody pulls
  m.manifest("about", 500, false, {"sbom"}, {}, "elsewhere");
  CHECK(m.gone() == "|");
}

TEST_CASE("an index is in use while anybody asks for one of its manifests by itself") {
  Maker m;
  m.manifest("index", 500, false, {}, {"image"});
  m.manifest("image", 99, false, {});
  m.manifest("other", 500, false, {});
  CHECK(m.gone() == "other |");
}

TEST_CASE("of an index that is too much all goes, and of one that another one shares the rest") {
  Maker m;
  m.blob("a", 600);
  m.blob("b", 600);
  m.manifest("new", 20, false, {}, {"x"});
  m.manifest("old", 30, false, {}, {"x", "y"});
  m.manifest("x", 500, false, {"a"});
  m.manifest("y", 500, false, {"b"});
  CHECK(m.gone() == "old y | b");
}

TEST_CASE("what goes first is who names others, then what those are about") {
  Maker m;
  m.manifest("about", 200, false, {}, {}, "image");
  m.manifest("image", 200, false, {});
  m.manifest("index", 300, false, {}, {"image"});
  m.manifest("top", 400, false, {}, {"index"});
  CHECK(m.gone() == "top index image about |");
}

TEST_CASE("an index about what it names goes before that") {
  Maker m;
  m.manifest("image", 200, false, {});
  m.manifest("index", 200, false, {}, {"between"}, "image");
  m.manifest("between", 200, false, {}, {"image"});
  CHECK(m.gone() == "index between image |");
}
