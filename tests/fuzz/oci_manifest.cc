// SPDX-License-Identifier: Apache-2.0
//
// What is pushed to the own registry and how it is asked for: any bytes are a value within its
// bounds, or an error that says why.
#include "thaw/codec/oci_manifest.h"

#include <string>

#include "tests/fuzz/target.h"
#include "thaw/dialect/registry/byte_range.h"
#include "thaw/dialect/registry/pages.h"
#include "thaw/dialect/registry/routes.h"
#include "thaw/dialect/registry/token_scopes.h"
#include "thaw/image/image_name.h"

namespace thaw::fuzz {

using namespace thaw::dialect::registry;

namespace {

void check_manifest(std::string_view input) {
  const auto facts = codec::read_oci_manifest(input, "");
  if (!facts) {
    expect_sentence(facts.error());
    return;
  }
  expect(!facts->media_type.empty(), "a manifest has a type");
  expect(facts->blobs.size() <= 2'001 && facts->children.size() <= 2'000, "names are bounded");
  for (const auto* list : {&facts->blobs, &facts->children}) {
    for (const auto& named : *list) {
      expect(codec::sha256_of_digest("sha256:" + named.sha256_hex).has_value(),
             "what it names has a digest");
    }
  }
}

void check_route(std::string_view input) {
  const auto route = read_route("/v2/" + std::string(input));
  if (!route) {
    expect_sentence(route.error());
    return;
  }
  using Kind = Route::Kind;
  const bool has_none =
      route->kind == Kind::base || route->kind == Kind::token || route->kind == Kind::catalog;
  expect(has_none == route->repository.empty(), "a route has a repository");
  expect(has_none || image::is_repository_path(route->repository), "which has a name");
}

void check_ranges(std::string_view input) {
  constexpr std::uint64_t size = 1'000;
  const AskedRange asked = read_range(input, size);
  expect(
      asked.what != AskedRange::What::part || (asked.range.count > 0 && asked.range.first < size &&
                                               asked.range.count <= size - asked.range.first),
      "a part is a part of it");
  if (const auto sent = read_content_range(input)) {
    expect(sent->count > 0, "a piece has bytes");
  }
  if (const auto page = read_page(input, 10)) {
    expect(page->count <= 10, "a page is bounded");
  }
}

void check_scopes(std::string_view input) {
  const auto scopes = scopes_of_query(input);
  expect(scopes.size() <= 64, "scopes are bounded");
  for (const TokenScope& scope : scopes) {
    const auto again = read_scopes(write_scope(scope));
    expect(again.size() == 1 && again[0].repository == scope.repository &&
               again[0].actions.covers(scope.actions) && scope.actions.covers(again[0].actions),
           "a scope is the same when it is written anew");
  }
}

}  // namespace

void run(std::string_view input) {
  check_manifest(input);
  check_route(input);
  check_ranges(input);
  check_scopes(input);
}

}  // namespace thaw::fuzz
