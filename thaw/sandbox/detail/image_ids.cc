// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/image_ids.h"

#include <cstring>
#include <optional>

namespace thaw::sandbox::detail {

namespace {

constexpr std::uint32_t common_magic = 0x54564319;  // where another one follows
constexpr std::uint64_t root_ids_field = 3;         // of an inventory
constexpr std::uint64_t user_namespace_field = 10;  // of ids

enum Kind : std::uint64_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct Field {
  std::uint64_t number = 0;
  std::uint64_t kind = 0;
  std::uint64_t value = 0;    // of a varint
  std::string_view content;   // of bytes
  std::string_view as_it_is;  // all of it
};

std::optional<std::uint64_t> take_varint(std::string_view& from) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64 && !from.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(from.front());
    from.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      return value;
    }
  }
  return std::nullopt;
}

void put_varint(std::string& to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) {
    to.push_back(static_cast<char>(value | 0x80));
  }
  to.push_back(static_cast<char>(value));
}

std::optional<Field> take_field(std::string_view& from) {
  const std::string_view start = from;
  Field field;
  const auto key = take_varint(from);
  if (!key) {
    return std::nullopt;
  }
  field.number = *key >> 3;
  field.kind = *key & 7;
  std::uint64_t size = field.kind == fixed64 ? 8 : field.kind == fixed32 ? 4 : 0;
  if (field.kind == varint || field.kind == bytes) {
    const auto value = take_varint(from);
    if (!value) {
      return std::nullopt;
    }
    field.value = *value;
    size = field.kind == bytes ? *value : 0;
  } else if (size == 0) {
    return std::nullopt;
  }
  if (size > from.size()) {
    return std::nullopt;
  }
  field.content = from.substr(0, size);
  from.remove_prefix(size);
  field.as_it_is = start.substr(0, start.size() - from.size());
  return field;
}

Error broken() { return Error::internal("criu has written an image of a form that is not known"); }

std::size_t head_bytes(std::string_view image) {
  std::uint32_t magic = 0;
  if (image.size() >= sizeof magic) {
    std::memcpy(&magic, image.data(), sizeof magic);
  }
  return magic == common_magic ? 2 * sizeof magic : sizeof magic;
}

// Its only message.
Result<std::string_view> message_of(std::string_view image) {
  const std::size_t head = head_bytes(image);
  std::uint32_t size = 0;
  if (image.size() < head + sizeof size) {
    return broken();
  }
  std::memcpy(&size, image.data() + head, sizeof size);
  image.remove_prefix(head + sizeof size);
  if (size != image.size()) {
    return broken();
  }
  return image;
}

}  // namespace

Result<std::uint64_t> own_user_namespace(std::string_view inventory) {
  THAW_TRY(std::string_view message, message_of(inventory));
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) {
      return broken();
    }
    if (field->number != root_ids_field || field->kind != bytes) {
      continue;
    }
    for (std::string_view ids = field->content; !ids.empty();) {
      const auto id = take_field(ids);
      if (!id) {
        return broken();
      }
      if (id->number == user_namespace_field && id->kind == varint) {
        return id->value;
      }
    }
  }
  return broken();
}

Result<std::string> move_to_user_namespace(std::string_view ids, std::uint64_t name) {
  THAW_TRY(std::string_view message, message_of(ids));
  std::string moved;
  bool found = false;
  while (!message.empty()) {
    const auto field = take_field(message);
    if (!field) {
      return broken();
    }
    if (field->number == user_namespace_field && field->kind == varint) {
      put_varint(moved, user_namespace_field << 3 | varint);
      put_varint(moved, name);
      found = true;
    } else {
      moved += field->as_it_is;
    }
  }
  if (!found) {
    return broken();
  }
  std::string image(ids.substr(0, head_bytes(ids)));
  const auto size = static_cast<std::uint32_t>(moved.size());
  image.append(reinterpret_cast<const char*>(&size), sizeof size);
  return image + moved;
}

}  // namespace thaw::sandbox::detail
