// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/pickle.h"

namespace thaw::codec {

namespace {

void little_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) {
    out += static_cast<char>((value >> (8 * i)) & 0xff);
  }
}

}  // namespace

PickleWriter::PickleWriter() : out_("\x80\x04", 2) {}

PickleWriter& PickleWriter::none() {
  out_ += 'N';
  return *this;
}
PickleWriter& PickleWriter::integer(std::int32_t value) {
  out_ += 'J';
  little_endian(out_, static_cast<std::uint32_t>(value), 4);
  return *this;
}

PickleWriter& PickleWriter::text(std::string_view utf8) {
  out_ += 'X';
  little_endian(out_, utf8.size(), 4);
  out_ += utf8;
  return *this;
}

PickleWriter& PickleWriter::bytes(std::string_view data) {
  out_ += 'B';
  little_endian(out_, data.size(), 4);
  out_ += data;
  return *this;
}

// MARK, items, LIST / TUPLE / DICT: these opcodes take everything back to the mark.
PickleWriter& PickleWriter::begin_list() {
  out_ += '(';
  return *this;
}
PickleWriter& PickleWriter::end_list() {
  out_ += 'l';
  return *this;
}
PickleWriter& PickleWriter::begin_tuple() {
  out_ += '(';
  return *this;
}
PickleWriter& PickleWriter::end_tuple() {
  out_ += 't';
  return *this;
}
PickleWriter& PickleWriter::begin_dict() {
  out_ += '(';
  return *this;
}
PickleWriter& PickleWriter::end_dict() {
  out_ += 'd';
  return *this;
}

std::string PickleWriter::finish() {
  out_ += '.';
  return std::move(out_);
}

}  // namespace thaw::codec
