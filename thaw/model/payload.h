// SPDX-License-Identifier: Apache-2.0
//
// Payload: bytes that the core carries and never reads, and the names of what they are. A client's
// dialect, or the program in a container, makes them and gives them a content type; only who knows
// that type reads them. Large ones are not carried about: their bytes, or all of them behind a
// beginning that says what they are, are a blob (store/blob_store.h) of the call's workspace, and
// `rest` is its name. A plain value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace thaw::model {

struct BlobRef {
  std::string sha256_hex = {};
  std::uint64_t size = 0;  // bytes
};

struct Payload {
  std::string bytes = {};
  std::string content_type = {};  // as in HTTP; empty: nobody has said what they are
  // As in HTTP's content-encoding; empty: they are as they are. Who reads the type decodes it.
  std::string encoding = {};
  std::shared_ptr<const BlobRef> rest = {};  // what follows `bytes`; null: nothing does

  // Nothing is there. A result of no bytes has a content type still.
  bool empty() const { return bytes.empty() && content_type.empty() && !rest; }
  // What it takes of the memory, and of a row.
  std::size_t size() const {
    return bytes.size() + content_type.size() + encoding.size() +
           (rest ? rest->sha256_hex.size() : 0);
  }
  // All of its bytes, wherever they are.
  std::uint64_t length() const { return bytes.size() + (rest ? rest->size : 0); }
};

}  // namespace thaw::model
