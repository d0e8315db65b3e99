// SPDX-License-Identifier: Apache-2.0
// The files of volumes: listing, upload, download, copying, removal. The two formats of volumes
// differ in how the client uploads; the other RPCs have the same messages under two names.
#include "thaw/worker/volume_files.h"

#include <optional>
#include <unordered_map>

#include "thaw/codec/encoding.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/proto/images.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_blocks.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/worker/volume_listing.h"
#include "thaw/worker/volume_upload.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using worker::Existing;
using worker::UploadedFile;
using worker::VolumeEntry;
using worker::VolumeFolder;

namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 43;  // 8 TiB

pb::FileEntry::FileType wire_type(VolumeEntry::Type type) {
  switch (type) {
    case VolumeEntry::Type::file: return pb::FileEntry::FILE;
    case VolumeEntry::Type::folder: return pb::FileEntry::DIRECTORY;
    case VolumeEntry::Type::link: return pb::FileEntry::SYMLINK;
    case VolumeEntry::Type::fifo: return pb::FileEntry::FIFO;
    case VolumeEntry::Type::socket: return pb::FileEntry::SOCKET;
    case VolumeEntry::Type::other: break;
  }
  return pb::FileEntry::UNSPECIFIED;
}

Task<void> list_files(Context& cx, net::GrpcCall& call, pb::VolumeListFiles2Request request,
                      net::Sink<pb::VolumeListFiles2Response> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  const auto depth = request.recursive() ? worker::VolumeListing::Depth::recursive
                                         : worker::VolumeListing::Depth::one_folder;
  auto begin =
      [path, depth](const VolumeFolder& folder) -> Result<std::shared_ptr<worker::VolumeListing>> {
    THAW_TRY(worker::VolumeListing listing, worker::VolumeListing::open(folder, path, depth));
    return std::make_shared<worker::VolumeListing>(std::move(listing));
  };
  THAW_CO_TRY(const auto listing, co_await cx.parts.volumes.run(volume->id, std::move(begin)));
  std::uint64_t left = request.has_max_entries() ? request.max_entries() : UINT64_MAX;
  while (left > 0) {
    auto step = [listing] { return listing->next(); };
    THAW_CO_TRY(const auto entries, co_await cx.parts.volumes.run_apart(std::move(step)));
    if (entries.empty()) {
      break;
    }
    pb::VolumeListFiles2Response piece;
    for (std::size_t i = 0; i < entries.size() && left > 0; ++i, --left) {
      auto* entry = piece.add_entries();
      entry->set_path(codec::valid_utf8(entries[i].path));
      entry->set_type(wire_type(entries[i].type));
      entry->set_mtime(
          static_cast<std::uint64_t>(std::max<std::int64_t>(entries[i].modified_s, 0)));
      entry->set_size(entries[i].size);
    }
    THAW_CO_TRY_VOID(co_await sink.write(piece));
  }
  co_return ok();
}

// The staged names that the client hands in, by digest. It keeps one for each digest.
std::unordered_map<std::string, std::string> uploaded_blocks(
    const pb::VolumePutFiles2Request& request) {
  std::unordered_map<std::string, std::string> names;
  for (const auto& file : request.files()) {
    for (const auto& block : file.blocks()) {
      const std::string digest = codec::hex_encode(block.contents_sha256());
      if (worker::is_block_name(block.put_response(), digest)) {
        names[digest] = block.put_response();
      }
    }
  }
  return names;
}

Result<UploadedFile> file_from(const pb::VolumePutFiles2Request::File& file) {
  UploadedFile out;
  THAW_TRY(out.path, worker::volume_path(file.path()));
  out.size = file.size();
  out.mode = file.has_mode() ? file.mode() : 0644;
  const std::uint64_t blocks =
      (out.size + worker::volume_block_size - 1) / worker::volume_block_size;
  if (out.size > largest_file || static_cast<std::uint64_t>(file.blocks_size()) != blocks) {
    return Error::invalid_argument("'" + file.path() + "' of " + std::to_string(out.size) +
                                   " bytes cannot have " + std::to_string(file.blocks_size()) +
                                   " blocks");
  }
  return out;
}

// Makes the files of what is staged and moves them into place. What is acknowledged is on disk.
Task<void> place_files(Context& cx, model::VolumeId id, std::vector<UploadedFile> files,
                       Existing existing) {
  auto build =
      [files = std::move(files), existing](
          const VolumeFolder& volume) mutable -> Result<std::shared_ptr<worker::StagedFiles>> {
    THAW_TRY_VOID(worker::check_targets(volume, files, existing));
    return worker::StagedFiles::assemble(volume, std::move(files));
  };
  THAW_CO_TRY(const auto staged, co_await cx.parts.volumes.run(id, std::move(build)));
  // First the bytes, then the names: a crash between leaves no file without its content.
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.flush());
  auto place = [staged, existing] { return staged->place(existing); };
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run_apart(std::move(place)));
  co_return co_await cx.parts.volumes.flush();
}

Task<pb::VolumePutFiles2Response> put_files(Context& cx, net::GrpcCall& call,
                                            pb::VolumePutFiles2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  const Existing existing =
      request.disallow_overwrite_existing_files() ? Existing::refuse : Existing::replace;
  auto known = uploaded_blocks(request);
  const std::string authority = authority_for(cx, call);
  pb::VolumePutFiles2Response reply;
  std::vector<UploadedFile> files;
  std::uint64_t all_bytes = 0;
  for (int f = 0; f < request.files_size(); ++f) {
    THAW_CO_TRY(UploadedFile file, file_from(request.files(f)));
    for (int b = 0; b < request.files(f).blocks_size(); ++b) {
      const std::string digest = codec::hex_encode(request.files(f).blocks(b).contents_sha256());
      const auto found = known.find(digest);
      const std::uint64_t most =
          std::min(worker::volume_block_size,
                   file.size - static_cast<std::uint64_t>(b) * worker::volume_block_size);
      all_bytes += digest == worker::empty_block_sha256_hex ? 0 : most;
      if (digest == worker::empty_block_sha256_hex) {
        file.blocks.emplace_back();
      } else if (found != known.end()) {
        file.blocks.push_back(found->second);
      } else if (digest.size() != 64) {
        co_return Error::invalid_argument("a block of '" + file.path + "' has no SHA-256");
      } else {
        auto* missing = reply.add_missing_blocks();
        missing->set_file_index(static_cast<std::uint64_t>(f));
        missing->set_block_index(static_cast<std::uint64_t>(b));
        const std::string name = worker::new_block_name(digest);
        missing->set_put_url(block_put_url(cx, authority, volume->id, name, most));
        // Asked for once: a block that occurs again is the same upload.
        known[digest] = name;
        file.blocks.push_back(name);
      }
    }
    files.push_back(std::move(file));
  }
  if (reply.missing_blocks_size() > 0) {
    // What cannot work is said before the bytes travel.
    THAW_CO_TRY_VOID(cx.parts.volumes.check_space(all_bytes));
    auto check = [files = std::move(files), existing](const VolumeFolder& folder) {
      return worker::check_targets(folder, files, existing);
    };
    THAW_CO_TRY_VOID(co_await cx.parts.volumes.run(volume->id, std::move(check)));
    co_return reply;
  }
  THAW_CO_TRY_VOID(co_await place_files(cx, volume->id, std::move(files), existing));
  co_return reply;
}

Task<Empty> put_files_v1(Context& cx, net::GrpcCall& call, pb::VolumePutFilesRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  const Existing existing =
      request.disallow_overwrite_existing_files() ? Existing::refuse : Existing::replace;
  std::vector<UploadedFile> files;
  for (const auto& file : request.files()) {
    UploadedFile uploaded;
    THAW_CO_TRY(uploaded.path, worker::volume_path(file.filename()));
    if (!cx.parts.blobs.contains(file.sha256_hex())) {
      co_return Error::failed_precondition("file '" + file.filename() + "' was not uploaded");
    }
    THAW_CO_TRY(uploaded.host_file, cx.parts.blobs.path(file.sha256_hex()));
    uploaded.mode = file.has_mode() ? file.mode() : 0644;
    files.push_back(std::move(uploaded));
  }
  THAW_CO_TRY_VOID(co_await place_files(cx, volume->id, std::move(files), existing));
  co_return Empty();
}

Task<pb::VolumeGetFile2Response> get_file(Context& cx, net::GrpcCall& call,
                                          pb::VolumeGetFile2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  auto look = [path](const VolumeFolder& folder) { return worker::look_at_file(folder, path); };
  THAW_CO_TRY(const worker::VolumeFile file,
              co_await cx.parts.volumes.run(volume->id, std::move(look)));
  const std::string authority = authority_for(cx, call);
  const std::uint64_t start = std::min<std::uint64_t>(request.start(), file.size);
  const std::uint64_t rest = file.size - start;
  const std::uint64_t length =
      request.len() == 0 ? rest : std::min<std::uint64_t>(request.len(), rest);
  pb::VolumeGetFile2Response reply;
  reply.set_size(file.size);
  reply.set_start(start);
  reply.set_len(length);
  for (std::uint64_t at = start; at < start + length;) {
    // Blocks lie at multiples of their size in the file, wherever the range begins.
    const std::uint64_t next = (at / worker::volume_block_size + 1) * worker::volume_block_size;
    const std::uint64_t end = std::min(next, start + length);
    reply.add_get_urls(
        block_get_url(cx, authority, volume->id, {path, file.identity, at, end - at}));
    at = end;
  }
  co_return reply;
}

Task<Empty> remove_file(Context& cx, net::GrpcCall& call, pb::VolumeRemoveFile2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  const auto subtree = request.recursive() ? worker::Subtree::include : worker::Subtree::refuse;
  auto remove = [path, subtree](const VolumeFolder& folder) {
    return worker::remove_entry(folder, path, subtree);
  };
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run(volume->id, std::move(remove)));
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.flush());
  co_return Empty();
}

Task<Empty> copy_files(Context& cx, net::GrpcCall& call, pb::VolumeCopyFiles2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  std::vector<std::string> from;
  for (const std::string& source : request.src_paths()) {
    THAW_CO_TRY(std::string path, worker::volume_path(source));
    from.push_back(std::move(path));
  }
  THAW_CO_TRY(const std::string to, worker::volume_path(request.dst_path()));
  const auto subtree = request.recursive() ? worker::Subtree::include : worker::Subtree::refuse;
  auto copy = [from = std::move(from), to, subtree](const VolumeFolder& folder) {
    return worker::copy_entries(folder, from, to, subtree);
  };
  THAW_CO_TRY_VOID(cx.parts.volumes.check_space(0));
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run(volume->id, std::move(copy)));
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.flush());
  co_return Empty();
}

}  // namespace

void add_volume_file_rpcs(net::GrpcTable& table, Context& cx) {
  for (const std::string& format : {std::string(), std::string("2")}) {
    add_stream(table, cx, "VolumeListFiles" + format, list_files);
    add_once(table, cx, "VolumeRemoveFile" + format, remove_file);
    add_once(table, cx, "VolumeCopyFiles" + format, copy_files);
  }
  add_once(table, cx, "VolumePutFiles", put_files_v1);
  add_once(table, cx, "VolumePutFiles2", put_files);
  add(table, cx, "VolumeGetFile2", get_file);
}

}  // namespace thaw::dialect::modal
