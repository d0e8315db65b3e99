// SPDX-License-Identifier: Apache-2.0
//
// A writer for the small part of Python's pickle (protocol 4) that a request scope needs: None,
// bool, int, str, bytes, list, tuple, dict. Opcodes: CPython's Lib/pickletools.py. Thaw never reads
// pickles.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace thaw::codec {

// Values are written in order; containers are opened and closed around their items. A dict's items
// alternate key and value.
class PickleWriter {
 public:
  PickleWriter();
  PickleWriter& none();
  PickleWriter& integer(std::int32_t value);
  PickleWriter& text(std::string_view utf8);
  PickleWriter& bytes(std::string_view data);
  PickleWriter& begin_list();
  PickleWriter& end_list();
  PickleWriter& begin_tuple();
  PickleWriter& end_tuple();
  PickleWriter& begin_dict();
  PickleWriter& end_dict();
  std::string finish();

 private:
  std::string out_;
};

}  // namespace thaw::codec
