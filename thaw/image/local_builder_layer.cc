// SPDX-License-Identifier: Apache-2.0
//
// What a container wrote into its root becomes a layer: copied as it is, with owners, attributes
// and overlayfs's own marks, since the container goes on and changes its files.
#include <fcntl.h>

#include <atomic>
#include <utility>

#include "thaw/codec/sha256.h"
#include "thaw/image/disk_room.h"
#include "thaw/image/local_builder.h"
#include "thaw/image/subprocess.h"
#include "thaw/os/files.h"
#include "thaw/store/secret_box.h"

namespace thaw::image {

namespace {

constexpr Duration copy_limit = std::chrono::minutes(30);

// It follows no link that a stranger has made, and keeps what it finds: links, holes, marks.
Result<void> copy_tree(const std::string& from, const std::string& to) {
  Program program;
  program.argv = {"cp", "--archive", "--reflink=auto", "--one-file-system", "--", from, to};
  program.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  program.time_limit = copy_limit;
  std::string said;
  const std::atomic<bool> never = false;
  const auto hear = [&said](std::string_view piece) {
    said.append(piece.substr(0, said.size() < 1000 ? 1000 - said.size() : 0));
  };
  THAW_TRY(const int code, run_program(program, hear, never));
  if (code != 0) {
    const bool is_full = said.find("No space left") != std::string::npos;
    const std::string text = "what a container wrote cannot be copied: " + said;
    return is_full ? Error::resource_exhausted(text) : Error::internal(text);
  }
  return ok();
}

}  // namespace

async::Task<BuildResult> Builder::add_layer(std::string, std::string, std::string) {
  co_return Error::failed_precondition("this builder makes no layers of containers");
}

Result<BuildResult> LocalBuilder::copy_layer(const std::string& base,
                                             const std::string& upper) const {
  THAW_TRY(ImageRecord record, layers_->find(base));
  THAW_TRY(const Draft draft, layers_->draft());
  {
    THAW_TRY(const os::Fd folder, os::open_file(draft.folder(), O_RDONLY | O_DIRECTORY));
    THAW_TRY_VOID(check_room(folder));
  }
  const std::string tree = draft.folder() + "/upper";
  Result<void> copied = copy_tree(upper, tree);
  BuildResult result;
  if (copied) {
    codec::Sha256 digest;
    digest.update(base);
    digest.update(store::random_bytes(32));
    result.key = digest.hex();
    if (!os::list_folder(tree).empty()) {
      const std::string meta = "{\"key\": \"" + result.key + "\", \"step\": \"of a container\"}\n";
      THAW_TRY(std::string layer,
               layers_->commit_layer(draft, "upper", result.key, meta, LayerStore::Reuse::never));
      record.layers.push_back(std::move(layer));
    }
    THAW_TRY_VOID(layers_->put(result.key, record));
    result.image = built(record);
    result.layers_built = 1;
    return result;
  }
  (void)os::remove_tree(draft.folder());
  return std::move(copied).error();
}

async::Task<BuildResult> LocalBuilder::add_layer(std::string base, std::string upper,
                                                 std::string workspace) {
  if (upper.empty()) {
    co_return Error::failed_precondition("what the container wrote is in no folder of its own");
  }
  auto copy = [this, base = std::move(base), upper = std::move(upper)] {
    return copy_layer(base, upper);
  };
  co_return co_await async::blocking({pool_, std::move(workspace)}, std::move(copy));
}

}  // namespace thaw::image
