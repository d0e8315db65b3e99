// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/volume_reads.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_blocks.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/worker/volume_files.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using worker::VolumeFolder;

namespace {

constexpr std::uint64_t most_inside = 1u << 20;  // of an answer; who asks for more asks again
constexpr std::string_view blob_prefix = "bl-v";
constexpr std::string_view signed_as = "volume blob";
constexpr std::size_t mac_digits = 64;
constexpr std::size_t longest_blob_id = 16u << 10;  // a path has at most 4 KiB

std::string blob_of(Context& cx, const model::VolumeId& id, const std::string& path,
                    const worker::VolumeFile& file) {
  const std::string text =
      id.str() + "\n" + file.identity + "\n" + std::to_string(file.size) + "\n" + path;
  return std::string(blob_prefix) + codec::hex_encode(text) +
         cx.parts.secrets.sign(std::string(signed_as), text);
}

// Up to the next line break, which is taken off too.
std::string take_line(std::string_view& text) {
  const std::string line(text.substr(0, text.find('\n')));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

Result<std::string> read_range(const VolumeFolder& volume, const worker::FileRange& range) {
  THAW_TRY(const os::Fd file, worker::open_range(volume, range));
  std::string data(range.size, '\0');
  std::size_t held = 0;
  while (held < data.size()) {
    const ssize_t n = ::pread(file.get(), data.data() + held, data.size() - held,
                              static_cast<off_t>(range.offset + held));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return n < 0 ? Error::from_errno(errno, "cannot read a file of the volume")
                   : Error::aborted("a file of the volume was cut while it was read");
    }
    held += static_cast<std::size_t>(n);
  }
  return data;
}

Task<pb::VolumeGetFileResponse> get_file(Context& cx, net::GrpcCall& call,
                                         pb::VolumeGetFileRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  THAW_CO_TRY(VolumeRead read,
              co_await read_from_volume(cx, volume->id, path, request.start(), request.len()));
  pb::VolumeGetFileResponse reply;
  reply.set_size(read.size);
  reply.set_start(read.start);
  reply.set_len(read.length);
  if (read.blob_id.empty()) {
    reply.set_data(std::move(read.data));
  } else {
    reply.set_data_blob_id(std::move(read.blob_id));
  }
  co_return reply;
}

}  // namespace

Task<VolumeRead> read_from_volume(Context& cx, model::VolumeId id, std::string path,
                                  std::uint64_t start, std::uint64_t length) {
  auto look = [path](const VolumeFolder& folder) { return worker::look_at_file(folder, path); };
  THAW_CO_TRY(const worker::VolumeFile file, co_await cx.parts.volumes.run(id, std::move(look)));
  VolumeRead read;
  read.size = file.size;
  read.start = std::min(start, file.size);
  read.length = file.size - read.start;
  if (length > 0) {
    read.length = std::min({read.length, length, most_inside});
  }
  if (read.length > most_inside) {
    if (read.start > 0) {
      co_return Error::invalid_argument("the rest of '" + path + "' has " +
                                        std::to_string(read.length) +
                                        " bytes, which is too much for one answer: ask for ranges");
    }
    read.blob_id = blob_of(cx, id, path, file);
    co_return read;
  }
  const worker::FileRange range{path, file.identity, read.start, read.length};
  auto work = [range](const VolumeFolder& folder) { return read_range(folder, range); };
  THAW_CO_TRY(read.data, co_await cx.parts.volumes.run(id, std::move(work)));
  co_return read;
}

bool is_volume_blob(std::string_view blob_id) { return blob_id.starts_with(blob_prefix); }

Result<std::string> volume_blob_url(Context& cx, const gateway::Identity& who,
                                    const gateway::BaseUrl& base, std::string_view blob_id) {
  const auto unknown = [&blob_id] {
    return Error::not_found("blob '" + std::string(blob_id.substr(0, 80)) + "' does not exist");
  };
  if (blob_id.size() < blob_prefix.size() + mac_digits || blob_id.size() > longest_blob_id) {
    return unknown();
  }
  const std::string_view mac = blob_id.substr(blob_id.size() - mac_digits);
  blob_id.remove_prefix(blob_prefix.size());
  const auto text = codec::hex_decode(std::string(blob_id.substr(0, blob_id.size() - mac_digits)));
  if (!text || cx.parts.secrets.sign(std::string(signed_as), *text) != mac) {
    return unknown();
  }
  std::string_view rest = *text;
  const std::string volume = take_line(rest);
  worker::FileRange range;
  range.identity = take_line(rest);
  const std::string size = take_line(rest);
  std::from_chars(size.data(), size.data() + size.size(), range.size);
  range.path = rest;
  if (!find_any_volume(cx, who, volume)) {
    return unknown();
  }
  return block_get_url(cx, base, model::VolumeId(volume), range);
}

void add_volume_read_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "VolumeGetFile", get_file);
}

}  // namespace thaw::dialect::modal
