// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/store/detail/digest.h"
#include "thaw/store/detail/files.h"

namespace thaw::store {

namespace {

using detail::Digest;

bool is_blob_name(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Error not_its_name(const std::string& path) {
  return Error::data_loss("the blob " + path +
                          " does not hold what its name says; delete it and upload it again");
}

// What a writer leaves behind, wherever it is dropped: nothing.
struct Draft {
  const std::string path;
  std::atomic<bool> there = true;
  os::Fd file;
  Digest sha256{Digest::Kind::sha256};
  Digest md5{Digest::Kind::md5};
  std::uint64_t size = 0;
  Result<void> state;  // the first failure; a draft with a hole is never finished

  explicit Draft(std::string name) : path(std::move(name)) {}
  ~Draft() { discard(); }
  // A pool thread may hold the draft a moment longer than its writer lives; the file goes at once.
  void discard() {
    if (there.exchange(false)) {
      ::unlink(path.c_str());
    }
  }
};

Result<void> append(Draft& draft, std::string_view piece) {
  THAW_TRY_VOID(draft.state);
  draft.sha256.update(piece);
  draft.md5.update(piece);
  draft.state = detail::write_all(draft.file.get(), piece, draft.path);
  draft.size += piece.size();
  return draft.state;
}

Result<StoredBlob> seal(Draft& draft, const std::string& folder, const std::string& expected) {
  THAW_TRY_VOID(draft.state);
  draft.state = Error::failed_precondition("this blob is finished");
  StoredBlob blob{draft.sha256.finish(), draft.md5.finish(), draft.size};
  if (!expected.empty() && expected != blob.sha256_hex) {
    return Error::invalid_argument("the uploaded bytes have the SHA-256 " + blob.sha256_hex +
                                   ", not " + expected);
  }
  if (::fchmod(draft.file.get(), 0444) != 0) {
    return Error::from_errno(errno, "cannot chmod " + draft.path);
  }
  THAW_TRY_VOID(detail::sync_file(draft.file.get(), draft.path));
  const std::string shelf = folder + "/" + blob.sha256_hex.substr(0, 2);
  THAW_TRY([[maybe_unused]] const bool made, detail::make_folder(shelf));
  // Over a blob of that name if there is one: the new file is known to be right.
  THAW_TRY_VOID(detail::rename_file(draft.path, shelf + "/" + blob.sha256_hex.substr(2)));
  draft.there = false;
  THAW_TRY_VOID(detail::sync_folder(shelf));
  return blob;
}

class FileWriter final : public BlobStore::Writer {
 public:
  FileWriter(async::Pool& pool, std::string folder, std::shared_ptr<Draft> draft)
      : pool_(pool), folder_(std::move(folder)), draft_(std::move(draft)) {}
  ~FileWriter() override { draft_->discard(); }

  async::Task<void> write(std::string piece) override {
    auto work = [draft = draft_, piece = std::move(piece)] { return append(*draft, piece); };
    co_return co_await async::blocking(pool_, std::move(work));
  }
  async::Task<StoredBlob> finish(std::string expected_sha256_hex) override {
    auto work = [draft = draft_, folder = folder_, expected = std::move(expected_sha256_hex)] {
      Result<StoredBlob> blob = seal(*draft, folder, expected);
      draft->discard();
      return blob;
    };
    co_return co_await async::blocking(pool_, std::move(work));
  }

 private:
  async::Pool& pool_;
  std::string folder_;
  std::shared_ptr<Draft> draft_;
};

struct OpenBlob {
  std::string name;
  std::string path;
  os::Fd file;
  std::uint64_t size = 0;
  std::uint64_t position = 0;
  Digest sha256{Digest::Kind::sha256};
  Result<void> state;
};

Result<std::string> read_piece(OpenBlob& blob, std::size_t max_bytes) {
  THAW_TRY_VOID(blob.state);
  if (blob.position == blob.size && blob.size > 0) {
    return std::string();
  }
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(max_bytes, blob.size - blob.position));
  THAW_TRY(std::string piece, detail::read_some(blob.file.get(), count, blob.path));
  blob.sha256.update(piece);
  blob.position += piece.size();
  // The last piece is given out only once all of them are known to be right.
  if (piece.size() < count || (blob.position == blob.size && blob.sha256.finish() != blob.name)) {
    blob.state = not_its_name(blob.path);
    return blob.state.error();
  }
  if (blob.size == 0) {
    blob.size = blob.position = 1;  // an empty blob is checked once
  }
  return piece;
}

class FileReader final : public BlobStore::Reader {
 public:
  FileReader(async::Pool& pool, std::shared_ptr<OpenBlob> blob)
      : pool_(pool), size_(blob->size), blob_(std::move(blob)) {}

  std::uint64_t size() const override { return size_; }
  async::Task<std::string> read(std::size_t max_bytes) override {
    auto work = [blob = blob_, max_bytes] {
      return read_piece(*blob, std::max<std::size_t>(max_bytes, 1));
    };
    co_return co_await async::blocking(pool_, std::move(work));
  }

 private:
  async::Pool& pool_;
  std::uint64_t size_;
  std::shared_ptr<OpenBlob> blob_;
};

Result<std::shared_ptr<OpenBlob>> open_blob(const std::string& name, const std::string& path) {
  auto blob = std::make_shared<OpenBlob>();
  blob->name = name;
  blob->path = path;
  THAW_TRY(blob->file, detail::open_file(path, O_RDONLY, 0));
  THAW_TRY(blob->size, detail::size_of(blob->file.get(), path));
  return blob;
}

Result<std::string> get_whole(const std::string& name, const std::string& path) {
  THAW_TRY(const auto blob, open_blob(name, path));
  return read_piece(*blob, blob->size);
}

Result<void> remove_drafts(const std::string& folder) {
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) {
    return Error::from_errno(errno, "cannot list " + folder);
  }
  while (const dirent* entry = ::readdir(listing)) {
    if (entry->d_type != DT_DIR) {
      ::unlink((folder + "/" + entry->d_name).c_str());
    }
  }
  ::closedir(listing);
  return ok();
}

class FileBlobStore final : public BlobStore {
 public:
  FileBlobStore(async::Pool& pool, std::string folder) : pool_(pool), folder_(std::move(folder)) {}

  Result<std::unique_ptr<Writer>> create() override {
    THAW_TRY(auto draft, start_draft());
    return std::make_unique<FileWriter>(pool_, folder_, std::move(draft));
  }

  async::Task<StoredBlob> put(std::string bytes) override {
    THAW_CO_TRY(auto draft, start_draft());
    auto work = [draft, folder = folder_, bytes = std::move(bytes)]() -> Result<StoredBlob> {
      const std::string name = sha256_hex(bytes);
      const std::string path = path_of(folder, name);
      if (detail::exists(path) && get_whole(name, path)) {
        draft->discard();
        Digest md5(Digest::Kind::md5);
        md5.update(bytes);
        return StoredBlob{name, md5.finish(), bytes.size()};
      }
      THAW_TRY_VOID(append(*draft, bytes));
      return seal(*draft, folder, name);
    };
    co_return co_await async::blocking(pool_, std::move(work));
  }

  async::Task<std::string> get(std::string name) override {
    THAW_CO_TRY(const std::string file, path(name));
    auto work = [name, file] { return get_whole(name, file); };
    co_return co_await async::blocking(pool_, std::move(work));
  }

  Result<std::unique_ptr<Reader>> open_reader(const std::string& name) override {
    THAW_TRY(const std::string file, path(name));
    THAW_TRY(auto blob, open_blob(name, file));
    return std::make_unique<FileReader>(pool_, std::move(blob));
  }

  bool contains(const std::string& name) const override {
    return is_blob_name(name) && detail::exists(path_of(folder_, name));
  }

  Result<std::string> path(const std::string& name) const override {
    if (!is_blob_name(name)) {
      return Error::invalid_argument("not a SHA-256 in lower-case hex: " + name.substr(0, 80));
    }
    if (!contains(name)) {
      return Error::not_found("there is no blob " + name);
    }
    return path_of(folder_, name);
  }

 private:
  static std::string path_of(const std::string& folder, const std::string& name) {
    return folder + "/" + name.substr(0, 2) + "/" + name.substr(2);
  }

  Result<std::shared_ptr<Draft>> start_draft() {
    auto draft = std::make_shared<Draft>(folder_ + "/tmp/" + std::to_string(++drafts_));
    THAW_TRY(draft->file, detail::open_file(draft->path, O_WRONLY | O_CREAT | O_EXCL, 0600));
    return draft;
  }

  async::Pool& pool_;
  std::string folder_;
  std::uint64_t drafts_ = 0;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Digest digest(Digest::Kind::sha256);
  digest.update(bytes);
  return digest.finish();
}

Result<std::unique_ptr<BlobStore>> BlobStore::open(async::Pool& pool, std::string folder) {
  const std::string drafts = folder + "/tmp";
  THAW_TRY([[maybe_unused]] const bool made, detail::make_folder(drafts));
  THAW_TRY_VOID(remove_drafts(drafts));
  return std::make_unique<FileBlobStore>(pool, std::move(folder));
}

}  // namespace thaw::store
