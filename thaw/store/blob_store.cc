// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/store/detail/blob_files.h"
#include "thaw/store/detail/blob_owners.h"
#include "thaw/store/detail/files.h"

namespace thaw::store {

namespace {

using detail::BlobDraft;
using detail::BlobNames;
using detail::BlobOwners;
using detail::NewBlob;
using detail::OpenBlob;

constexpr std::size_t names_at_once = 500;
constexpr std::size_t hashed_at_once = 4u << 20;

class FileReader final : public BlobStore::Reader {
 public:
  FileReader(async::PoolShare at, std::shared_ptr<OpenBlob> blob)
      : at_(std::move(at)), size_(blob->size), blob_(std::move(blob)) {}

  std::uint64_t size() const override { return size_; }
  async::Task<std::string> read(std::size_t max_bytes) override {
    auto work = [blob = blob_, max_bytes] {
      return detail::read_piece(*blob, std::max<std::size_t>(max_bytes, 1));
    };
    co_return co_await async::blocking(at_, std::move(work));
  }

 private:
  async::PoolShare at_;
  std::uint64_t size_;
  std::shared_ptr<OpenBlob> blob_;
};

class PartReader final : public BlobStore::Reader {
 public:
  PartReader(async::PoolShare at, std::shared_ptr<OpenBlob> blob, std::uint64_t size)
      : at_(std::move(at)), size_(size), left_(size), blob_(std::move(blob)) {}

  std::uint64_t size() const override { return size_; }
  async::Task<std::string> read(std::size_t max_bytes) override {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(max_bytes, left_));
    if (count == 0) {
      co_return std::string();
    }
    auto work = [blob = blob_, count] { return detail::read_unchecked(*blob, count); };
    THAW_CO_TRY(std::string piece, co_await async::blocking(at_, std::move(work)));
    left_ -= piece.size();
    co_return piece;
  }

 private:
  async::PoolShare at_;
  std::uint64_t size_;
  std::uint64_t left_;
  std::shared_ptr<OpenBlob> blob_;
};

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr) {
    return names;
  }
  while (const dirent* entry = ::readdir(listing)) {
    if (entry->d_type != DT_DIR) {
      names.emplace_back(entry->d_name);
    }
  }
  ::closedir(listing);
  return names;
}

std::string shelf_name(int number) {
  static constexpr char digits[] = "0123456789abcdef";
  return {digits[number >> 4], digits[number & 15]};
}

class FileBlobStore final : public BlobStore {
 public:
  FileBlobStore(async::Pool& pool, Database& database, DiskShares& shares, BlobOptions options)
      : pool_(pool),
        shares_(shares),
        options_(std::move(options)),
        names_(std::make_shared<BlobNames>(options_.folder)),
        owners_(database) {}

  Result<void> load() {
    const std::string drafts = options_.folder + "/tmp";
    THAW_TRY([[maybe_unused]] const bool made, detail::make_folder(drafts));
    for (const std::string& name : files_in(drafts)) {
      ::unlink((drafts + "/" + name).c_str());
    }
    // What was sent shortly before the end of the last server may be about to be used.
    THAW_TRY_VOID(owners_.load(monotonic_now() + options_.keep_unused));
    if (owners_.empty() && !options_.first_owner.empty()) {
      adopt();
    }
    owners_.each([this](const std::string& owner, std::uint64_t size) {
      shares_.add(owner, DiskShares::Kind::blobs, size);
    });
    return ok();
  }

  class FileWriter final : public Writer {
   public:
    FileWriter(FileBlobStore& store, std::string owner, std::shared_ptr<BlobDraft> draft)
        : store_(store), owner_(std::move(owner)), draft_(std::move(draft)) {}
    ~FileWriter() override {
      draft_->discard();
      give_back();
    }

    async::Task<void> write(std::string piece) override {
      THAW_CO_TRY_VOID(store_.shares_.check(owner_, piece.size()));
      const std::uint64_t bytes = piece.size();
      counted_ += bytes;
      store_.shares_.add(owner_, DiskShares::Kind::blobs, bytes);
      auto work = [draft = draft_, piece = std::move(piece)] {
        return detail::append(*draft, piece);
      };
      Result<void> written = co_await async::blocking(store_.share_of(owner_), std::move(work));
      if (!written) {
        counted_ -= bytes;
        store_.shares_.subtract(owner_, DiskShares::Kind::blobs, bytes);
      }
      co_return written;
    }
    async::Task<StoredBlob> finish(std::string expected_sha256_hex) override {
      auto work = [draft = draft_, names = store_.names_,
                   expected = std::move(expected_sha256_hex)] {
        Result<NewBlob> blob = detail::seal(*draft, *names, expected);
        draft->discard();
        return blob;
      };
      Result<NewBlob> made = co_await async::blocking(store_.share_of(owner_), std::move(work));
      give_back();
      if (!made) {
        co_return made.error();
      }
      co_return co_await store_.take(owner_, std::move(*made));
    }

   private:
    // The pieces: the whole is counted once it is known whether the owner has it already.
    void give_back() {
      store_.shares_.subtract(owner_, DiskShares::Kind::blobs, std::exchange(counted_, 0));
    }

    FileBlobStore& store_;
    std::string owner_;
    std::shared_ptr<BlobDraft> draft_;
    std::uint64_t counted_ = 0;
  };

  Result<std::unique_ptr<Writer>> create(const std::string& owner, Sums sums) override {
    THAW_TRY(auto draft, start_draft());
    draft->has_md5 = sums == Sums::sha256_and_md5;
    return std::make_unique<FileWriter>(*this, owner, std::move(draft));
  }

  async::Task<StoredBlob> put(std::string owner, std::string bytes) override {
    // Whether its owner may have more is asked once it is known that it is more.
    THAW_CO_TRY_VOID(shares_.check_room(bytes.size()));
    THAW_CO_TRY(auto draft, start_draft());
    auto work = [draft, names = names_, bytes = std::move(bytes)] {
      return detail::put_whole(*draft, *names, bytes);
    };
    Result<NewBlob> made = co_await async::blocking(share_of(owner), std::move(work));
    if (!made) {
      co_return made.error();
    }
    co_return co_await take(std::move(owner), std::move(*made));
  }

  async::Task<std::string> get(std::string owner, std::string name) override {
    THAW_CO_TRY(const std::string file, path(owner, name));
    auto work = [name, file] { return detail::get_whole(name, file); };
    co_return co_await async::blocking(share_of(owner), std::move(work));
  }

  async::Task<std::string> md5_of(std::string owner, std::string name) override {
    THAW_CO_TRY(const std::string file, path(owner, name));
    THAW_CO_TRY(auto blob, detail::open_blob(name, file));
    auto md5 = std::make_shared<detail::Digest>(detail::Digest::Kind::md5);
    for (bool more = true; more;) {
      auto work = [blob, md5]() -> Result<bool> {
        THAW_TRY(const std::string piece, detail::read_piece(*blob, hashed_at_once));
        md5->update(piece);
        return !piece.empty();
      };
      THAW_CO_TRY(more, co_await async::blocking(share_of(owner), std::move(work)));
    }
    co_return md5->finish();
  }

  Result<std::unique_ptr<Reader>> open_reader(const std::string& owner,
                                              const std::string& name) override {
    THAW_TRY(const std::string file, path(owner, name));
    THAW_TRY(auto blob, detail::open_blob(name, file));
    return std::make_unique<FileReader>(share_of(owner), std::move(blob));
  }

  Result<std::unique_ptr<Reader>> open_part(const std::string& owner, const std::string& name,
                                            std::uint64_t first, std::uint64_t count) override {
    THAW_TRY(const std::string file, path(owner, name));
    THAW_TRY(auto blob, detail::open_blob(name, file));
    first = std::min(first, blob->size);
    count = std::min(count, blob->size - first);
    THAW_TRY_VOID(detail::begin_at(*blob, first));
    return std::make_unique<PartReader>(share_of(owner), std::move(blob), count);
  }

  bool contains(const std::string& owner, const std::string& name) const override {
    return detail::is_blob_name(name) && owners_.find(owner, name) != nullptr &&
           detail::exists(names_->path_of(name));
  }

  Result<std::string> path(const std::string& owner, const std::string& name) const override {
    if (!detail::is_blob_name(name)) {
      return Error::invalid_argument("not a SHA-256 in lower-case hex: " + name.substr(0, 80));
    }
    if (!contains(owner, name)) {
      return Error::not_found("there is no blob " + name);
    }
    return names_->path_of(name);
  }

  async::Task<std::vector<std::string>> missing(std::string owner, std::vector<std::string> names,
                                                Duration use) override {
    std::vector<std::string> absent;
    for (std::size_t at = 0; at < names.size(); at += names_at_once) {
      std::vector<std::string> owned;
      const std::size_t end = std::min(names.size(), at + names_at_once);
      for (std::size_t i = at; i < end; ++i) {
        if (detail::is_blob_name(names[i]) && owners_.find(owner, names[i]) != nullptr) {
          keep(owner, names[i], use);
          owned.push_back(std::move(names[i]));
        } else {
          absent.push_back(std::move(names[i]));
        }
      }
      auto look = [owned = std::move(owned),
                   names_on_disk = names_]() -> Result<std::vector<std::string>> {
        std::vector<std::string> lost;
        for (const std::string& name : owned) {
          if (!detail::exists(names_on_disk->path_of(name))) {
            lost.push_back(name);
          }
        }
        return lost;
      };
      THAW_CO_TRY(const auto lost, co_await async::blocking(share_of(owner), std::move(look)));
      absent.insert(absent.end(), lost.begin(), lost.end());
    }
    co_return absent;
  }

  void keep(const std::string& owner, const std::string& name, Duration use) override {
    if (BlobOwners::Hold* hold = owners_.find(owner, name)) {
      hold->keep_until =
          std::max(hold->keep_until, monotonic_now() + std::max(use, options_.keep_unused));
    }
  }

  async::Task<void> remove(std::string owner, std::string name) override {
    if (owners_.find(owner, name) == nullptr) {
      co_return ok();
    }
    std::vector<BlobOwners::Owned> one;
    one.push_back({std::move(owner), std::move(name), 0});
    Swept swept;
    co_return co_await drop(std::move(one), swept);
  }

  void begin_marks() override { owners_.begin_marks(monotonic_now()); }
  void mark(const std::string& owner, std::string_view name) override {
    owners_.mark(owner, name, monotonic_now() + options_.keep_unused);
  }

  async::Task<Swept> sweep() override {
    Swept swept;
    std::string at;
    while (true) {
      auto unmarked = owners_.next_unmarked(at);
      if (!unmarked) {
        co_return swept;
      }
      if (!unmarked->empty()) {
        THAW_CO_TRY_VOID(co_await drop(std::move(*unmarked), swept));
      }
      THAW_CO_TRY_VOID(co_await async::yield());
    }
  }

  async::Task<void> remove_strays() override {
    for (int shelf = 0; shelf < 256; ++shelf) {
      auto list = [folder = options_.folder + "/" + shelf_name(shelf)] {
        return Result<std::vector<std::string>>(files_in(folder));
      };
      THAW_CO_TRY(const auto files, co_await async::blocking(pool_, std::move(list)));
      std::vector<std::string> condemned;
      for (const std::string& file : files) {
        const std::string name = shelf_name(shelf) + file;
        if (detail::is_blob_name(name) && !owners_.is_known(name) && names_->condemn(name)) {
          condemned.push_back(name);
        }
      }
      THAW_CO_TRY_VOID(co_await remove_files(std::move(condemned)));
    }
    co_return ok();
  }

 private:
  async::PoolShare share_of(const std::string& owner) { return {pool_, owner}; }

  Result<std::shared_ptr<BlobDraft>> start_draft() {
    auto draft = std::make_shared<BlobDraft>(options_.folder + "/tmp/" + std::to_string(++drafts_));
    THAW_TRY(draft->file, detail::open_file(draft->path, O_WRONLY | O_CREAT | O_EXCL, 0600));
    return draft;
  }

  // A new blob gets its owner. It is acknowledged once that is on disk.
  async::Task<StoredBlob> take(std::string owner, NewBlob made) {
    const std::string& name = made.blob.sha256_hex;
    if (BlobOwners::Hold* known = owners_.find(owner, name); known != nullptr && known->is_stored) {
      keep(owner, name, options_.keep_unused);
      co_return std::move(made.blob);
    }
    if (owners_.find(owner, name) == nullptr) {
      if (const Result<void> room = shares_.check(owner, made.blob.size); !room) {
        made.arrival = {};
        if (!owners_.is_known(name) && names_->condemn(name)) {
          std::vector<std::string> one{name};
          THAW_CO_TRY_VOID(co_await remove_files(std::move(one)));
        }
        co_return room.error();
      }
      owners_.add(owner, name, made.blob.size, monotonic_now() + options_.keep_unused);
      shares_.add(owner, DiskShares::Kind::blobs, made.blob.size);
    }
    made.arrival = {};
    ++owners_.find(owner, name)->storing;
    const Result<void> stored = co_await owners_.store(owner, name, made.blob.size);
    BlobOwners::Hold* hold = owners_.find(owner, name);
    if (hold == nullptr) {
      co_return Error::unavailable("the blob " + name + " was removed; send it again");
    }
    --hold->storing;
    if (!stored && hold->storing == 0 && !hold->is_stored) {
      // Its owner was told of it by nobody, and does not have it.
      std::vector<BlobOwners::Owned> one;
      one.push_back({owner, name, made.blob.size});
      Swept swept;
      (void)co_await drop(std::move(one), swept);
    }
    co_return stored ? Result<StoredBlob>(std::move(made.blob)) : stored.error();
  }

  // Memory first, so that who sends one of them meanwhile becomes its owner anew; then the rows;
  // then the files. A crash between leaves files without a row: strays.
  async::Task<void> drop(std::vector<BlobOwners::Owned> lot, Swept& swept) {
    std::vector<std::string> condemned;
    for (BlobOwners::Owned& one : lot) {
      const auto removed = owners_.remove(one.owner, one.name);
      if (!removed) {
        continue;
      }
      shares_.subtract(one.owner, DiskShares::Kind::blobs, removed->size);
      ++swept.blobs;
      swept.bytes += removed->orphaned ? removed->size : 0;
      if (removed->orphaned && names_->condemn(one.name)) {
        condemned.push_back(one.name);
      }
    }
    if (const Result<void> erased = co_await owners_.erase(std::move(lot)); !erased) {
      log_warning("rows of blobs that are gone stay", {{"error", erased.error().to_string()}});
    }
    co_return co_await remove_files(std::move(condemned));
  }

  async::Task<void> remove_files(std::vector<std::string> condemned) {
    if (condemned.empty()) {
      co_return ok();
    }
    auto work = [names = names_, condemned = std::move(condemned)]() -> Result<void> {
      Result<void> outcome;
      for (const std::string& name : condemned) {
        const Result<void> removed = names->remove_condemned(name);
        outcome = outcome ? removed : outcome;
      }
      return outcome;
    };
    co_return co_await async::blocking(pool_, std::move(work));
  }

  // A folder of a server that did not write down owners.
  void adopt() {
    std::size_t count = 0;
    for (int shelf = 0; shelf < 256; ++shelf) {
      for (const std::string& file : files_in(options_.folder + "/" + shelf_name(shelf))) {
        const std::string name = shelf_name(shelf) + file;
        const auto blob = detail::is_blob_name(name)
                              ? detail::open_blob(name, names_->path_of(name))
                              : Result<std::shared_ptr<OpenBlob>>(Error::not_found("no blob"));
        if (blob) {
          owners_.add(options_.first_owner, name, (*blob)->size,
                      monotonic_now() + options_.keep_unused);
          owners_.find(options_.first_owner, name)->is_stored = true;
          owners_.store_later(options_.first_owner, name, (*blob)->size);
          ++count;
        }
      }
    }
    if (count > 0) {
      log_info("blobs without an owner are the first workspace's",
               {{"blobs", std::to_string(count)}, {"owner", options_.first_owner}});
    }
  }

  async::Pool& pool_;
  DiskShares& shares_;
  BlobOptions options_;
  std::shared_ptr<BlobNames> names_;  // pool threads may hold it a moment longer
  BlobOwners owners_;
  std::uint64_t drafts_ = 0;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  detail::Digest digest(detail::Digest::Kind::sha256);
  digest.update(bytes);
  return digest.finish();
}

std::vector<Migration> blob_migrations() { return {{"blobs", 1, detail::BlobOwners::steps()}}; }

Result<std::unique_ptr<BlobStore>> BlobStore::open(async::Pool& pool, Database& database,
                                                   DiskShares& shares, BlobOptions options) {
  auto store = std::make_unique<FileBlobStore>(pool, database, shares, std::move(options));
  THAW_TRY_VOID(store->load());
  return std::unique_ptr<BlobStore>(std::move(store));
}

}  // namespace thaw::store
