// SPDX-License-Identifier: Apache-2.0
//
// What the server and its spawner say to each other. A specification that is decoded is one that
// encode() has written, byte for byte: what has more, other or larger values than the encoder
// writes is refused, and not cut to fit. The first byte says what the bytes are.
#include "tests/fuzz/target.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::fuzz {

namespace {

using namespace thaw::sandbox;
using namespace thaw::sandbox::detail;

void check_spec(std::string_view bytes) {
  const auto spec = decode(bytes);
  if (!spec) {
    expect_sentence(spec.error());
    return;
  }
  expect(encode(*spec) == bytes, "what was decoded is encoded as it was");
  expect(spec->profile <= Profile::templated, "a profile is one of three");
  expect(spec->network <= SandboxSpec::Network::host, "a network is one of three");
  if (const Result<void> valid = validate(*spec); !valid) {
    expect_sentence(valid.error());
  }
}

void check_options(std::string_view bytes) {
  const auto options = decode_options(bytes);
  if (!options) {
    expect_sentence(options.error());
    return;
  }
  expect(encode(*options) == bytes, "what was decoded is encoded as it was");
}

void check_failure(std::string_view bytes) {
  Reader reader(bytes);
  if (reader.kind() == Kind::failed) {
    const Error error = decode_failure(reader);
    expect(error.code() >= Code::cancelled && error.code() <= Code::unauthenticated,
           "a failure has a code of failures");
    const std::string again = encode_failure(error);
    Reader second(again);
    expect(second.kind() == Kind::failed, "a failure is told as one");
    const Error read = decode_failure(second);
    expect(read.code() == error.code() && error.message().starts_with(read.message()),
           "and says the same, perhaps less of it");
  }
}

// A specification made of the input's bytes, whatever its values are.
void check_made(Bytes bytes) {
  const auto text = [&bytes] { return std::string(bytes.text()); };
  const auto texts = [&] {
    std::vector<std::string> all;
    for (int n = bytes.byte() % 8; n > 0; --n) {
      all.push_back(text());
    }
    return all;
  };
  SandboxSpec spec;
  spec.id = model::ContainerId(text());
  spec.layers = texts();
  spec.upper = text();
  for (int n = bytes.byte() % 8; n > 0; --n) {
    BindMount& bind = spec.binds.emplace_back();
    bind.source = text();
    bind.target = text();
    bind.access = static_cast<BindMount::Access>(bytes.byte() % 2);
    bind.inside = text();
  }
  spec.argv = texts();
  spec.env = texts();
  spec.cwd = text();
  spec.hostname = text();
  spec.user = text();
  spec.limits.memory_bytes = bytes.number();
  spec.limits.cpu_millis = static_cast<std::uint32_t>(bytes.number());
  spec.limits.pids = static_cast<std::uint32_t>(bytes.number());
  spec.profile = static_cast<Profile>(bytes.byte() % 3);
  spec.network = static_cast<SandboxSpec::Network>(bytes.byte() % 3);
  spec.checkpoints = static_cast<SandboxSpec::Checkpoints>(bytes.byte() % 2);
  if (bytes.byte() % 2 == 1) {
    RestoreFrom& from = spec.restore.emplace();
    from.images = text();
    from.checkpoint.stdout_pipe = bytes.number();
    from.checkpoint.stderr_pipe = bytes.number();
    from.signal = bytes.byte() % 65;
  }
  spec.door_port = static_cast<std::uint16_t>(bytes.number());
  spec.workspace = text();
  spec.fork_from = model::ContainerId(text());
  const std::string written = encode(spec);
  const auto read = decode(written);
  expect(read.has_value(), "what was encoded can be decoded");
  expect(encode(*read) == written && read->limits.pids == spec.limits.pids &&
             read->argv == spec.argv && read->fork_from == spec.fork_from,
         "and is the same");
  expect(!decode(std::string_view(written).substr(0, written.size() - 1)),
         "nothing that is cut short is taken");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  switch (bytes.byte() % 4) {
    case 0: check_spec(bytes.rest()); break;
    case 1: check_options(bytes.rest()); break;
    case 2: check_failure(bytes.rest()); break;
    default: check_made(bytes);
  }
}

}  // namespace thaw::fuzz
