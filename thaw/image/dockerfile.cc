// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/dockerfile.h"

#include <algorithm>
#include <array>

#include "thaw/codec/utf8.h"
#include "thaw/image/dockerfile_words.h"

namespace thaw::image {
namespace {

constexpr std::size_t max_text_bytes = 8u << 20;
constexpr std::size_t max_instructions = 2'000;
constexpr std::size_t longest_message = 1'000;

constexpr std::array<std::string_view, 18> verbs = {
    "ADD",    "ARG",   "CMD",         "COPY",  "ENTRYPOINT", "ENV",
    "EXPOSE", "FROM",  "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD",
    "RUN",    "SHELL", "STOPSIGNAL",  "USER",  "VOLUME",     "WORKDIR"};

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') {
      c = static_cast<char>(c - 'a' + 'A');
    }
  }
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') {
      line.remove_suffix(1);
    }
    lines.push_back(line);
    if (end == std::string_view::npos) {
      break;
    }
    text.remove_prefix(end + 1);
  }
  return lines;
}

// Editors of some systems begin a file with one; it means nothing in UTF-8.
std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  return text.starts_with(mark) ? text.substr(mark.size()) : text;
}

// Removes a trailing, unescaped escape character (blanks may follow it); true if there was one.
bool strip_continuation(std::string_view& line, char escape) {
  std::string_view probe = line;
  while (!probe.empty() && (probe.back() == ' ' || probe.back() == '\t')) {
    probe.remove_suffix(1);
  }
  if (probe.empty() || probe.back() != escape) {
    return false;
  }
  if (probe.size() > 1 && probe[probe.size() - 2] == escape) {
    return false;
  }
  probe.remove_suffix(1);
  line = probe;
  return true;
}

// The directive "# escape=`", only among the comments at the very top.
char find_escape(const std::vector<std::string_view>& lines) {
  for (std::string_view line : lines) {
    line = trim(line);
    if (line.empty() || line.front() != '#') {
      break;
    }
    line = trim(line.substr(1));
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) {
      break;
    }
    if (upper(trim(line.substr(0, equals))) == "ESCAPE" && trim(line.substr(equals + 1)) == "`") {
      return '`';
    }
  }
  return '\\';
}

// <<EOF, <<-EOF, <<'EOF', 3<<EOF: the heredoc that a word opens; nullopt for any other word.
struct Opening {
  std::string name;
  bool expand = true;
  bool chomp_tabs = false;
};
std::optional<Opening> heredoc_opening(std::string_view word) {
  while (!word.empty() && word.front() >= '0' && word.front() <= '9') {
    word.remove_prefix(1);
  }
  if (!word.starts_with("<<")) {
    return std::nullopt;
  }
  word.remove_prefix(2);
  Opening opening;
  if (word.starts_with("-")) {
    opening.chomp_tabs = true;
    word.remove_prefix(1);
  }
  if (word.empty() || word.find('<') != std::string_view::npos) {
    return std::nullopt;
  }
  for (const char c : word) {
    if (c == '\'' || c == '"') {
      opening.expand = false;
    } else {
      opening.name.push_back(c);
    }
  }
  if (opening.name.empty()) {
    return std::nullopt;
  }
  return opening;
}

class Parser {
 public:
  explicit Parser(std::string_view text)
      : lines_(split_lines(without_byte_order_mark(text))), escape_(find_escape(lines_)) {}

  Result<Dockerfile> run() {
    Dockerfile out;
    out.escape = escape_;
    while (at_ < lines_.size()) {
      const std::string_view line = trim(lines_[at_]);
      if (line.empty() || line.front() == '#') {
        ++at_;
        continue;
      }
      if (out.instructions.size() >= max_instructions) {
        return at_line(static_cast<int>(at_) + 1, "more than 2000 instructions");
      }
      const int number = static_cast<int>(at_) + 1;
      const std::string logical = logical_line();
      THAW_TRY(Instruction instruction, split(number, logical));
      THAW_TRY_VOID(read_heredocs(instruction));
      out.instructions.push_back(std::move(instruction));
    }
    if (out.instructions.empty()) {
      return Error::invalid_argument("the recipe has no instructions; begin with FROM");
    }
    return out;
  }

 private:
  std::string logical_line() {
    std::string logical;
    bool first = true;
    while (at_ < lines_.size()) {
      std::string_view line = lines_[at_++];
      if (!first) {
        // Comments and empty lines inside a continued instruction vanish.
        const std::string_view bare = trim(line);
        if (bare.empty() || bare.front() == '#') {
          continue;
        }
      }
      first = false;
      const bool goes_on = strip_continuation(line, escape_);
      logical.append(line);
      if (!goes_on) {
        break;
      }
    }
    return logical;
  }

  Result<Instruction> split(int number, std::string_view logical) {
    Instruction out;
    out.line = number;
    logical = trim(logical);
    const auto end = std::min(logical.find_first_of(" \t"), logical.size());
    out.verb = upper(logical.substr(0, end));
    if (std::find(verbs.begin(), verbs.end(), out.verb) == verbs.end()) {
      return at_line(number, "unknown instruction \"" +
                                 std::string(logical.substr(0, std::min<std::size_t>(end, 40))) +
                                 "\"; if it continues the line above, end that one with a \\");
    }
    std::string_view rest = trim(logical.substr(end));
    while (rest.starts_with("--")) {
      const auto flag_end = std::min(rest.find_first_of(" \t"), rest.size());
      const std::string_view flag = rest.substr(2, flag_end - 2);
      if (flag.empty()) {
        break;
      }
      const auto equals = flag.find('=');
      out.flags.emplace_back(
          std::string(flag.substr(0, equals)),
          equals == std::string_view::npos ? std::string() : std::string(flag.substr(equals + 1)));
      rest = trim(rest.substr(flag_end));
    }
    if (rest.find('\0') != std::string_view::npos) {
      return at_line(number, "a zero byte in the instruction");
    }
    out.rest = rest;
    out.exec = parse_exec_form(rest);
    if (out.rest.empty()) {
      return at_line(number, out.verb + " needs an argument");
    }
    return out;
  }

  Result<void> read_heredocs(Instruction& instruction) {
    if (instruction.exec ||
        (instruction.verb != "RUN" && instruction.verb != "COPY" && instruction.verb != "ADD")) {
      return ok();
    }
    for (const std::string& word : split_words(instruction.rest, escape_)) {
      const auto opening = heredoc_opening(word);
      if (!opening) {
        continue;
      }
      Heredoc heredoc{opening->name, {}, opening->expand};
      bool closed = false;
      while (at_ < lines_.size() && !closed) {
        std::string_view line = lines_[at_++];
        if (opening->chomp_tabs) {
          line.remove_prefix(std::min(line.find_first_not_of('\t'), line.size()));
        }
        if (line == opening->name) {
          closed = true;
        } else {
          heredoc.body.append(line).push_back('\n');
        }
      }
      if (!closed) {
        return at_line(instruction.line,
                       "the heredoc has no closing line \"" + opening->name + "\"");
      }
      instruction.heredocs.push_back(std::move(heredoc));
    }
    return ok();
  }

  std::vector<std::string_view> lines_;
  char escape_;
  std::size_t at_ = 0;
};

}  // namespace

std::string Instruction::summary() const {
  std::string out = verb;
  for (const auto& [name, value] : flags) {
    out += " --" + name + (value.empty() ? "" : "=" + value);
  }
  out += " " + rest.substr(0, 400);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) {
      c = ' ';
    }
  }
  return rest.size() > 400 ? out + " …" : out;
}

Result<Dockerfile> parse_dockerfile(std::string_view text) {
  if (text.size() > max_text_bytes) {
    return Error::invalid_argument("the recipe is larger than 8 MiB");
  }
  return Parser(text).run();
}

Error at_line(int line, Code code, std::string_view message) {
  const std::size_t told = codec::cut_utf8(message, longest_message);
  return Error(code, "line " + std::to_string(line) + ": " + std::string(message.substr(0, told)) +
                         (told < message.size() ? "…" : ""));
}

Error at_line(int line, std::string_view message) {
  return at_line(line, Code::invalid_argument, message);
}

}  // namespace thaw::image
