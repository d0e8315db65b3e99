// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/layer_stream.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "thaw/base/check.h"

namespace thaw::image {

namespace {

constexpr std::size_t block_bytes = 256u << 10;
// Names, links and attributes of one entry; libarchive would hold what comes of more in memory.
constexpr std::uint64_t most_head_bytes = 4u << 20;

// What the file is compressed by; ARCHIVE_FILTER_NONE.
int filter_of(const os::Fd& file) {
  using namespace std::string_view_literals;
  char head[4] = {};
  const off_t place = ::lseek(file.get(), 0, SEEK_CUR);
  const ssize_t count = ::pread(file.get(), head, sizeof head, std::max<off_t>(place, 0));
  const std::string_view text(head, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  return text.starts_with("\x1f\x8b"sv)           ? ARCHIVE_FILTER_GZIP
         : text.starts_with("\x28\xb5\x2f\xfd"sv) ? ARCHIVE_FILTER_ZSTD
                                                  : ARCHIVE_FILTER_NONE;
}

}  // namespace

LayerStream::LayerStream(const os::Fd& file, std::uint64_t most_bytes, Instant until,
                         const std::atomic<bool>& stop)
    : file_(file),
      most_bytes_(most_bytes),
      until_(until),
      stop_(stop),
      packed_buffer_(block_bytes, '\0'),
      buffer_(block_bytes, '\0'),
      packed_(::archive_read_new()),
      tar_(::archive_read_new()) {
  THAW_CHECK(packed_ != nullptr && tar_ != nullptr);
  if (const int filter = filter_of(file); filter != ARCHIVE_FILTER_NONE) {
    ::archive_read_append_filter(packed_.get(), filter);
  }
  ::archive_read_support_format_raw(packed_.get());
  archive_entry* whole = nullptr;
  if (::archive_read_open(packed_.get(), this, nullptr, &give_packed, nullptr) != ARCHIVE_OK ||
      ::archive_read_next_header(packed_.get(), &whole) < ARCHIVE_WARN) {
    fail(error_of(packed_.get(), "it cannot be read"));
    return;
  }
  ::archive_read_support_format_tar(tar_.get());
  if (::archive_read_open(tar_.get(), this, nullptr, &give, nullptr) != ARCHIVE_OK) {
    fail(error_of(tar_.get(), "it is no tar stream"));
  }
}

// The first one tells what was wrong.
void LayerStream::fail(Error error) {
  if (!failure_) {
    failure_ = std::move(error);
  }
}

Error LayerStream::error_of(archive* from, const char* what) const {
  const char* said = ::archive_error_string(from);
  return Error::failed_precondition(std::string(what) + (said == nullptr ? "" : ": ") +
                                    (said == nullptr ? "" : said));
}

Result<void> LayerStream::check() const {
  if (stop_) {
    return Error::cancelled("it was stopped");
  }
  if (monotonic_now() >= until_) {
    return Error::deadline_exceeded("it was not unpacked within its time limit");
  }
  return ok();
}

// A block of the file. Many of them may give not one byte of the stream.
la_ssize_t LayerStream::give_packed(archive* packed, void* self, const void** buffer) {
  LayerStream& stream = *static_cast<LayerStream*>(self);
  ssize_t count = -1;
  if (const auto checked = stream.check(); !checked) {
    stream.fail(checked.error());
  } else {
    do {
      count = ::read(stream.file_.get(), stream.packed_buffer_.data(), block_bytes);
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
      stream.fail(Error::from_errno(errno, "read a layer"));
    }
  }
  if (count < 0) {
    ::archive_set_error(packed, EIO, "broken");
    return ARCHIVE_FATAL;
  }
  *buffer = stream.packed_buffer_.data();
  return count;
}

Result<std::size_t> LayerStream::fill() {
  THAW_TRY_VOID(check());
  const la_ssize_t count = ::archive_read_data(packed_.get(), buffer_.data(), buffer_.size());
  if (count < 0) {
    return failure_ ? *failure_ : error_of(packed_.get(), "its compression is broken");
  }
  head_bytes_ += is_in_head_ ? static_cast<std::uint64_t>(count) : 0;
  if (head_bytes_ > most_head_bytes) {
    return Error::resource_exhausted("the head of an entry has more than " +
                                     std::to_string(most_head_bytes >> 20) + " MiB");
  }
  bytes_ += static_cast<std::uint64_t>(count);
  if (bytes_ > most_bytes_) {
    return Error::resource_exhausted("it has more than " + std::to_string(most_bytes_ >> 20) +
                                     " MiB once it is unpacked");
  }
  digest_.update(std::string_view(buffer_.data(), static_cast<std::size_t>(count)));
  return static_cast<std::size_t>(count);
}

la_ssize_t LayerStream::give(archive* tar, void* self, const void** buffer) {
  LayerStream& stream = *static_cast<LayerStream*>(self);
  const auto count = stream.fill();
  if (!count) {
    stream.fail(count.error());
    ::archive_set_error(tar, EIO, "broken");
    return ARCHIVE_FATAL;
  }
  *buffer = stream.buffer_.data();
  return static_cast<la_ssize_t>(*count);
}

Result<archive_entry*> LayerStream::next() {
  if (failure_) {
    return *failure_;
  }
  // What is left of the entry before is not of this one's head.
  if (std::exchange(has_entry_, true)) {
    ::archive_read_data_skip(tar_.get());
  }
  is_in_head_ = true;
  head_bytes_ = 0;
  archive_entry* entry = nullptr;
  const int status = ::archive_read_next_header(tar_.get(), &entry);
  is_in_head_ = false;
  if (failure_) {
    return *failure_;
  }
  if (status == ARCHIVE_EOF) {
    return nullptr;
  }
  // A warning is of names that are no text of this machine's: they are bytes here.
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
    return error_of(tar_.get(), "it is no tar stream, or a broken one");
  }
  return entry;
}

Result<bool> LayerStream::read(Piece& piece) {
  const void* data = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  const int status = ::archive_read_data_block(tar_.get(), &data, &size, &offset);
  if (failure_) {
    return *failure_;
  }
  if (status == ARCHIVE_EOF) {
    return false;
  }
  if ((status != ARCHIVE_OK && status != ARCHIVE_WARN) || offset < 0) {
    return error_of(tar_.get(), "its tar stream is broken");
  }
  piece.bytes = std::string_view(static_cast<const char*>(data), size);
  piece.offset = static_cast<std::uint64_t>(offset);
  return true;
}

Result<std::string> LayerStream::finish() {
  while (true) {
    THAW_TRY(const std::size_t count, fill());
    if (count == 0) {
      return "sha256:" + digest_.hex();
    }
  }
}

}  // namespace thaw::image
