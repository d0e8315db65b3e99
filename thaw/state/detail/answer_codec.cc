// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/detail/answer_codec.h"

namespace thaw::state::detail {

namespace {

constexpr std::size_t word_bytes = 8;

void append_word(std::string& out, std::uint64_t word) {
  for (std::size_t i = 0; i < word_bytes; ++i) {
    out += static_cast<char>(word >> (8 * i));
  }
}

void append_bytes(std::string& out, std::string_view bytes) {
  append_word(out, bytes.size());
  out += bytes;
}

Error damaged() { return Error::data_loss("a remembered answer is not what was written"); }

Result<std::uint64_t> read_word(std::string_view& in) {
  if (in.size() < word_bytes) {
    return damaged();
  }
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < word_bytes; ++i) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  }
  in.remove_prefix(word_bytes);
  return word;
}

Result<std::string> read_bytes(std::string_view& in) {
  THAW_TRY(const std::uint64_t size, read_word(in));
  if (size > in.size()) {
    return damaged();
  }
  std::string bytes(in.substr(0, size));
  in.remove_prefix(size);
  return bytes;
}

}  // namespace

std::string encode_count(std::uint64_t count) {
  std::string out;
  append_word(out, count);
  return out;
}

Result<std::uint64_t> decode_count(std::string_view bytes) {
  THAW_TRY(const std::uint64_t count, read_word(bytes));
  if (!bytes.empty()) {
    return damaged();
  }
  return count;
}

std::string encode_taken(const Taken& taken) {
  std::string out;
  append_bytes(out, taken.partition);
  append_word(out, static_cast<std::uint64_t>(taken.until.time_since_epoch().count()));
  for (const Item& item : taken.items) {
    append_word(out, static_cast<std::uint64_t>(item.number));
    append_bytes(out, item.value);
  }
  return out;
}

Result<Taken> decode_taken(std::string_view bytes) {
  Taken taken;
  THAW_TRY(taken.partition, read_bytes(bytes));
  THAW_TRY(const std::uint64_t until, read_word(bytes));
  taken.until = WallTime(std::chrono::microseconds(static_cast<std::int64_t>(until)));
  while (!bytes.empty()) {
    Item item;
    THAW_TRY(const std::uint64_t number, read_word(bytes));
    item.number = static_cast<std::int64_t>(number);
    THAW_TRY(item.value, read_bytes(bytes));
    taken.items.push_back(std::move(item));
  }
  return taken;
}

}  // namespace thaw::state::detail
