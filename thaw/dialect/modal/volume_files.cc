// SPDX-License-Identifier: Apache-2.0
// The files of volumes: listing, upload, download, copying, removal. The two formats of volumes
// differ in how the client uploads; the other RPCs have the same messages under two names.
#include "thaw/dialect/modal/volume_files.h"

#include <algorithm>
#include <span>
#include <unordered_map>

#include "thaw/codec/encoding.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/proto/images.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_blocks.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/worker/volume_copy.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using worker::Existing;
using worker::UploadedFile;
using worker::VolumeEntry;
using worker::VolumeFolder;

pb::FileEntry wire_entry(const VolumeEntry& entry) {
  pb::FileEntry out;
  out.set_path(codec::valid_utf8(entry.path));
  switch (entry.type) {
    case VolumeEntry::Type::file: out.set_type(pb::FileEntry::FILE); break;
    case VolumeEntry::Type::folder: out.set_type(pb::FileEntry::DIRECTORY); break;
    case VolumeEntry::Type::link: out.set_type(pb::FileEntry::SYMLINK); break;
    case VolumeEntry::Type::fifo: out.set_type(pb::FileEntry::FIFO); break;
    case VolumeEntry::Type::socket: out.set_type(pb::FileEntry::SOCKET); break;
    case VolumeEntry::Type::other: break;
  }
  out.set_mtime(static_cast<std::uint64_t>(std::max<std::int64_t>(entry.modified_s, 0)));
  out.set_size(entry.size);
  return out;
}

namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 43;  // 8 TiB
// Files and blocks of one request: 1 TiB of blocks, about a second of a thread.
constexpr std::size_t most_pieces = 1 << 17;
constexpr std::size_t most_sources = 10'000;
constexpr std::size_t files_at_once = 500;

Task<void> list_files(Context& cx, net::GrpcCall& call, pb::VolumeListFiles2Request request,
                      net::Sink<pb::VolumeListFiles2Response> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  const auto depth = request.recursive() ? worker::VolumeListing::Depth::recursive
                                         : worker::VolumeListing::Depth::one_folder;
  THAW_CO_TRY(const auto listing, co_await begin_listing(cx, volume->id, path, depth));
  std::uint64_t left = request.has_max_entries() ? request.max_entries() : UINT64_MAX;
  while (left > 0) {
    auto step = [listing] { return listing->next(); };
    THAW_CO_TRY(const auto entries,
                co_await cx.parts.volumes.run_apart(volume->id, std::move(step)));
    if (entries.empty()) {
      break;
    }
    pb::VolumeListFiles2Response piece;
    for (std::size_t i = 0; i < entries.size() && left > 0; ++i, --left) {
      *piece.add_entries() = wire_entry(entries[i]);
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
  auto begin = [files = std::move(files)](const VolumeFolder& volume) mutable {
    return Result<std::shared_ptr<worker::StagedFiles>>(
        worker::StagedFiles::begin(volume, std::move(files)));
  };
  THAW_CO_TRY(const auto staged, co_await cx.parts.volumes.run(id, std::move(begin)));
  auto assemble = [staged] { return staged->assemble(); };
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run_steps(id, std::move(assemble)));
  // First the bytes, then the names: a crash between leaves no file without its content.
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.flush());
  auto place = [staged, existing] { return staged->place(existing); };
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run_steps(id, std::move(place)));
  co_return co_await cx.parts.volumes.flush();
}

using SharedFiles = std::shared_ptr<const std::vector<UploadedFile>>;

Task<void> check_targets(Context& cx, model::VolumeId id, SharedFiles files, Existing existing) {
  for (std::size_t at = 0; at < files->size(); at += files_at_once) {
    auto check = [files, at, existing](const VolumeFolder& folder) {
      const auto some = std::span(*files).subspan(at);
      return worker::check_targets(folder, some.first(std::min(files_at_once, some.size())),
                                   existing);
    };
    THAW_CO_TRY_VOID(co_await cx.parts.volumes.run(id, std::move(check)));
  }
  co_return ok();
}

// What an upload's files are made of, and which of their blocks are not here.
struct Upload {
  std::vector<UploadedFile> files;
  std::uint64_t all_bytes = 0;
  pb::VolumePutFiles2Response reply;
};

// Signs an address for each missing block: up to a second of work, on a thread of the volumes.
Result<Upload> read_upload(Context& cx, const gateway::BaseUrl& base, const model::VolumeId& volume,
                           const pb::VolumePutFiles2Request& request) {
  auto known = uploaded_blocks(request);
  Upload out;
  for (int f = 0; f < request.files_size(); ++f) {
    THAW_TRY(UploadedFile file, file_from(request.files(f)));
    for (int b = 0; b < request.files(f).blocks_size(); ++b) {
      const std::string digest = codec::hex_encode(request.files(f).blocks(b).contents_sha256());
      const auto found = known.find(digest);
      const std::uint64_t most =
          std::min(worker::volume_block_size,
                   file.size - static_cast<std::uint64_t>(b) * worker::volume_block_size);
      out.all_bytes += digest == worker::empty_block_sha256_hex ? 0 : most;
      if (digest == worker::empty_block_sha256_hex) {
        file.blocks.emplace_back();
      } else if (found != known.end()) {
        file.blocks.push_back(found->second);
      } else if (digest.size() != 64) {
        return Error::invalid_argument("a block of '" + file.path + "' has no SHA-256");
      } else {
        auto* missing = out.reply.add_missing_blocks();
        missing->set_file_index(static_cast<std::uint64_t>(f));
        missing->set_block_index(static_cast<std::uint64_t>(b));
        const std::string name = worker::new_block_name(digest);
        missing->set_put_url(block_put_url(cx, base, volume, name, most));
        // Asked for once: a block that occurs again is the same upload.
        known[digest] = name;
        file.blocks.push_back(name);
      }
    }
    out.files.push_back(std::move(file));
  }
  return out;
}

Result<void> check_size(const pb::VolumePutFiles2Request& request) {
  std::size_t pieces = 0;
  for (const auto& file : request.files()) {
    pieces += 1 + static_cast<std::size_t>(file.blocks_size());
  }
  if (pieces > most_pieces) {
    return Error::invalid_argument("an upload of " + std::to_string(pieces) +
                                   " files and blocks of 8 MiB is too large for one request, which "
                                   "takes " +
                                   std::to_string(most_pieces) + "; upload in several parts");
  }
  return ok();
}

Task<pb::VolumePutFiles2Response> put_files(Context& cx, net::GrpcCall& call,
                                            pb::VolumePutFiles2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY_VOID(check_size(request));
  const Existing existing =
      request.disallow_overwrite_existing_files() ? Existing::refuse : Existing::replace;
  auto read = [&cx, base = base_for(cx, call), id = volume->id, request = std::move(request)] {
    return read_upload(cx, base, id, request);
  };
  THAW_CO_TRY(Upload upload, co_await cx.parts.volumes.run_apart(volume->id, std::move(read)));
  // What cannot work is said before the bytes travel, and before they are put together.
  THAW_CO_TRY_VOID(cx.parts.volumes.check_space(volume->id, upload.all_bytes));
  auto files = std::make_shared<std::vector<UploadedFile>>(std::move(upload.files));
  THAW_CO_TRY_VOID(co_await check_targets(cx, volume->id, files, existing));
  if (upload.reply.missing_blocks_size() == 0) {
    THAW_CO_TRY_VOID(co_await place_files(cx, volume->id, std::move(*files), existing));
  }
  co_return std::move(upload.reply);
}

Task<Empty> put_files_v1(Context& cx, net::GrpcCall& call, pb::VolumePutFilesRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  if (static_cast<std::size_t>(request.files_size()) > most_pieces) {
    co_return Error::invalid_argument("one request takes " + std::to_string(most_pieces) +
                                      " files; upload in several parts");
  }
  const Existing existing =
      request.disallow_overwrite_existing_files() ? Existing::refuse : Existing::replace;
  auto files = std::make_shared<std::vector<UploadedFile>>();
  for (const auto& file : request.files()) {
    UploadedFile uploaded;
    THAW_CO_TRY(uploaded.path, worker::volume_path(file.filename()));
    if (!cx.parts.blobs.contains(who.workspace.str(), file.sha256_hex())) {
      co_return Error::failed_precondition("file '" + file.filename() + "' was not uploaded");
    }
    cx.parts.blobs.keep(who.workspace.str(), file.sha256_hex(), 1h);
    THAW_CO_TRY(uploaded.host_file, cx.parts.blobs.path(who.workspace.str(), file.sha256_hex()));
    uploaded.mode = file.has_mode() ? file.mode() : 0644;
    files->push_back(std::move(uploaded));
    if (files->size() % files_at_once == 0) {
      THAW_CO_TRY_VOID(co_await async::yield());
    }
  }
  THAW_CO_TRY_VOID(co_await place_uploads(cx, volume->id, std::move(*files), existing));
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
  const std::uint64_t start = std::min<std::uint64_t>(request.start(), file.size);
  const std::uint64_t rest = file.size - start;
  const std::uint64_t length =
      request.len() == 0 ? rest : std::min<std::uint64_t>(request.len(), rest);
  if (length / worker::volume_block_size >= most_pieces) {
    co_return Error::invalid_argument(
        "'" + path + "' has " + std::to_string(length >> 30) +
        " GiB from there on; one request "
        "reads at most " +
        std::to_string(most_pieces * worker::volume_block_size >> 30) +
        " GiB: read it in parts (start and len), or in a function that mounts the volume");
  }
  pb::VolumeGetFile2Response reply;
  reply.set_size(file.size);
  reply.set_start(start);
  reply.set_len(length);
  auto sign = [&cx, base = base_for(cx, call), id = volume->id, path, identity = file.identity,
               start, end_of_all = start + length] {
    pb::VolumeGetFile2Response urls;
    for (std::uint64_t at = start; at < end_of_all;) {
      // Blocks lie at multiples of their size in the file, wherever the range begins.
      const std::uint64_t next = (at / worker::volume_block_size + 1) * worker::volume_block_size;
      const std::uint64_t end = std::min(next, end_of_all);
      urls.add_get_urls(block_get_url(cx, base, id, {path, identity, at, end - at}));
      at = end;
    }
    return Result<pb::VolumeGetFile2Response>(std::move(urls));
  };
  THAW_CO_TRY(pb::VolumeGetFile2Response urls,
              co_await cx.parts.volumes.run_apart(volume->id, std::move(sign)));
  reply.mutable_get_urls()->Swap(urls.mutable_get_urls());
  co_return reply;
}

Task<Empty> remove_file(Context& cx, net::GrpcCall& call, pb::VolumeRemoveFile2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  const auto subtree = request.recursive() ? worker::Subtree::include : worker::Subtree::refuse;
  THAW_CO_TRY_VOID(co_await remove_from_volume(cx, volume->id, path, subtree));
  co_return Empty();
}

Task<Empty> copy_files(Context& cx, net::GrpcCall& call, pb::VolumeCopyFiles2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto volume, find_volume(cx, who, request.volume_id()));
  if (static_cast<std::size_t>(request.src_paths_size()) > most_sources) {
    co_return Error::invalid_argument("one request copies at most " + std::to_string(most_sources) +
                                      " paths; name their folder, or copy in several parts");
  }
  std::vector<std::string> from;
  for (const std::string& source : request.src_paths()) {
    THAW_CO_TRY(std::string path, worker::volume_path(source));
    from.push_back(std::move(path));
  }
  THAW_CO_TRY(const std::string to, worker::volume_path(request.dst_path()));
  const auto subtree = request.recursive() ? worker::Subtree::include : worker::Subtree::refuse;
  auto begin = [from = std::move(from), to, subtree](const VolumeFolder& folder) {
    return worker::VolumeCopy::begin(folder, from, to, subtree);
  };
  THAW_CO_TRY(const auto copy, co_await cx.parts.volumes.run(volume->id, std::move(begin)));
  auto step = [copy] { return copy->step(); };
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run_steps(volume->id, std::move(step)));
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.flush());
  co_return Empty();
}

}  // namespace

Task<std::shared_ptr<worker::VolumeListing>> begin_listing(Context& cx, model::VolumeId id,
                                                           std::string path,
                                                           worker::VolumeListing::Depth depth) {
  auto begin =
      [path, depth](const VolumeFolder& folder) -> Result<std::shared_ptr<worker::VolumeListing>> {
    THAW_TRY(worker::VolumeListing listing, worker::VolumeListing::open(folder, path, depth));
    return std::make_shared<worker::VolumeListing>(std::move(listing));
  };
  co_return co_await cx.parts.volumes.run(id, std::move(begin));
}

Task<void> place_uploads(Context& cx, model::VolumeId id, std::vector<UploadedFile> uploads,
                         Existing existing) {
  auto files = std::make_shared<std::vector<UploadedFile>>(std::move(uploads));
  THAW_CO_TRY_VOID(co_await check_targets(cx, id, files, existing));
  co_return co_await place_files(cx, id, std::move(*files), existing);
}

Task<void> remove_from_volume(Context& cx, model::VolumeId id, std::string path,
                              worker::Subtree subtree) {
  auto remove = [path, subtree](const VolumeFolder& folder) {
    return worker::remove_entry(folder, path, subtree);
  };
  THAW_CO_TRY_VOID(co_await cx.parts.volumes.run(id, std::move(remove)));
  co_return co_await cx.parts.volumes.flush();
}

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
