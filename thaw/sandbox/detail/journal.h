// SPDX-License-Identifier: Apache-2.0
//
// Journal: what is read of one stream of a process, put into a file at its place in the stream
// before anybody sees it. Of a pipe the kernel moves the bytes into the file in one step, so that
// the death of who reads loses none; of a terminal they are read and written, and a death just
// between the two loses that piece. A disk that takes nothing leaves a hole in the file: the output
// is read all the same. Who has the file's name makes room in it and removes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

class Journal {
 public:
  Journal() = default;
  // Goes on at the end of the file, if there is one.
  explicit Journal(std::string path) : path_(std::move(path)) {}

  // What read(2) says of the next piece, which takes no more memory than it has bytes. Without a
  // path nothing is written down.
  ssize_t read_from(int fd, std::string& piece);

 private:
  bool is_open();
  ssize_t move_from(int fd, std::string& piece);

  std::string path_;
  os::Fd file_;
  off_t end_ = 0;
  bool can_move_ = true;
};

}  // namespace thaw::sandbox::detail
