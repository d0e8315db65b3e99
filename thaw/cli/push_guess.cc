// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_guess.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>

namespace thaw::cli {

namespace {

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

struct Line {
  std::string verb;  // upper case
  std::string rest;
};

// The instructions of the last stage, comments dropped and continued lines joined. Whatever is
// wrong with them is the builder's to say.
std::vector<Line> last_stage(std::string_view text) {
  std::vector<Line> lines;
  std::string joined;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos || line[begin] == '#') {
      continue;
    }
    line = line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
    const bool goes_on = line.ends_with('\\') && !text.empty();
    joined += goes_on ? line.substr(0, line.size() - 1) : line;
    if (goes_on) {
      joined += ' ';
      continue;
    }
    const std::size_t blank = std::min(joined.find_first_of(" \t"), joined.size());
    Line made;
    std::transform(joined.begin(), joined.begin() + static_cast<std::ptrdiff_t>(blank),
                   std::back_inserter(made.verb), [](unsigned char c) { return std::toupper(c); });
    made.rest = joined.substr(blank);
    joined.clear();
    if (made.verb == "FROM") {
      lines.clear();
    }
    lines.push_back(std::move(made));
  }
  return lines;
}

// The words of a command, in shell form or exec form, without their folders.
std::vector<std::string> words_of(const std::string& command) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : command + " ") {
    if (std::string_view(" \t,[]\"'=;&|").find(c) == std::string_view::npos) {
      word += c == '/' ? ' ' : c;
      continue;
    }
    if (!word.empty()) {
      words.push_back(word.substr(word.rfind(' ') + 1));
      word.clear();
    }
  }
  return words;
}

class Stage {
 public:
  explicit Stage(std::string_view dockerfile) : lines_(last_stage(dockerfile)) {}

  // The image that it begins with.
  bool is_from(std::string_view part) const {
    return !lines_.empty() && lines_.front().verb == "FROM" &&
           lines_.front().rest.find(part) != std::string::npos;
  }
  bool mentions(std::string_view part) const {
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const Line& line) { return line.rest.find(part) != std::string::npos; });
  }
  // Whether what is run has the words, one after the other.
  bool runs(const std::vector<std::string>& words) const {
    std::vector<std::string> command;
    for (const char* verb : {"ENTRYPOINT", "CMD"}) {
      const auto last = std::find_if(lines_.rbegin(), lines_.rend(),
                                     [&](const Line& line) { return line.verb == verb; });
      if (last != lines_.rend()) {
        const auto more = words_of(last->rest);
        command.insert(command.end(), more.begin(), more.end());
      }
    }
    return std::search(command.begin(), command.end(), words.begin(), words.end()) != command.end();
  }

 private:
  std::vector<Line> lines_;
};

}  // namespace

PresetGuess guess_preset(const std::vector<std::string>& paths, std::string_view dockerfile) {
  const Stage stage(dockerfile);
  if (std::find(paths.begin(), paths.end(), "/cog.yaml") != paths.end()) {
    return {"cog", "the folder has a cog.yaml"};
  }
  if (stage.runs({"-m", "cog.server.http"})) {
    return {"cog", "the Dockerfile runs cog.server.http"};
  }
  if (stage.runs({"vllm", "serve"}) || stage.runs({"vllm.entrypoints.openai.api_server"})) {
    return {"vllm", "the Dockerfile runs vLLM"};
  }
  if (stage.is_from("vllm/vllm-openai")) {
    return {"vllm", "the Dockerfile is from vllm-openai"};
  }
  if (stage.runs({"text-generation-launcher"}) || stage.is_from("/text-generation-inference")) {
    return {"tgi", "the Dockerfile has text-generation-inference"};
  }
  if (stage.runs({"text-embeddings-router"}) || stage.is_from("/text-embeddings-inference")) {
    return {"tei", "the Dockerfile has text-embeddings-inference"};
  }
  if (stage.runs({"llama-server"}) || stage.is_from("ggml-org/llama.cpp:server")) {
    return {"llama_server", "the Dockerfile runs llama-server"};
  }
  if (stage.runs({"of-watchdog"}) || stage.runs({"fwatchdog"})) {
    return {"openfaas", "the Dockerfile runs a watchdog of OpenFaaS"};
  }
  if (stage.runs({"workerd", "serve"})) {
    return {"workerd", "the Dockerfile runs workerd"};
  }
  if (stage.mentions("/opt/ml") && exposed_port(dockerfile) == 8080) {
    return {"sagemaker", "the Dockerfile names /opt/ml and EXPOSE 8080"};
  }
  if (constexpr std::uint16_t grpc_port = 50051; exposed_port(dockerfile) == grpc_port) {
    return {"grpc", "the Dockerfile has EXPOSE 50051, the port of gRPC"};
  }
  return {"plain", "nothing in the folder says which kind of server it is"};
}

std::string why_no_dockerfile(const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), "cog.yaml") != names.end()) {
    return "has a cog.yaml and no Dockerfile: it is pushed with the preset cog, or with none";
  }
  return "has no Dockerfile and no cog.yaml; write one, or name another with --dockerfile";
}

std::uint16_t exposed_port(std::string_view dockerfile) {
  for (const Line& line : last_stage(dockerfile)) {
    if (line.verb != "EXPOSE") {
      continue;
    }
    const std::size_t begin = std::min(line.rest.find_first_not_of(" \t"), line.rest.size());
    const std::size_t end = std::min(line.rest.find_first_of(" \t", begin), line.rest.size());
    std::string_view word(line.rest.data() + begin, end - begin);
    if (word.ends_with("/tcp")) {
      word.remove_suffix(4);
    }
    std::uint16_t port = 0;
    const auto [rest, error] = std::from_chars(word.data(), word.data() + word.size(), port);
    if (error == std::errc() && rest == word.data() + word.size() && port != 0) {
      return port;
    }
  }
  return 0;
}

std::string function_name_of(std::string_view folder_name) {
  constexpr std::size_t most = 40;
  std::string name;
  for (const char c : folder_name) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      name += lower(c);
    } else if (!name.empty() && !name.ends_with('-')) {
      name += '-';
    }
  }
  name.resize(std::min(name.size(), most));
  while (name.ends_with('-')) {
    name.pop_back();
  }
  return name.empty() ? "app" : name;
}

}  // namespace thaw::cli
