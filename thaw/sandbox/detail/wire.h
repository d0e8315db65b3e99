// SPDX-License-Identifier: Apache-2.0
//
// What the server and its spawner process say to each other. Every request travels over one
// control socket and brings its own reply socket, so there are no request numbers and no reader
// that sorts replies; a reply socket that ends without an answer means that the spawner is gone.
//   begin      fds: locks                        -> nothing: what the process is for, said first
//   prepare    fds: reply                        -> done{bridge address, its network} | failed
//   allow_port fds: reply                        -> done | failed
//   start      fds: report, spec, stdout, stderr -> launched + pidfd (from the spawner), door + its
//              socket, if there is to be one, served + device and mount for each folder that
//              somebody serves (from who has built), then started, exited (from
//              PID 1 inside), or failed (from any); a template brings both ends of its control
//              socket too
//   checkpoint fds: reply                        -> done | failed
//   keep_spares  a template's name, a number      -> nothing
//   count_spares fds: reply                      -> done{those that are ready}
//   remove     fds: reply or none                -> done
//   keep       a sandbox's name, until when, its facts; fds: server's end of its report, note
//   next_kept  the name before it; fds: reply    -> done{name, facts} + pidfd, report, note; the
//              last: done with an empty name
//   shut_down  fds: reply                        -> done | failed
// What a server says that finds the spawner of one that is gone (keeper.h):
//   take_over  version, secret, options; fds: control socket, log
//                                                -> done + pidfd, locks; or failed
// What the server says to PID 1 of a sandbox with guests, over its report socket:
//   run        a number; fds: reply, spec        -> started + its other ends of input, output and
//              errors, or of its terminal; then exited; or failed
//   kill       a number, a signal                -> nothing
// and, of processes with notes, whose ends of the server PID 1 has copies of:
//   close_input, let_go (of its streams)  a number       -> nothing
//   mark       a number, bytes                           -> nothing
//   next_guest the number before it; fds: reply, report  -> started{number, note, mark, what is
//              open, how it ended} + its streams that are open; the last: done{the highest number}.
//              `report` is its new reply socket
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

enum class Kind : std::uint8_t {
  prepare = 1,
  allow_port,
  start,
  remove,
  shut_down,
  launched,
  started,
  exited,
  done,
  failed,
  checkpoint,
  keep_spares,
  count_spares,
  begin,
  door,
  run,
  kill,
  take_over,
  keep,
  next_kept,
  close_input,
  let_go,
  mark,
  next_guest,
  served,
};

constexpr std::size_t longest_note = 4 * 1024;  // of a process, and of its mark

class Writer {
 public:
  explicit Writer(Kind kind) { number(static_cast<std::uint64_t>(kind)); }
  Writer() = default;
  Writer& number(std::uint64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& text(std::string_view value) {
    number(value.size());
    bytes_.append(value);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Reads what Writer wrote. A short message reads as zeros and empty texts, and ok() is false then;
// so it is of a number that is greater than it may be.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  Kind kind() { return static_cast<Kind>(number()); }
  std::uint64_t number() {
    std::uint64_t value = 0;
    if (bytes_.size() < sizeof value) {
      ok_ = false;
      return 0;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  std::uint64_t number_up_to(std::uint64_t most) {
    const std::uint64_t value = number();
    ok_ = ok_ && value <= most;
    return value <= most ? value : 0;
  }
  // The last value of E stands for what it can be.
  template <class E>
  E choice(E last) {
    return static_cast<E>(number_up_to(static_cast<std::uint64_t>(last)));
  }
  std::string text() {
    const std::uint64_t size = number();
    if (size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    std::string value(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return value;
  }
  bool ok() const { return ok_; }
  // All was read, and there is no more.
  bool is_whole() const { return ok_ && bytes_.empty(); }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

// Only what encode() writes is decoded: nothing is cut to fit, and nothing passed over.
std::string encode(const SandboxSpec& spec);
Result<SandboxSpec> decode(std::string_view bytes);

std::string encode(const ProcessSpec& spec);
Result<ProcessSpec> decode_process(std::string_view bytes);

std::string encode(const SpawnerOptions& options);
Result<SpawnerOptions> decode_options(std::string_view bytes);

std::string encode_failure(const Error& error);
// After kind() was read. One that is cut short, or says that all is well, is a failure too.
Error decode_failure(Reader& reader);

// What no sandbox may be asked for: ids that are no file names, relative paths, NUL bytes.
Result<void> validate(const SandboxSpec& spec);
Result<void> validate(const ProcessSpec& spec);

}  // namespace thaw::sandbox::detail
