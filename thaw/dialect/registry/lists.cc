// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/lists.h"

#include <algorithm>
#include <cctype>

#include "thaw/catalog/repositories.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/codec/oci_manifest.h"
#include "thaw/dialect/registry/pages.h"
#include "thaw/dialect/registry/refusal.h"

namespace thaw::dialect::registry {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_names = 10'000;
constexpr std::size_t most_referrers = 500;
constexpr std::size_t most_answer_bytes = 4u << 20;  // which is what clients read of one

bool is_get(const net::HttpExchange& exchange) {
  return exchange.request().method == "GET" || exchange.request().method == "HEAD";
}

Task<void> refuse_method(net::HttpExchange& exchange) {
  co_return co_await refuse(exchange, {405, "UNSUPPORTED", "lists are read by GET"});
}

Task<void> answer(net::HttpExchange& exchange, Json json, std::string type, net::Headers headers) {
  headers.add("docker-distribution-api-version", "registry/2.0");
  headers.add("content-type", std::move(type));
  std::string body = codec::dump_json(json);
  headers.add("content-length", std::to_string(body.size()));
  if (exchange.request().method == "HEAD") {
    body.clear();
  }
  co_return co_await exchange.respond_whole(200, std::move(headers), std::move(body));
}

// `names` has one more than the page if others come behind.
net::Headers cut(const net::HttpExchange& exchange, const Page& page,
                 std::vector<std::string>& names) {
  net::Headers headers;
  if (names.size() > page.count) {
    names.resize(page.count);
    if (!names.empty()) {
      headers.add("link", link_to_next(exchange.request().path(), page, names.back(), ""));
    }
  }
  return headers;
}

Refusal bad_page(const Context& cx, const Error& error) {
  return refusal_of(cx, error, "PAGINATION_NUMBER_INVALID");
}

Json descriptor_of(const model::RepositoryManifest& manifest) {
  Json descriptor = {{"mediaType", manifest.media_type},
                     {"digest", "sha256:" + manifest.sha256_hex},
                     {"size", manifest.size}};
  if (!manifest.artifact_type.empty()) {
    descriptor["artifactType"] = manifest.artifact_type;
  }
  if (!manifest.annotations.empty()) {
    descriptor["annotations"] = manifest.annotations;
  }
  return descriptor;
}

// As it may stand in a query, and in a header.
std::string escaped(const std::string& text) {
  std::string made;
  for (const char c : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' ||
                          c == '-' || c == '_' || c == '/';
    made += is_plain ? std::string(1, c) : "%" + codec::hex_encode(std::string_view(&c, 1));
  }
  return made;
}

std::size_t bytes_of(const model::RepositoryManifest& manifest) {
  constexpr std::size_t bytes_of_rest = 400;
  std::size_t bytes = bytes_of_rest;
  for (const auto& [name, value] : manifest.annotations) {
    bytes += name.size() + value.size();
  }
  return bytes;
}

}  // namespace

Task<void> serve_catalog(const Context& cx, Asker asker, Route /*route*/,
                         net::HttpExchange& exchange) {
  const auto page = read_page(exchange.request().query(), most_names);
  if (!is_get(exchange)) {
    co_return co_await refuse_method(exchange);
  }
  if (!page) {
    co_return co_await refuse(exchange, bad_page(cx, page.error()));
  }
  const bool is_told_all = asker.may("", {.pull = true});
  std::vector<std::string> names;
  for (std::string& name : cx.owners.registry.repositories().names(asker.workspace())) {
    const bool is_told = is_told_all || asker.may(name, {.pull = true});
    if (name > page->after && names.size() <= page->count && is_told) {
      names.push_back(std::move(name));
    }
  }
  net::Headers headers = cut(exchange, *page, names);
  co_return co_await answer(exchange, {{"repositories", std::move(names)}}, "application/json",
                            std::move(headers));
}

Task<void> serve_tags(const Context& cx, Asker asker, Route route, net::HttpExchange& exchange) {
  const auto page = read_page(exchange.request().query(), most_names);
  if (!is_get(exchange)) {
    co_return co_await refuse_method(exchange);
  }
  if (!page) {
    co_return co_await refuse(exchange, bad_page(cx, page.error()));
  }
  catalog::Repositories& repositories = cx.owners.registry.repositories();
  const auto repository = repositories.find(asker.workspace(), route.repository);
  if (!repository) {
    co_return co_await refuse(exchange,
                              {404, "NAME_UNKNOWN", "there is no repository " + route.repository});
  }
  auto tags = repositories.tags(repository->id, page->after, page->count + 1);
  net::Headers headers = cut(exchange, *page, tags);
  co_return co_await answer(exchange, {{"name", route.repository}, {"tags", std::move(tags)}},
                            "application/json", std::move(headers));
}

Task<void> serve_referrers(const Context& cx, Asker asker, Route route,
                           net::HttpExchange& exchange) {
  const std::string query(exchange.request().query());
  const auto page = read_page(query, most_referrers);
  const auto hex = codec::sha256_of_digest(route.reference);
  if (!is_get(exchange)) {
    co_return co_await refuse_method(exchange);
  }
  if (!page || !hex) {
    co_return co_await refuse(
        exchange,
        page ? Refusal{400, "DIGEST_INVALID", "a digest is sha256: and 64 digits of lower-case hex"}
             : bad_page(cx, page.error()));
  }
  // Of what is not there nothing is said, which is no error.
  catalog::Repositories& repositories = cx.owners.registry.repositories();
  const auto repository = repositories.find(asker.workspace(), route.repository);
  const std::string wanted = codec::query_value(query, "artifactType");
  const auto after = codec::sha256_of_digest(page->after).value_or("");
  Json manifests = Json::array();
  net::Headers headers;
  std::string last;
  std::size_t bytes = 0;
  for (const auto& manifest : repository ? repositories.referrers(repository->id, *hex)
                                         : std::vector<catalog::Repositories::Manifest>()) {
    if (manifest->sha256_hex <= after || (!wanted.empty() && manifest->artifact_type != wanted)) {
      continue;
    }
    bytes += bytes_of(*manifest);
    if (manifests.size() == page->count || (bytes > most_answer_bytes && !manifests.empty())) {
      const std::string filter = wanted.empty() ? "" : "&artifactType=" + escaped(wanted);
      headers.add("link", link_to_next(exchange.request().path(), *page, last, filter));
      break;
    }
    manifests.push_back(descriptor_of(*manifest));
    last = "sha256:" + manifest->sha256_hex;
  }
  if (!wanted.empty()) {
    headers.add("oci-filters-applied", "artifactType");
  }
  co_return co_await answer(exchange,
                            {{"schemaVersion", 2},
                             {"mediaType", codec::oci_index_type},
                             {"manifests", std::move(manifests)}},
                            std::string(codec::oci_index_type), std::move(headers));
}

}  // namespace thaw::dialect::registry
