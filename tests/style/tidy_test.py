# SPDX-License-Identifier: Apache-2.0
"""Each rule of tools/thaw-tidy, shown by a small tree that breaks it."""
import importlib.machinery
import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile
import unittest
import unittest.mock

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

    def test_only_the_store_speaks_sql(self):
        for line in ('"SELECT id FROM calls"', '"INSERT INTO calls"', '"DELETE FROM calls"',
                     '"UPDATE calls"', '"CREATE TABLE calls"', '"WITHOUT ROWID"', '"rowid"',
                     "#include <sqlite3.h>", '#include "thaw/store/testing/sql.h"'):
            with self.subTest(line):
                self.write("thaw/queue/rows.cc", SPDX + line + "\n")
                self.assert_error("thaw/queue/rows.cc:2: speaks SQL")
        (self.root / "thaw/queue/rows.cc").unlink()
        self.module("store", "")
        self.write("ARCHITECTURE.md", TABLE + "| `store/` | 2 | nothing | bytes |\n")
        for path in ("thaw/store/rows.cc", "thaw/queue/rows_test.cc", "tests/store/rows.cc"):
            self.write(path, SPDX + '"SELECT id FROM calls"\n')
        self.write("thaw/queue/method.cc", SPDX + 'return method == "DELETE";\n')
        self.assertEqual(self.errors(), "")

    def test_below_the_dialects_no_cloud_is_named(self):
        for text in ("// As Modal does it.", 'const char* name = "MODAL_TASK_ID";', "int cog = 1;"):
            with self.subTest(text):
                self.write("thaw/model/other.h", HEADER + text + "\n")
                self.assert_error("thaw/model/other.h:5: names a cloud")
        for text in ("// modality, cognate, replicated", "// a lambda", "static_assert(cogs);"):
            with self.subTest(text):
                self.write("thaw/model/other.h", HEADER + text + "\n")
                self.assertEqual(self.errors(), "")

    def test_who_runs_programs_names_no_language(self):
        self.module("worker", "")
        self.module("sandbox", "")
        for text in ("// Forks Python.", 'const char* name = "PYTHONPATH";',
                     "int python_version = 3;", "// its sitecustomize"):
            for place in ("thaw/worker/other.cc", "thaw/sandbox/detail/other.cc",
                          "thaw/worker/kits_list.cc"):
                with self.subTest(text, place=place):
                    self.write(place, SPDX + text + "\n")
                    self.assert_error(place + ":2: names a language")
                    self.write(place, SPDX)
        for place in ("thaw/worker/kits/python/kit.cc", "thaw/model/image.cc"):
            with self.subTest(place):
                self.write(place, SPDX + "// Python, PYTHONPATH\n")
                self.assertNotIn("names a language", self.errors())

    def test_control_touches_no_file_and_no_process(self):
        self.module("control", "")
        for name in ("filesystem", "sys/stat.h", "unistd.h"):
            with self.subTest(name):
                self.write("thaw/control/x.cc", SPDX + f"#include <{name}>\n")
                self.assert_error(f"thaw/control/x.cc:2: <{name}>: control touches no file")
        self.write("thaw/control/x.cc", SPDX + "#include <csignal>\n")
        self.write("thaw/control/x_test.cc", SPDX + "#include <filesystem>\n")
        self.assertNotIn("touches no file", self.errors())

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

    @unittest.skipUnless(shutil.which("clang-format-16"), "clang-format-16 is not installed")
    def test_a_file_that_was_formatted_is_asked_about_when_it_has_changed(self):
        cache = unittest.mock.patch.dict(os.environ, XDG_CACHE_HOME=str(self.root / "build"))
        cache.start()
        self.addCleanup(cache.stop)
        self.write(".clang-format", "BasedOnStyle: Google\n")
        self.write("thaw/model/call.cc", SPDX + "int x;\n")
        for _ in range(2):
            self.assertEqual(self.errors(formatting=True), "")
        formatted = thaw_tidy.Formatted(self.root, "clang-format-16")
        self.assertEqual(formatted.unknown(["thaw/model/call.cc"]), [])
        self.write("thaw/model/call.cc", SPDX + "int   x ;\n")
        self.assert_error("thaw/model/call.cc", "make fix", formatting=True)
        self.assert_error("thaw/model/call.cc", "make fix", formatting=True)

    # --- what tools/tidy looks for -------------------------------------------------------------

    def code(self, text, path="thaw/queue/code.cc"):
        """The findings in one source file; `@` begins what an exception is put behind."""
        self.write(path, SPDX + text)
        found = [line for line in self.errors().split("\n") if line.startswith(path)]
        return "\n".join(found)

    def assert_rule(self, rule, bad, good=(), path="thaw/queue/code.cc"):
        """`bad` breaks the rule in its line that ends in //@, until a reason stands there."""
        line = next(n for n, text in enumerate(bad.split("\n"), 2) if text.endswith("//@"))
        self.assertRegex(self.code(bad, path), rf"{path}:{line}: .*\[{rule}\]")
        reason = f"// tidy({rule}): it is meant"
        self.assertEqual(self.code(bad.replace("//@", reason), path), "")
        lines = bad.split("\n")
        lines.insert(line - 2, reason)
        self.assertEqual(self.code("\n".join(lines), path), "")
        self.assertIn(rule, self.code(bad.replace("//@", "// tidy(else): it is meant"), path))
        for text in good:
            with self.subTest(text):
                self.assertEqual(self.code(text, path), "")

    def test_an_exception_names_a_rule_and_a_reason(self):
        self.assertIn("say what for and why", self.code("int x;  // tidy(held)\n"))
        self.assertIn("say what for and why", self.code("int x;  // tidy(hold): a reason\n"))
        self.assertIn("say which check", self.code("int x;  // NOLINT\n"))
        self.assertIn("say which check", self.code("int x;  // NOLINT(bugprone-x)\n"))
        self.assertEqual(self.code("int x;  // NOLINT(bugprone-x): a reason\n"), "")

    def in_task(self, *lines):
        return "Task<void> Queue::go(Queue& self, int id) {\n  " + "\n  ".join(lines) + "\n}\n"

    def test_a_reference_into_a_map_is_not_held_over_a_wait(self):
        self.assert_rule(
            "held",
            self.in_task("Lease& lease = self.leases_.at(id);  //@", "co_await sleep();",
                         "lease.end();"),
            [self.in_task("Lease& lease = self.leases_.at(id);", "lease.end();",
                          "co_await sleep();"),
             self.in_task("const LeasePtr lease = self.leases_.at(id);", "co_await sleep();",
                          "lease->end();"),
             self.in_task("Lease& lease = self.leases_.at(id);",
                          "if (lease.over) {", "  co_await sleep();", "  co_return ok();", "}",
                          "lease.end();"),
             self.in_task("std::map<int, Lease> leases;", "Lease& lease = leases.at(id);",
                          "co_await sleep();", "lease.end();"),
             self.in_task("Lease& lease = self.leases_.at(id);",
                          "co_return co_await end(lease.id);")])

    def test_an_element_is_not_held_over_a_wait(self):
        self.assert_rule("held", self.in_task("Lease* lease = &leases_[id];  //@",
                                              "co_await sleep();", "lease->end();"))
        self.assert_rule("held", self.in_task("Lease& lease = leases_[id];  //@",
                                              "while (!lease.over) {", "  co_await sleep();", "}"))
        self.assert_rule("held", self.in_task("auto& [a, lease] = leases_[id];",
                                              "Lease& last = leases_.back();  //@",
                                              "co_await sleep();", "last.end();"))

    def test_an_iterator_is_not_held_over_a_wait(self):
        self.assert_rule(
            "held",
            self.in_task("const auto found = leases_.find(id);  //@", "co_await sleep();",
                         "if (found == leases_.end()) {", "  co_return ok();", "}"),
            [self.in_task("const auto found = leases_.find(id);", "co_await sleep();",
                          "if (found) {", "  co_return ok();", "}"),
             self.in_task("auto found = leases_.find(id);", "co_await sleep();",
                          "found = leases_.find(id);", "if (found == leases_.end()) {",
                          "  co_return ok();", "}")])
        self.assert_rule(
            "held",
            self.in_task("if (const auto it = leases_.find(id); it != leases_.end()) {  //@",
                         "  co_await sleep();", "  leases_.erase(it);", "}"),
            [self.in_task("if (const auto it = leases_.find(id); it != leases_.end()) {",
                          "  leases_.erase(it);", "}", "co_await sleep();")])

    def test_what_a_function_gives_from_a_map_is_not_held_over_a_wait(self):
        give = "Lease& Queue::lease_of(int id) {\n  return leases_.find(id)->second;\n}\n" \
            "Lease& Queue::held(int id) {\n  return *leases_.at(id);\n}\n"
        self.write("thaw/queue/give.cc", SPDX + give)
        self.assert_rule("held", self.in_task("Lease& lease = lease_of(id);", "co_await sleep();",
                                              "Lease& other = held(id);  //@", "co_await sleep();",
                                              "other.end();"))

    def test_a_walk_over_a_container_of_others_does_not_wait(self):
        self.assert_rule(
            "held",
            self.in_task("for (const auto& [id, lease] : self.leases_) {  //@",
                         "  co_await lease->end();", "}"),
            [self.in_task("const auto copy = self.leases_;",
                          "for (const auto& [id, lease] : copy) {", "  co_await lease->end();",
                          "}"),
             self.in_task("for (const auto& [id, lease] : self.leases_) {",
                          "  if (lease->over) {", "    co_await lease->end();", "    break;", "  }",
                          "}"),
             self.in_task("for (const auto& [id, lease] : self.leases_) {", "  lease->end();", "}",
                          "co_await sleep();")])
        self.write("thaw/queue/all.h", HEADER + "struct All {\n  const Leases& each() const {\n"
                   "    return leases_;\n  }\n  Leases copies();\n  Leases leases_;\n};\n")
        self.assert_rule("held", self.in_task("for (const auto& lease : all.each()) {  //@",
                                              "  co_await lease->end();", "}"),
                         [self.in_task("for (const auto& lease : all.copies()) {",
                                       "  co_await lease->end();", "}")])

    def test_a_background_loop_outlives_a_round_that_fails(self):
        def loop(*lines):
            body = "\n    ".join(lines)
            return 'void Queue::start() { tasks_.start("loop", run(*this)); }\n' \
                   "Task<void> Queue::run(Queue& self) {\n  while (true) {\n    " + body + \
                   "\n    THAW_CO_TRY_VOID(co_await sleep_for(1s));\n  }\n}\n"
        self.assert_rule("ends", loop("THAW_CO_TRY_VOID(co_await self.store());  //@"),
                         [loop("THAW_CO_TRY_VOID(co_await wait_for_room(self));")])
        self.assert_rule("ends", loop("THAW_CO_TRY_VOID(co_await self.tell_waiting());  //@"))
        self.assert_rule(
            "ends", loop("const auto done = co_await self.store();", "if (!done) {",
                         "  co_return done.error();  //@", "}"),
            [loop("const auto done = co_await self.store();", "if (co_await is_cancelled()) {",
                  "  co_return Error::cancelled();", "}", "failures.note(done);"),
             loop("(void)co_await self.store();").replace("start(", "begin(") +
             self.in_task("while (true) {", "  THAW_CO_TRY_VOID(co_await self.store());", "}")])

    def test_a_declaration_is_used_outside_of_its_source_and_its_tests(self):
        def header(extra):
            return "//\n// Idea.\n#pragma once\n" + extra
        uses = "int f() { return sum(1) + Table().rows(); }\n"
        self.write("thaw/model/user.cc", SPDX + uses)
        good = header("int sum(int a);\nclass Table {\n public:\n  int rows();\n\n private:\n"
                      "  int hidden_;\n  void hide();\n};\n")
        path = "thaw/model/sum.h"
        self.write("thaw/model/sum.cc", SPDX + "int sum(int a) {\n  return a;\n}\n")
        self.assert_rule("unused", header("int sum(int a);\nint other(int a);  //@\n"), [good],
                         path)
        self.write("thaw/model/sum_test.cc", SPDX + "CHECK(other(1) == 1);\n")
        self.assertIn("only tests use other", self.code(header("int other(int a);\n"), path))
        self.write("thaw/model/sum.cc", SPDX + "int other(int a) {\n  return a;\n}\n"
                   "int sum(int a) {\n  return other(a);\n}\n")
        self.assertEqual(self.code(header("int other(int a);\n"), path), "")
        (self.root / "thaw/model/sum_test.cc").unlink()
        self.assertIn("only thaw/model/sum.cc uses other: declare it there",
                      self.code(header("int other(int a);\n"), path))
        for text, name in (("struct Alone { int x; };", "Alone"), ("using Id = int;", "Id"),
                           ("enum class Kind { a };", "Kind"), ("inline constexpr int most = 1;",
                           "most"), ("class Table {\n public:\n  int rows();\n  int columns();\n};",
                                     "Table::columns"),
                           ("class Table {\n public:\n  struct Cell {\n    int x;\n  };\n};",
                            "Table::Cell")):
            with self.subTest(text):
                self.assertRegex(self.code(header(text + "\n"), path), f"uses {name} ")

    def test_a_metric_is_counted_and_what_is_counted_is_shown(self):
        struct = "struct LeaseCounters {\n  int granted = 0;\n  int lost = 0;\n};\n"
        shown = "void show(codec::PrometheusText& text, const LeaseCounters& counts) {\n" \
            "  text.sample(counts.granted);\n  text.sample(counts.lost);\n}\n"
        count = "void Queue::grant() { ++counters_.granted; }\n"
        self.assertIn("code.cc:4: lost is shown, and nothing counts it",
                      self.code(struct + shown + count))
        self.assertEqual(self.code(struct + shown + count + "void Queue::lose() {\n"
                                   "  counters_.lost += 1;\n}\n"), "")
        self.assert_rule("metric", struct.replace("lost = 0;", "lost = 0;  //@") + shown + count)
        self.assert_rule(
            "metric", struct.replace("lost = 0;", "lost = 0;  //@") + count +
            shown.replace("  text.sample(counts.lost);\n", "") + "void Queue::lose() {\n"
            "  ++counters_.lost;\n}\n")
        self.assert_rule("metric", "void show(PrometheusText& text) {\n"
                         "  text.sample(0 + house.windows);  //@\n}\n",
                         ["void show(PrometheusText& text) {\n  text.sample(house.rooms());\n}\n"])

    def test_what_a_dialect_serves_has_a_row_in_its_table(self):
        self.module("dialect/cloud", "")
        self.write("thaw/dialect/cloud/operations.cc", SPDX + 'constexpr Row rows[] = {\n'
                   '    {"CallMap", 1},\n};\n')  # fmt: skip
        served = 'void serve() {\n  add(table, cx, "CallMap", map);\n  add_once(table, cx, ' \
            '"CallMapV2", map);\n}\n'
        self.write("thaw/dialect/cloud/calls.cc", SPDX + served)
        self.assertNotIn("has no row", self.errors())
        self.write("thaw/dialect/cloud/calls.cc", SPDX + served.replace('"CallMapV2"', '"CallGet"'))
        self.assert_error("calls.cc:4", "CallGet is served and has no row in operations.cc")

    def test_sizes_are_advice_and_not_errors(self):
        self.write("thaw/model/call.cc", SPDX + "//\n" * 500)
        tidy = thaw_tidy.Tidy(self.root)
        self.assertTrue(tidy.run(formatting=False))
        self.assertIn("501 lines", tidy.advice[0])


if __name__ == "__main__":
    unittest.main()
