// SPDX-License-Identifier: Apache-2.0
//
// Any text is either a plan or an error that says why: never a crash, never unbounded work. A plan
// of the same text has the same key, and a list of words is one where it is one of JSON.
#include "thaw/image/dockerfile.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/fuzz/target.h"
#include "thaw/image/dockerfile_words.h"
#include "thaw/image/plan.h"

namespace thaw::fuzz {

using namespace thaw::image;

namespace {

// The exec form against a second reader of JSON.
void check_exec_form(const std::string& text) {
  const auto words = parse_exec_form(text);
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const bool is_list =
      json.is_array() && std::all_of(json.begin(), json.end(), [](const nlohmann::json& item) {
        // No word of a program has a NUL.
        return item.is_string() && item.get<std::string>().find('\0') == std::string::npos;
      });
  expect(words.has_value() == is_list, "a list of words is a list of texts in JSON");
  expect(!words || *words == json.get<std::vector<std::string>>(), "and has the same words");
}

void check_words(std::string_view text) {
  for (const char escape : {'\\', '`'}) {
    for (const std::string& word : split_words(text, escape)) {
      const auto lookup = [](std::string_view name) -> std::optional<std::string> {
        return name.size() % 2 == 0 ? std::nullopt : std::optional(std::string(name) + "$x");
      };
      const auto expanded = expand_word(word, escape, lookup);
      if (expanded) {
        expect(expanded->size() <= max_expanded_bytes, "what an expansion gives is bounded");
      } else {
        expect_sentence(expanded.error());
      }
    }
  }
}

void check_plan(const std::string& text) {
  Recipe recipe;
  recipe.dockerfile = {text};
  recipe.context = {{"/a/b.txt", {"00", 0644}}, {"/c", {"11", 0755}}};
  recipe.files = {{"/r.txt", "text"}};
  recipe.build_args = {{"V", "1"}};
  const BaseLookup lookup = [](const std::string& reference) -> Result<BaseFacts> {
    if (reference.size() > 8) {
      return Error::not_found("no such base");
    }
    BaseFacts facts;
    facts.key = reference;
    facts.config.env = {"PATH=/bin"};
    return facts;
  };
  const auto plan = make_plan(recipe, lookup);
  const auto again = make_plan(recipe, lookup);
  expect(plan.has_value() == again.has_value(), "the same text is the same plan");
  if (!plan) {
    expect_sentence(plan.error());
    return;
  }
  expect(plan->result().key() == again->result().key(), "the same text has the same key");
  for (const auto& stage : plan->stages) {
    for (const Step& step : stage.steps) {
      expect(step.line > 0, "a step has a line");
      expect(step.kind != Step::Kind::copy || step.copy.destination.starts_with('/'),
             "what is copied goes to an absolute path");
    }
  }
}

}  // namespace

void run(std::string_view input) {
  const std::string text(input);
  if (text.starts_with('[')) {
    check_exec_form(text);
  }
  check_words(input.substr(0, 512));
  const auto parsed = parse_dockerfile(input);
  if (!parsed) {
    expect_sentence(parsed.error());
  } else {
    for (const Instruction& one : parsed->instructions) {
      expect(one.summary().find('\n') == std::string::npos, "a summary is one line");
    }
  }
  check_plan(text);
}

}  // namespace thaw::fuzz
