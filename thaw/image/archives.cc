// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/archives.h"

#include <algorithm>
#include <fstream>

namespace thaw::image {
namespace {

constexpr std::size_t head_bytes = 512;

// $1 tool, $2 archive, $3 folder, $4 file: what is compressed and no archive is copied as it is.
constexpr const char* script = R"sh(set -e
if [ "$1" = tar ]; then
  mkdir -p "$3"
  exec tar -x -p -f "$2" -C "$3"
fi
if command -v "$1" >/dev/null 2>&1; then
  if [ "$("$1" -dc < "$2" 2>/dev/null | dd bs=1 skip=257 count=5 2>/dev/null)" = ustar ]; then
    mkdir -p "$3"
    "$1" -dc < "$2" | tar -x -p -f - -C "$3"
    exit
  fi
elif [ "$1" != zstd ] && command -v python3 >/dev/null 2>&1; then
  if python3 -m tarfile -t "$2" >/dev/null 2>&1; then
    mkdir -p "$3"
    exec python3 -c 'import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], numeric_owner=True)' "$2" "$3"
  fi
else
  echo "thaw: ADD unpacks this with $1, which the image lacks; install it in a RUN before" >&2
  exit 1
fi
mkdir -p "${4%/*}/"
cp "$2" "$4"
chmod 644 "$4"
)sh";

std::string head_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string head(head_bytes, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(in.gcount()));
  return head;
}

}  // namespace

std::string archive_tool(std::string_view head) {
  using namespace std::string_view_literals;
  if (head.starts_with("\x1f\x8b"sv)) {
    return "gzip";
  }
  if (head.starts_with("BZh"sv)) {
    return "bzip2";
  }
  if (head.starts_with("\3757zXZ\0"sv)) {
    return "xz";
  }
  if (head.starts_with("\x28\xb5\x2f\xfd"sv)) {
    return "zstd";
  }
  constexpr std::size_t magic_at = 257;
  return head.size() >= head_bytes && head.substr(magic_at).starts_with("ustar"sv) ? "tar" : "";
}

Result<std::vector<Archive>> take_archives(CopyStep& step, const BlobPaths& blobs) {
  std::vector<Archive> archives;
  for (const CopyItem& item : step.items) {
    const auto blob = item.kind == CopyItem::Kind::file && item.entries.size() == 1
                          ? blobs.find(item.entries.front().sha256_hex)
                          : blobs.end();
    std::string tool = blob == blobs.end() ? "" : archive_tool(head_of(blob->second));
    if (tool.empty()) {
      continue;
    }
    if (!step.owner.empty() || step.mode) {
      return Error::unimplemented("ADD --chown and --chmod of what is in an archive (" + item.name +
                                  ") are not supported; RUN chown or chmod after it");
    }
    archives.push_back({blob->second, item.name, std::move(tool)});
  }
  std::erase_if(step.items, [&](const CopyItem& item) {
    return item.kind == CopyItem::Kind::file &&
           std::any_of(archives.begin(), archives.end(),
                       [&](const Archive& one) { return one.name == item.name; });
  });
  return archives;
}

RunStep unpack_step(const Archive& archive, const std::string& destination) {
  RunStep step;
  const bool is_folder = destination.ends_with("/");
  const std::string file = is_folder ? destination + archive.name : destination;
  step.argv = {"/bin/sh", "-c", script, "add", archive.tool, archive_path, destination, file};
  step.network = RunStep::Network::none;
  return step;
}

}  // namespace thaw::image
