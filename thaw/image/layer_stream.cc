// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/layer_stream.h"

#include <cerrno>

#include "thaw/base/check.h"

namespace thaw::image {

namespace {

constexpr std::size_t block_bytes = 256u << 10;

}  // namespace

LayerStream::LayerStream(const os::Fd& file, std::uint64_t most_bytes, Instant until,
                         const std::atomic<bool>& stop)
    : most_bytes_(most_bytes),
      until_(until),
      stop_(stop),
      buffer_(block_bytes, '\0'),
      packed_(::archive_read_new()),
      tar_(::archive_read_new()) {
  THAW_CHECK(packed_ != nullptr && tar_ != nullptr);
  ::archive_read_support_filter_gzip(packed_.get());
  ::archive_read_support_filter_zstd(packed_.get());
  ::archive_read_support_format_raw(packed_.get());
  archive_entry* whole = nullptr;
  if (::archive_read_open_fd(packed_.get(), file.get(), block_bytes) != ARCHIVE_OK ||
      ::archive_read_next_header(packed_.get(), &whole) < ARCHIVE_WARN) {
    failure_ = error_of(packed_.get(), "it cannot be read");
    return;
  }
  ::archive_read_support_format_tar(tar_.get());
  if (::archive_read_open(tar_.get(), this, nullptr, &give, nullptr) != ARCHIVE_OK && !failure_) {
    failure_ = error_of(tar_.get(), "it is no tar stream");
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

Result<std::size_t> LayerStream::fill() {
  THAW_TRY_VOID(check());
  const la_ssize_t count = ::archive_read_data(packed_.get(), buffer_.data(), buffer_.size());
  if (count < 0) {
    return error_of(packed_.get(), "its compression is broken");
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
    stream.failure_ = count.error();
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
  archive_entry* entry = nullptr;
  const int status = ::archive_read_next_header(tar_.get(), &entry);
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
