// SPDX-License-Identifier: Apache-2.0
//
// Lists in pages: how many a client wants ("n") behind which one ("last"), and where it goes on.
// Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::dialect::registry {

struct Page {
  std::size_t count = 0;
  std::string after;
};

// At most `most`, which is also what is meant where no number stands. invalid_argument: "n" is
// none.
Result<Page> read_page(std::string_view query, std::size_t most);
// The header Link of a page that others come behind.
std::string link_to_next(std::string_view path, const Page& page, std::string_view last,
                         std::string_view more_query);

}  // namespace thaw::dialect::registry
