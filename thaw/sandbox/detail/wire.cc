// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/wire.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "thaw/sandbox/detail/reach_rules.h"

namespace thaw::sandbox::detail {

namespace {

void put(Writer& out, const std::vector<std::string>& texts) {
  out.number(texts.size());
  for (const std::string& text : texts) {
    out.text(text);
  }
}

std::vector<std::string> take_texts(Reader& in) {
  std::vector<std::string> texts;
  for (std::uint64_t n = in.number(); n > 0 && in.ok(); --n) {
    texts.push_back(in.text());
  }
  return texts;
}

constexpr std::uint64_t most_u32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t most_u16 = std::numeric_limits<std::uint16_t>::max();
constexpr std::uint64_t last_signal = 64;

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

}  // namespace

std::string encode(const SandboxSpec& spec) {
  Writer out;
  out.text(spec.id.str());
  put(out, spec.layers);
  out.text(spec.upper);
  out.number(spec.binds.size());
  for (const BindMount& bind : spec.binds) {
    out.text(bind.source).text(bind.target).number(static_cast<std::uint64_t>(bind.access));
    out.text(bind.inside);
  }
  out.number(spec.served.size());
  for (const ServedFolder& folder : spec.served) {
    out.text(folder.target).number(static_cast<std::uint64_t>(folder.access));
  }
  put(out, spec.argv);
  put(out, spec.env);
  out.text(spec.cwd).text(spec.hostname).text(spec.user);
  out.number(spec.limits.memory_bytes).number(spec.limits.cpu_millis).number(spec.limits.pids);
  out.number(static_cast<std::uint64_t>(spec.profile));
  out.number(static_cast<std::uint64_t>(spec.network));
  out.number(spec.reaches ? 1 : 0);
  if (spec.reaches) {
    put(out, *spec.reaches);
  }
  out.number(static_cast<std::uint64_t>(spec.checkpoints));
  out.number(static_cast<std::uint64_t>(spec.guests));
  out.number(spec.restore ? 1 : 0);
  if (spec.restore) {
    out.text(spec.restore->images);
    out.number(spec.restore->checkpoint.stdout_pipe).number(spec.restore->checkpoint.stderr_pipe);
    out.number(static_cast<std::uint64_t>(spec.restore->signal));
  }
  out.number(spec.door_port);
  out.text(spec.workspace).text(spec.fork_from.str());
  return out.bytes();
}

Result<SandboxSpec> decode(std::string_view bytes) {
  Reader in(bytes);
  SandboxSpec spec;
  spec.id = model::ContainerId(in.text());
  spec.layers = take_texts(in);
  spec.upper = in.text();
  for (std::uint64_t n = in.number(); n > 0 && in.ok(); --n) {
    BindMount bind;
    bind.source = in.text();
    bind.target = in.text();
    bind.access = in.choice(BindMount::Access::read_write);
    bind.inside = in.text();
    spec.binds.push_back(std::move(bind));
  }
  for (std::uint64_t n = in.number(); n > 0 && in.ok(); --n) {
    ServedFolder folder;
    folder.target = in.text();
    folder.access = in.choice(BindMount::Access::read_write);
    spec.served.push_back(std::move(folder));
  }
  spec.argv = take_texts(in);
  spec.env = take_texts(in);
  spec.cwd = in.text();
  spec.hostname = in.text();
  spec.user = in.text();
  spec.limits.memory_bytes = in.number();
  spec.limits.cpu_millis = static_cast<std::uint32_t>(in.number_up_to(most_u32));
  spec.limits.pids = static_cast<std::uint32_t>(in.number_up_to(most_u32));
  spec.profile = in.choice(Profile::templated);
  spec.network = in.choice(SandboxSpec::Network::host);
  if (in.number_up_to(1) == 1) {
    spec.reaches = take_texts(in);
  }
  spec.checkpoints = in.choice(SandboxSpec::Checkpoints::possible);
  spec.guests = in.choice(SandboxSpec::Guests::possible);
  if (in.number_up_to(1) == 1) {
    RestoreFrom& from = spec.restore.emplace();
    from.images = in.text();
    from.checkpoint.stdout_pipe = in.number();
    from.checkpoint.stderr_pipe = in.number();
    from.signal = static_cast<int>(in.number_up_to(last_signal));
  }
  spec.door_port = static_cast<std::uint16_t>(in.number_up_to(most_u16));
  spec.workspace = in.text();
  spec.fork_from = model::ContainerId(in.text());
  if (!in.is_whole()) {
    return Error::internal("a sandbox specification was cut short, or is none");
  }
  return spec;
}

std::string encode(const ProcessSpec& spec) {
  Writer out;
  put(out, spec.argv);
  put(out, spec.env);
  out.text(spec.cwd).text(spec.user).number(spec.terminal ? 1 : 0);
  if (spec.terminal) {
    out.number(spec.terminal->rows).number(spec.terminal->columns);
  }
  out.text(spec.note);
  return out.bytes();
}

Result<ProcessSpec> decode_process(std::string_view bytes) {
  Reader in(bytes);
  ProcessSpec spec;
  spec.argv = take_texts(in);
  spec.env = take_texts(in);
  spec.cwd = in.text();
  spec.user = in.text();
  if (in.number_up_to(1) == 1) {
    TerminalSize& size = spec.terminal.emplace();
    size.rows = static_cast<std::uint16_t>(in.number_up_to(most_u16));
    size.columns = static_cast<std::uint16_t>(in.number_up_to(most_u16));
  }
  spec.note = in.text();
  if (!in.is_whole()) {
    return Error::internal("what to run in a sandbox was cut short, or is none");
  }
  return spec;
}

std::string encode(const SpawnerOptions& options) {
  Writer out;
  out.text(options.instance).text(options.folder).text(options.bridge_address);
  out.number(static_cast<std::uint64_t>(options.networking)).text(options.criu);
  put(out, options.refused_networks);
  put(out, options.allowed_networks);
  out.number(static_cast<std::uint64_t>(options.own_ids));
  put(out, options.shown_folders);
  out.number(static_cast<std::uint64_t>(options.keeping));
  return out.bytes();
}

Result<SpawnerOptions> decode_options(std::string_view bytes) {
  Reader in(bytes);
  SpawnerOptions options;
  options.instance = in.text();
  options.folder = in.text();
  options.bridge_address = in.text();
  options.networking = in.choice(SpawnerOptions::Networking::off);
  options.criu = in.text();
  options.refused_networks = take_texts(in);
  options.allowed_networks = take_texts(in);
  options.own_ids = in.choice(SpawnerOptions::OwnIds::off);
  options.shown_folders = take_texts(in);
  options.keeping = in.choice(SpawnerOptions::Keeping::on);
  if (!in.is_whole()) {
    return Error::internal("the options of a spawner were cut short, or are none");
  }
  return options;
}

std::string encode_failure(const Error& error) {
  Writer out(Kind::failed);
  // Kernel texts are short; a message must fit into one datagram.
  out.number(static_cast<std::uint64_t>(error.code())).text(error.to_string().substr(0, 4000));
  return out.bytes();
}

Error decode_failure(Reader& reader) {
  const auto code = reader.choice(Code::unauthenticated);
  std::string text = reader.text();
  if (!reader.ok() || code == Code::ok) {
    return Error::internal("a failure was told, and what failed was cut short: '" + text + "'");
  }
  return {code, std::move(text)};
}

Result<void> validate(const SandboxSpec& spec) {
  const std::string& id = spec.id.str();
  const auto harmless = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  if (id.empty() || id.size() > 64 || id[0] == '.' ||
      !std::all_of(id.begin(), id.end(), harmless)) {
    return Error::invalid_argument("a sandbox id must be 1 to 64 letters, digits, '-', '_', '.'")
        .with("id", id);
  }
  if (spec.layers.empty() || spec.layers.size() > 400) {
    return Error::invalid_argument("a sandbox needs 1 to 400 layers").with("id", id);
  }
  const bool may_be_empty = spec.guests == SandboxSpec::Guests::possible && !spec.restore &&
                            spec.fork_from.str().empty() && spec.profile == Profile::function;
  if (spec.argv.empty() ? !may_be_empty : spec.argv[0].empty()) {
    return Error::invalid_argument("a sandbox needs a program to run").with("id", id);
  }
  std::vector<std::string> paths = spec.layers;
  paths.push_back(spec.cwd);
  if (!spec.upper.empty()) {
    paths.push_back(spec.upper);
  }
  if (spec.restore) {
    paths.push_back(spec.restore->images);
  }
  for (const BindMount& bind : spec.binds) {
    paths.push_back(bind.source);
    paths.push_back(bind.target);
    if (has_nul(bind.inside)) {
      return Error::invalid_argument("a NUL byte in a sandbox specification").with("id", id);
    }
  }
  for (const ServedFolder& folder : spec.served) {
    paths.push_back(folder.target);
  }
  if (!spec.served.empty() && (spec.restore || !spec.fork_from.str().empty() ||
                               spec.profile == Profile::templated || spec.served.size() > 64)) {
    return Error::invalid_argument("at most 64 folders are served to one that is booted")
        .with("id", id);
  }
  for (const std::string& path : paths) {
    if (path.empty() || path[0] != '/' || has_nul(path)) {
      return Error::invalid_argument("'" + path + "' is not an absolute path").with("id", id);
    }
  }
  if (std::any_of(spec.argv.begin(), spec.argv.end(), has_nul) ||
      std::any_of(spec.env.begin(), spec.env.end(), has_nul) || has_nul(spec.user) ||
      has_nul(spec.hostname) || spec.hostname.size() > 63) {
    return Error::invalid_argument("a NUL byte or too long a name in a sandbox specification")
        .with("id", id);
  }
  if (spec.door_port != 0 && spec.network == SandboxSpec::Network::host) {
    return Error::invalid_argument("a sandbox with the host's network has no door of its own")
        .with("id", id);
  }
  if (spec.reaches) {
    if (spec.network != SandboxSpec::Network::bridge || spec.restore ||
        !spec.fork_from.str().empty() || spec.profile == Profile::templated) {
      return Error::invalid_argument(
                 "what a sandbox reaches is said of one that is booted, with a network of its own")
          .with("id", id);
    }
    THAW_TRY_VOID(check_reached(*spec.reaches).map_error([&](Error error) {
      return std::move(error).with("id", id);
    }));
  }
  return ok();
}

Result<void> validate(const ProcessSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty()) {
    return Error::invalid_argument("a process needs a program to run");
  }
  if (spec.cwd.empty() || spec.cwd[0] != '/') {
    return Error::invalid_argument("the working folder '" + spec.cwd + "' is not an absolute path");
  }
  if (std::any_of(spec.argv.begin(), spec.argv.end(), has_nul) ||
      std::any_of(spec.env.begin(), spec.env.end(), has_nul) || has_nul(spec.cwd) ||
      has_nul(spec.user)) {
    return Error::invalid_argument("a NUL byte in what is to run in a sandbox");
  }
  if (spec.note.size() > longest_note) {
    return Error::invalid_argument("the note of a process has at most 4 KiB");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
