// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/toml_text.h"

#include <doctest/doctest.h>

namespace thaw::codec {

TEST_CASE("TOML has characters outside of ASCII in strings and comments alone") {
  CHECK(stray_line_of_toml("") == std::nullopt);
  CHECK(stray_line_of_toml("# gr\u00fc\u00dfe\na = \"\u00fc\" # \u00fc\nb = '\u00fc'\n") ==
        std::nullopt);
  CHECK(stray_line_of_toml("a = \"\"\"\n\u00fc \"\" \\\" \u00fc\n\"\"\"\nb = '''\u00fc\n\\'''\n") ==
        std::nullopt);
  CHECK(stray_line_of_toml("a = 1\nb\u00fc = 1\n") == 2U);
  CHECK(stray_line_of_toml("a = \"\u00fc\" \u00fc\n") == 1U);
  CHECK(stray_line_of_toml("a = \"\\\"\u00fc\"\n\n\u00a0b = 1") == 3U);
  CHECK(stray_line_of_toml("a = '\\'\u00fc") == 1U);
}

TEST_CASE("a string of TOML that passes over the end of a line goes on in ASCII") {
  CHECK(stray_line_of_toml("a = \"\"\"x \\\n   y\u00fc\"\"\"") == std::nullopt);
  CHECK(stray_line_of_toml("a = \"\"\"x \\\n   \u00fc\"\"\"") == 2U);
  CHECK(stray_line_of_toml("a = \"\\\u00fc\"") == 1U);
  CHECK(stray_line_of_toml("a = \"\\") == std::nullopt);
}

TEST_CASE("a string of one line that does not end says nothing of the next") {
  CHECK(stray_line_of_toml("a = \"\u00fc\n\u00fc") == 2U);
}

}  // namespace thaw::codec
