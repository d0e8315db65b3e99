// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/routes.h"

#include <vector>

#include "thaw/codec/encoding.h"
#include "thaw/image/image_name.h"

namespace thaw::dialect::registry {

namespace {

using Kind = Route::Kind;

constexpr std::size_t most_words = 130;  // of a name of 255 letters, and some

std::vector<std::string_view> words_of(std::string_view path) {
  std::vector<std::string_view> words;
  while (words.size() <= most_words) {
    const auto slash = path.find('/');
    words.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) {
      break;
    }
    path.remove_prefix(slash + 1);
  }
  return words;
}

// A path's last words, and what they make of it.
struct Form {
  Kind kind;
  std::size_t words;  // behind the repository's name
  bool has_reference;
};

// "" stands for the empty word behind a last slash.
Result<Form> form_of(const std::vector<std::string_view>& words) {
  const auto from_end = [&words](std::size_t n) {
    return words.size() > n ? words[words.size() - 1 - n] : std::string_view();
  };
  if (from_end(0).empty() && from_end(1) == "uploads" && from_end(2) == "blobs") {
    return Form{Kind::uploads, 3, false};
  }
  if (from_end(0) == "uploads" && from_end(1) == "blobs") {
    return Form{Kind::uploads, 2, false};
  }
  if (from_end(1) == "uploads" && from_end(2) == "blobs") {
    return Form{Kind::upload, 3, true};
  }
  if (from_end(0) == "list" && from_end(1) == "tags") {
    return Form{Kind::tags, 2, false};
  }
  if (from_end(1) == "blobs") {
    return Form{Kind::blob, 2, true};
  }
  if (from_end(1) == "manifests") {
    return Form{Kind::manifest, 2, true};
  }
  if (from_end(1) == "referrers") {
    return Form{Kind::referrers, 2, true};
  }
  return Error::not_found("this registry has nothing at this path");
}

}  // namespace

Result<Route> read_route(std::string_view path) {
  constexpr std::string_view prefix = "/v2/";
  if (path == "/v2" || path == prefix) {
    return Route{};
  }
  if (!path.starts_with(prefix)) {
    return Error::not_found("this registry has nothing at this path");
  }
  path.remove_prefix(prefix.size());
  if (path == "token" || path == "_catalog") {
    return Route{path == "token" ? Kind::token : Kind::catalog, "", ""};
  }
  const std::vector<std::string_view> words = words_of(path);
  THAW_TRY(const Form form, form_of(words));
  Route route{form.kind, "", ""};
  for (std::size_t i = 0; i + form.words < words.size(); ++i) {
    route.repository += (i == 0 ? "" : "/") + codec::percent_decode(std::string(words[i]));
  }
  if (form.has_reference) {
    route.reference = codec::percent_decode(std::string(words.back()));
  }
  if (!image::is_repository_path(route.repository)) {
    return Error::invalid_argument(
        "the name of a repository is words of a-z and 0-9 with '.', '_' or '-' inside and '/' "
        "between them, of 255 letters at most");
  }
  return route;
}

}  // namespace thaw::dialect::registry
