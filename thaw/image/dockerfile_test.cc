// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/dockerfile.h"

#include <doctest/doctest.h>

#include "thaw/image/dockerfile_words.h"

using namespace thaw;
using namespace thaw::image;

namespace {

Dockerfile parsed(std::string_view text) {
  auto file = parse_dockerfile(text);
  REQUIRE_MESSAGE(file, (file ? "" : file.error().to_string()));
  return *file;
}
std::string refused(std::string_view text) {
  const auto file = parse_dockerfile(text);
  REQUIRE(!file);
  CHECK(file.error().code() == Code::invalid_argument);
  return file.error().message();
}
std::string expanded(std::string_view word) {
  const VariableLookup lookup = [](std::string_view name) -> std::optional<std::string> {
    if (name == "A") return "alpha";
    if (name == "EMPTY") return "";
    return std::nullopt;
  };
  auto out = expand_word(word, '\\', lookup);
  return out ? *out : "error: " + out.error().message();
}

}  // namespace

TEST_CASE("instructions keep their lines, and verbs are upper case") {
  const auto file = parsed("# a comment\n\nfrom base\n  run echo hi\n");
  REQUIRE(file.instructions.size() == 2);
  CHECK(file.instructions[0].verb == "FROM");
  CHECK(file.instructions[0].line == 3);
  CHECK(file.instructions[1].verb == "RUN");
  CHECK(file.instructions[1].rest == "echo hi");
  CHECK(file.instructions[1].line == 4);
}

TEST_CASE("a continued line is joined without comments and empty lines between") {
  const auto file = parsed("RUN apt-get update && \\ \n# why\n\n  apt-get install \\\n  x\nRUN b");
  REQUIRE(file.instructions.size() == 2);
  CHECK(file.instructions[0].rest == "apt-get update &&   apt-get install   x");
  CHECK(file.instructions[1].line == 6);
}

TEST_CASE("an escaped escape does not continue a line") {
  const auto file = parsed("RUN echo \\\\\nRUN b");
  CHECK(file.instructions.size() == 2);
}

TEST_CASE("a line may be continued to the end of the text") {
  CHECK(parsed("RUN a \\").instructions[0].rest == "a");
}

TEST_CASE("the escape directive changes the escape") {
  const auto file = parsed("# syntax=x\n# escape=`\nRUN a `\n b \\\nRUN c");
  CHECK(file.escape == '`');
  REQUIRE(file.instructions.size() == 2);
  CHECK(file.instructions[0].rest == "a  b \\");
}

TEST_CASE("windows line ends vanish") {
  CHECK(parsed("FROM a\r\nRUN b\r\n").instructions[1].rest == "b");
}

TEST_CASE("flags are split off") {
  const auto file = parsed("COPY --from=build --chown=a:b --link /x /y");
  const auto& copy = file.instructions[0];
  REQUIRE(copy.flags.size() == 3);
  CHECK(copy.flags[0] == std::pair<std::string, std::string>("from", "build"));
  CHECK(copy.flags[2] == std::pair<std::string, std::string>("link", ""));
  CHECK(copy.rest == "/x /y");
}

TEST_CASE("the exec form is a JSON array of strings and nothing else") {
  CHECK(parsed("CMD [\"a\", \"b c\"]").instructions[0].exec ==
        std::vector<std::string>{"a", "b c"});
  CHECK(!parsed("CMD [\"a\", 1]").instructions[0].exec);
  CHECK(!parsed("CMD [ -f /x ]").instructions[0].exec);
  CHECK(!parsed("CMD ['a']").instructions[0].exec);
  CHECK(parsed("ENTRYPOINT []").instructions[0].exec == std::vector<std::string>{});
}

TEST_CASE("a heredoc's lines belong to its instruction") {
  const auto file = parsed("RUN <<EOF\nline one\n  # not a comment\nEOF\nRUN b");
  REQUIRE(file.instructions.size() == 2);
  REQUIRE(file.instructions[0].heredocs.size() == 1);
  CHECK(file.instructions[0].heredocs[0].body == "line one\n  # not a comment\n");
  CHECK(file.instructions[0].heredocs[0].expand);
  CHECK(file.instructions[1].line == 5);
}

TEST_CASE("a heredoc with a dash loses its tabs, a quoted one does not expand") {
  const auto file = parsed("RUN cat <<-'END' > /x\n\t\tindented\n\tEND\n");
  REQUIRE(file.instructions[0].heredocs.size() == 1);
  CHECK(file.instructions[0].heredocs[0].body == "indented\n");
  CHECK(!file.instructions[0].heredocs[0].expand);
}

TEST_CASE("two heredocs in one instruction come one after the other") {
  const auto file = parsed("COPY <<A <<B /x/\na\nA\nb\nB\n");
  REQUIRE(file.instructions[0].heredocs.size() == 2);
  CHECK(file.instructions[0].heredocs[1].body == "b\n");
}

TEST_CASE("shifts and here-strings are no heredocs") {
  CHECK(parsed("RUN echo $((1<<2)) && cat <<< x").instructions[0].heredocs.empty());
  CHECK(parsed("CMD echo <<EOF").instructions[0].heredocs.empty());
  CHECK(parsed("RUN [\"cat\", \"<<EOF\"]").instructions[0].heredocs.empty());
}

TEST_CASE("errors name the line and what to do") {
  CHECK(refused("FROM a\nFORM b") ==
        "line 2: unknown instruction \"FORM\"; if it continues the line above, end that one with a "
        "\\");
  CHECK(refused("FROM a\nRUN") == "line 2: RUN needs an argument");
  CHECK(refused("RUN <<EOF\nnever closed") == "line 1: the heredoc has no closing line \"EOF\"");
  CHECK(refused("") == "the recipe has no instructions; begin with FROM");
  CHECK(refused("# only\n") == "the recipe has no instructions; begin with FROM");
  CHECK(refused(std::string("RUN a\0b", 7)).find("zero byte") != std::string::npos);
}

TEST_CASE("hostile text is bounded") {
  CHECK(refused(std::string(9u << 20, 'x')).find("8 MiB") != std::string::npos);
  std::string many = "FROM a\n";
  for (int i = 0; i < 2100; ++i) many += "RUN b\n";
  CHECK(refused(many).find("2000") != std::string::npos);
  parsed("CMD " + std::string(100'000, '['));
  CHECK(expanded(std::string(60, 'x') + std::string(200, '$')).size() == 60);
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "${A:+";
  CHECK(expanded(deep + std::string(100, '}')).find("16 deep") != std::string::npos);
}

TEST_CASE("variables expand with the modifiers of Docker") {
  CHECK(expanded("$A/x ${A}y $B.") == "alpha/x alphay .");
  CHECK(expanded("${B:-other} ${A:-other} ${EMPTY:-other} ${EMPTY-other}") == "other alpha other ");
  CHECK(expanded("${A:+set} ${B:+set} ${EMPTY+set}") == "set  set");
  CHECK(expanded("${B:-${A}s}") == "alphas");
  CHECK(expanded("\\$A \\\\ $ 100$") == "$A \\ $ 100$");
  CHECK(expanded("'$A' \"$A \\\" x\" a' 'b") == "$A alpha \" x a b");
  CHECK(expanded("${B:?set it}").find("B is required: set it") != std::string::npos);
  CHECK(expanded("${A%%x}").find("not supported") != std::string::npos);
  CHECK(expanded("'open").find("not closed") != std::string::npos);
  CHECK(expanded("\"open").find("not closed") != std::string::npos);
  CHECK(expanded("${A").find("no closing") != std::string::npos);
  CHECK(expanded("${A:-x").find("no closing") != std::string::npos);
  CHECK(expanded("${}").find("needs a variable") != std::string::npos);
}

TEST_CASE("words split at blanks outside quotes") {
  CHECK(split_words("a=\"b c\" d='e f'  g=h\\ i", '\\') ==
        std::vector<std::string>{"a=\"b c\"", "d='e f'", "g=h\\ i"});
  CHECK(split_words("\"open end", '\\').size() == 1);
  CHECK(split_words("  ", '\\').empty());
}
