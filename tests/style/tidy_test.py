# SPDX-License-Identifier: Apache-2.0
"""Each rule of tools/thaw-tidy, shown by a small tree that breaks it."""
import importlib.machinery
import importlib.util
import pathlib
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "thaw-tidy"
loader = importlib.machinery.SourceFileLoader("thaw_tidy", str(TOOL))
thaw_tidy = importlib.util.module_from_spec(importlib.util.spec_from_loader("thaw_tidy", loader))
loader.exec_module(thaw_tidy)

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = SPDX + "//\n// Lease: the right to work on one call for a while.\n// Loop thread only.\n"
TABLE = """| module | layer | may use | what |
|---|---|---|---|
| `base/` | 0 | nothing | words |
| `model/` | 1 | nothing | nouns |
| `async/` | 1 | nothing | tasks |
| `net/` | 2 | async | sockets |
| `queue/` | 3 | model, async | calls |
| `dialect/*` | 8 | model, net | protocols |
| `main/` | 9 | * | connects |
"""


class TidyTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="thaw-tidy-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.write("ARCHITECTURE.md", TABLE)
        self.module("model", "")
        self.write("thaw/model/call.h", HEADER)
        self.module("queue", "USES model")
        self.write("thaw/queue/lease.h", HEADER + '#include "thaw/model/call.h"\n')

    def write(self, path, content):
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(content)

    def module(self, name, words):
        self.write(f"thaw/{name}/CMakeLists.txt", f"thaw_module({name} {words})\n")
        self.write(f"thaw/{name}/README.md", f"# {name}\n")

    def errors(self, formatting=False, only=None):
        tidy = thaw_tidy.Tidy(self.root)
        tidy.run(only=only, formatting=formatting)
        return "\n".join(tidy.errors)

    def assert_error(self, *words, formatting=False):
        found = self.errors(formatting)
        self.assertTrue(any(all(word in line for word in words) for line in found.split("\n")),
                        f"no error with {words} in:\n{found}")

    def test_a_tree_that_follows_the_rules_has_no_errors(self):
        self.assertEqual(self.errors(), "")

    def test_an_include_of_a_higher_layer_is_an_error(self):
        self.write("thaw/model/call.h", HEADER + '#include "thaw/queue/lease.h"\n')
        self.assert_error("thaw/model/call.h:5", "model (layer 1) includes queue (layer 3)")

    def test_an_include_of_the_same_layer_is_an_error(self):
        self.write("thaw/model/call.h", HEADER + '#include "thaw/async/task.h"\n')
        self.assert_error("thaw/model/call.h:5", "strictly lower layer")

    def test_an_include_that_the_table_does_not_allow_is_an_error(self):
        self.write("thaw/queue/lease.h", HEADER + '#include "thaw/net/http.h"\n')
        self.assert_error("thaw/queue/lease.h:5", "queue may not use net")

    def test_a_dialect_never_includes_another_dialect(self):
        self.module("dialect/modal", "USES dialect/lambda")
        self.write("thaw/dialect/modal/app.cc", SPDX + '#include "thaw/dialect/lambda/event.h"\n')
        self.assert_error("dialect/modal (layer 8) includes dialect/lambda (layer 8)")

    def test_a_dialect_looks_things_up_in_the_scope_of_who_asks(self):
        raw = "auto app = cx.parts.catalog.apps.find(id);\n"
        self.module("dialect/modal", "")
        self.write("thaw/dialect/modal/x.cc", SPDX + raw)
        self.assert_error("thaw/dialect/modal/x.cc:2: look it up through catalog::Scope")
        self.write("thaw/dialect/modal/x.cc", SPDX + "// all workspaces: made above\n" + raw)
        self.write("thaw/dialect/console/x.cc", SPDX + raw)
        self.module("dialect/console", "")
        self.assertEqual(self.errors(), "")

    def test_below_the_dialects_no_cloud_is_named(self):
        for text in ("// As Modal does it.", 'const char* name = "MODAL_TASK_ID";', "int cog = 1;"):
            with self.subTest(text):
                self.write("thaw/model/other.h", HEADER + text + "\n")
                self.assert_error("thaw/model/other.h:5: names a cloud")
        for text in ("// modality, cognate, replicated", "// a lambda", "int recognise = 1;"):
            with self.subTest(text):
                self.write("thaw/model/other.h", HEADER + text + "\n")
                self.assertEqual(self.errors(), "")

    def test_the_private_folder_of_a_module_is_private(self):
        self.write("thaw/queue/lease.h", HEADER + '#include "thaw/model/detail/call.h"\n')
        self.assert_error("private to model")

    def test_a_row_of_the_table_that_points_upwards_is_an_error(self):
        self.write("ARCHITECTURE.md", TABLE.replace("| 1 | nothing | nouns", "| 1 | net | nouns"))
        self.assert_error("model may use net, which is not a lower layer")

    def test_a_tree_without_a_layer_table_is_an_error(self):
        self.write("ARCHITECTURE.md", "# Architecture\n")
        self.assert_error("no layer table found")

    def test_uses_and_includes_must_agree(self):
        self.module("queue", "USES async LINKS x::y")
        self.assert_error("queue includes model: add it to USES")
        self.assert_error("queue USES async but includes nothing of it")

    def test_a_module_must_be_in_the_table(self):
        self.module("util", "")
        self.assert_error("util is not in the layer table")

    def test_asio_is_named_only_in_async_and_net(self):
        self.write("thaw/queue/pump.cc", SPDX + "#include <boost/asio/post.hpp>\n")
        self.assert_error("thaw/queue/pump.cc:2", "Asio")

    def test_beast_is_named_only_in_a_few_sources_of_net(self):
        self.module("net", "USES async")
        self.write("thaw/net/http.h", HEADER + "#include <boost/beast/http.hpp>\n")
        self.assert_error("thaw/net/http.h:5", "Beast")
        for number in range(thaw_tidy.MAX_BEAST_FILES):
            self.write(f"thaw/net/b{number}.cc", SPDX + "#include <boost/beast/core.hpp>\n")
        self.assert_error("thaw/net", "7 files include Beast")

    def test_a_header_opens_with_its_idea(self):
        self.write("thaw/model/call.h", SPDX + "#pragma once\n")
        self.assert_error("thaw/model/call.h:2", "opens with its idea")

    def test_a_source_names_its_licence_first(self):
        self.write("thaw/model/call.cc", "#include <vector>\n")
        self.write("tools/run", "#!/usr/bin/env bash\necho\n")
        self.assert_error("thaw/model/call.cc:1", "SPDX")
        self.assert_error("tools/run:1", "SPDX")

    def test_a_line_of_more_than_a_hundred_columns_is_an_error(self):
        self.write("thaw/model/call.cc", SPDX + "// " + "é" * 97 + "\n// " + "x" * 98 + "\n")
        self.assert_error("thaw/model/call.cc:3", "101 columns")
        self.assertNotIn("call.cc:2", self.errors())

    def test_banned_words_are_errors_and_a_todo_needs_a_kind(self):
        todo = "TO" + "DO"
        self.write("thaw/model/call.cc", SPDX + "// FIX" + f"ME: later\n// {todo}: this\n"
                   f"// {todo}(someday): that\n// {todo}(soon)\n")
        found = self.errors()
        self.assertIn("call.cc:2", found)
        self.assertIn("call.cc:3", found)
        self.assertNotIn("call.cc:4", found)
        self.assertIn("call.cc:5", found)

    def test_a_try_macro_without_braces_is_an_error(self):
        self.write("thaw/model/call.cc", SPDX + "if (ready(x)) THAW_TRY(int y, f());\n")
        self.assert_error("call.cc:2", "braces")

    def test_a_module_has_a_short_readme(self):
        (self.root / "thaw/queue/README.md").unlink()
        self.assert_error("thaw/queue/README.md", "missing")
        self.write("thaw/queue/README.md", "line\n" * 41)
        self.assert_error("thaw/queue/README.md", "more than 40 lines")

    def test_a_promise_names_a_test_that_exists(self):
        self.write("SPECIFICATION.md", "| promise | number | held by |\n|---|---|---|\n"
                   "| a | 1 `x` | `a lease ends` |\n| b | 2 | `unit.gone` |\n| c | 3 | not yet |\n")
        self.write("thaw/queue/lease_test.cc", SPDX + 'TEST_CASE("a lease ends") {}\n')
        self.assert_error("SPECIFICATION.md:4", "unit.gone")
        self.assertEqual(len(self.errors().split("\n")), 1)

    def test_relative_links_resolve(self):
        self.write("docs/a.md", "# One Title\n[b](b.md) [t](#one-title) [w](https://x.y) `[q](q)`\n"
                   "```\n[z](z.md)\n```\n[u](a.md#two)\n![p](p.png)\n")
        found = self.errors()
        self.assertIn("docs/a.md:2: dead link: b.md", found)
        self.assertIn("docs/a.md:6: dead link: no heading for a.md#two", found)
        self.assertIn("docs/a.md:7: dead link: p.png", found)
        self.assertEqual(found.count("dead link"), 3)

    def test_only_the_named_files_are_read_line_by_line(self):
        self.write("thaw/model/call.cc", "no licence\n")
        self.write("thaw/model/bad.cc", "no licence\n")
        found = self.errors(only={pathlib.Path("thaw/model/bad.cc")})
        self.assertIn("bad.cc", found)
        self.assertNotIn("call.cc", found)

    def test_generated_folders_are_not_read(self):
        self.write("build/x.cc", "no licence\n")
        self.assertEqual(self.errors(), "")

    @unittest.skipUnless(shutil.which("clang-format-16"), "clang-format-16 is not installed")
    def test_an_unformatted_file_is_an_error(self):
        self.write(".clang-format", "BasedOnStyle: Google\n")
        self.write("thaw/model/call.cc", SPDX + "int   x ;\n")
        self.assert_error("thaw/model/call.cc", "make fix", formatting=True)

    def test_sizes_are_advice_and_not_errors(self):
        self.write("thaw/model/call.cc", SPDX + "//\n" * 500)
        tidy = thaw_tidy.Tidy(self.root)
        self.assertTrue(tidy.run(formatting=False))
        self.assertIn("501 lines", tidy.advice[0])


if __name__ == "__main__":
    unittest.main()
