// SPDX-License-Identifier: Apache-2.0
//
// RUN --mount: files of the context or of another image, folders for what is not to stay, secrets.
#include <algorithm>

#include "thaw/image/context_paths.h"
#include "thaw/image/key_maker.h"
#include "thaw/image/stage_planner.h"

namespace thaw::image {
namespace {

bool is_on(const std::optional<std::string>& option) {
  return option && (option->empty() || *option == "true" || *option == "1");
}

// The first of several names of one option.
std::optional<std::string> any_option(std::string_view mount,
                                      std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (auto value = mount_option(mount, name)) {
      return value;
    }
  }
  return std::nullopt;
}

bool is_variable(const std::string& name) {
  return !name.empty() && name.find_first_of("=/ \t") == std::string::npos;
}

}  // namespace

std::optional<std::string> mount_option(std::string_view mount, std::string_view name) {
  while (!mount.empty()) {
    const std::string_view option = mount.substr(0, mount.find(','));
    mount.remove_prefix(std::min(mount.size(), option.size() + 1));
    const std::size_t equals = option.find('=');
    if (option.substr(0, equals) == name) {
      return equals == std::string_view::npos ? std::string()
                                              : std::string(option.substr(equals + 1));
    }
  }
  return std::nullopt;
}

Result<void> StagePlanner::find_mounted_files(const Instruction& instruction,
                                              const std::string& text, RunMount& mount,
                                              KeyMaker& key) {
  THAW_TRY(const std::string source,
           expand(instruction, any_option(text, {"source", "src"}).value_or(".")));
  const auto from = mount_option(text, "from");
  if (from && !from->empty()) {
    auto origin = find_source(*from);
    if (!origin) {
      return at_line(instruction.line, origin.error().code(),
                     "RUN --mount from=" + *from + ": " + origin.error().message());
    }
    mount.from_stage = origin->stage;
    mount.from_reference = origin->reference;
    mount.source = normal_path(source);
    key.add("image").add(origin->key).add(mount.source);
    return ok();
  }
  THAW_TRY_VOID(note_look(instruction, source));
  mount.items = find_in_context(recipe_, source);
  if (mount.items.empty()) {
    return at_line(instruction.line, Code::failed_precondition,
                   "RUN --mount=type=bind: \"" + source + "\" " + not_in_context);
  }
  add_items(key.add("context"), mount.items);
  return ok();
}

Result<RunMount> StagePlanner::run_mount(const Instruction& instruction, const std::string& text,
                                         KeyMaker& key) {
  RunMount mount;
  const std::string type = mount_option(text, "type").value_or("bind");
  if (type != "bind" && type != "cache" && type != "tmpfs" && type != "secret") {
    return at_line(instruction.line, Code::unimplemented,
                   "RUN --mount=type=" + type +
                       " is not supported; bind, cache, tmpfs and secret are. Pass keys to the "
                       "build as secrets, which are environment variables of its RUN steps");
  }
  std::string target = any_option(text, {"target", "dst", "destination"}).value_or("");
  if (type == "secret") {
    mount.kind = RunMount::Kind::secret;
    mount.secret = any_option(text, {"id"}).value_or("");
    mount.variable = any_option(text, {"env"}).value_or("");
    mount.missing = is_on(mount_option(text, "required")) ? RunMount::Missing::error
                                                          : RunMount::Missing::left_out;
    mount.mode = 0400;
    if (!is_variable(mount.secret) || (!mount.variable.empty() && !is_variable(mount.variable))) {
      return at_line(instruction.line,
                     "write RUN --mount=type=secret,id=NAME, with the name of a secret's variable");
    }
    target = target.empty() && mount.variable.empty() ? "/run/secrets/" + mount.secret : target;
  } else if (type != "bind") {
    mount.kind = RunMount::Kind::scratch;
    mount.access = RunMount::Access::read_write;
    mount.mode = type == "tmpfs" ? 01777 : 0755;
    if (mount_option(text, "from")) {
      return at_line(instruction.line, Code::unimplemented,
                     "RUN --mount=type=" + type + " with from= is not supported");
    }
  } else if (is_on(any_option(text, {"rw", "readwrite"}))) {
    mount.access = RunMount::Access::read_write;
  }
  THAW_TRY(target, expand(instruction, target));
  mount.target = target.empty() ? "" : absolute_path(config_.workdir, target);
  if ((mount.target.empty() && mount.variable.empty()) || mount.target == "/") {
    return at_line(instruction.line,
                   "RUN --mount=type=" + type + " needs a target=, a path below the root");
  }
  key.add(type).add(mount.target).add(mount.secret).add(mount.variable);
  key.add(mount.access == RunMount::Access::read_write ? "rw" : "ro");
  if (mount.kind == RunMount::Kind::files) {
    THAW_TRY_VOID(find_mounted_files(instruction, text, mount, key));
  }
  return mount;
}

}  // namespace thaw::image
