// SPDX-License-Identifier: Apache-2.0
//
// COPY and ADD: which content goes where. Context sources become digests here, so that the key of
// the step follows the content and not the names of uploads.
#include "thaw/image/context_paths.h"
#include "thaw/image/key_maker.h"
#include "thaw/image/stage_planner.h"

namespace thaw::image {
namespace {

Result<std::uint32_t> parse_mode(const Instruction& instruction, const std::string& text) {
  if (text.empty() || text.size() > 4 || text.find_first_not_of("01234567") != std::string::npos) {
    return at_line(instruction.line, "--chmod=" + text + " is not an octal mode such as 0755");
  }
  return static_cast<std::uint32_t>(std::stoul(text, nullptr, 8));
}

Result<void> check_add_source(const Instruction& instruction, const std::string& source) {
  if (instruction.verb == "ADD" &&
      (source.find("://") != std::string::npos || source.starts_with("git@"))) {
    return at_line(instruction.line, Code::unimplemented,
                   "ADD of a URL is not supported; RUN a download (curl, git clone) in its place");
  }
  return ok();
}

}  // namespace

void add_items(KeyMaker& key, const std::vector<CopyItem>& items) {
  key.add(std::to_string(items.size()));
  for (const CopyItem& item : items) {
    key.add(item.kind == CopyItem::Kind::file ? "file" : "folder").add(item.name);
    key.add(std::to_string(item.entries.size()));
    for (const CopyEntry& entry : item.entries) {
      key.add(entry.path).add(entry.sha256_hex).add(entry.bytes);
      key.add(std::to_string(entry.mode & 07777));
    }
  }
}

// The words of the instruction after expansion: sources, then the destination.
Result<std::vector<std::string>> StagePlanner::copy_words(const Instruction& instruction) {
  const auto raw = instruction.exec ? *instruction.exec : split_blanks(instruction.rest);
  if (raw.size() < 2) {
    return at_line(instruction.line, instruction.verb + " needs a source and a destination");
  }
  std::vector<std::string> words;
  for (const std::string& word : raw) {
    // A heredoc's mark is no path: its quotes must stay.
    if (!instruction.heredocs.empty() && word.find("<<") != std::string::npos) {
      words.push_back(word);
      continue;
    }
    THAW_TRY(std::string expanded, expand(instruction, word));
    if (expanded.empty()) {
      return at_line(instruction.line, "\"" + word + "\" expands to nothing");
    }
    words.push_back(std::move(expanded));
  }
  return words;
}

// Takes the heredoc marks out of `words`; each is a small file.
Result<std::vector<CopyItem>> StagePlanner::heredoc_items(const Instruction& instruction,
                                                          std::vector<std::string>& words) {
  std::vector<CopyItem> items;
  for (const Heredoc& heredoc : instruction.heredocs) {
    CopyItem item;
    item.name = heredoc.name;
    std::string body = heredoc.body;
    if (heredoc.expand) {
      // Quotes are ordinary characters in a heredoc: escape them for the expansion.
      std::string escaped;
      for (const char c : body) {
        if (c == '\'' || c == '"') {
          escaped.push_back(escape_);
        }
        escaped.push_back(c);
      }
      THAW_TRY(body, expand(instruction, escaped));
    }
    item.entries.push_back(CopyEntry{"", "", std::move(body), 0644});
    items.push_back(std::move(item));
  }
  std::erase_if(words, [&](const std::string& word) {
    return !instruction.heredocs.empty() && word.find("<<") != std::string::npos;
  });
  return items;
}

Result<void> StagePlanner::add_copy(const Instruction& instruction) {
  Step step = begin(instruction);
  step.kind = Step::Kind::copy;
  CopyStep& copy = step.copy;
  std::string from;
  for (const auto& [name, value] : instruction.flags) {
    if (name == "from" && instruction.verb == "COPY" && !value.empty()) {
      from = value;
    } else if (name == "chown") {
      THAW_TRY(copy.owner, expand(instruction, value));
    } else if (name == "chmod") {
      THAW_TRY(const std::string mode, expand(instruction, value));
      THAW_TRY(copy.mode, parse_mode(instruction, mode));
    } else if (name != "link") {
      return at_line(instruction.line, Code::unimplemented,
                     instruction.verb + " --" + name + " is not supported");
    }
  }
  THAW_TRY(auto words, copy_words(instruction));
  THAW_TRY(copy.items, heredoc_items(instruction, words));
  if (words.empty()) {
    return at_line(instruction.line, instruction.verb + " needs a destination");
  }
  const std::string destination = words.back();
  words.pop_back();
  copy.destination = absolute_path(config_.workdir, destination);
  const bool is_folder = destination.ends_with("/") || destination == "." ||
                         destination.ends_with("/.") || destination.ends_with("/..");
  if (words.size() + copy.items.size() > 1 && !is_folder) {
    return at_line(instruction.line,
                   "with several sources the destination must be a folder: " + destination + "/");
  }
  if (is_folder && copy.destination != "/") {
    copy.destination += "/";
  }

  if (instruction.verb == "ADD") {
    copy.archives = CopyStep::Archives::unpacked;
  }
  KeyMaker key(instruction.verb == "ADD" ? "thaw add 1" : "thaw copy 1");
  key.add(stage_.key()).add(copy.destination).add(copy.owner);
  key.add(copy.mode ? std::to_string(*copy.mode) : "-");
  if (!from.empty()) {
    auto origin = find_source(from);
    if (!origin) {
      return at_line(instruction.line, origin.error().code(),
                     "COPY --from=" + from + ": " + origin.error().message());
    }
    copy.from_stage = origin->stage;
    copy.from_reference = origin->reference;
    key.add("image").add(origin->key);
    for (const std::string& word : words) {
      copy.patterns.push_back(normal_path(word));
      key.add(copy.patterns.back());
    }
  } else {
    for (const std::string& word : words) {
      THAW_TRY_VOID(check_add_source(instruction, word));
      THAW_TRY_VOID(note_look(instruction, word));
      auto items = find_in_context(recipe_, word);
      if (items.empty()) {
        return at_line(instruction.line, Code::failed_precondition,
                       instruction.verb + ": \"" + word + "\" " + not_in_context);
      }
      std::move(items.begin(), items.end(), std::back_inserter(copy.items));
    }
    if (copy.items.size() > 1 && copy.destination.back() != '/') {
      copy.destination += "/";
    }
    key.add("context").add(copy.destination);
    add_items(key, copy.items);
  }
  finish(std::move(step), key.key());
  return ok();
}

}  // namespace thaw::image
