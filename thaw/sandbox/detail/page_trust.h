// SPDX-License-Identifier: Apache-2.0
//
// Memory of a restored program that is mapped from its images cannot be given back: the kernel
// would put the images' bytes in its place, so madvise(MADV_DONTNEED) answers EINVAL there.
// Allocators take that as "not now". V8 (Node, workerd, Deno, Electron) takes it as a broken kernel
// and ends the program: its pages are to be read instead. It is known by a text that every build of
// it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::sandbox::detail {

// What a look may cost: a tenant has made what is looked at.
struct LookLimits {
  std::size_t maps_bytes = 64 << 20;                  // of all descriptions of mappings
  std::uint64_t file_bytes = std::uint64_t{8} << 30;  // of all files that are read
};

// Whether any process that /proc shows, but PID 1, runs code that ends when memory cannot be given
// back; also when that would take too long to tell, because to read pages is always right. To be
// asked inside a sandbox's namespaces, while all in it stands still. Blocking.
bool gives_memory_back_or_dies(const std::string& proc = "/proc", LookLimits limits = {});

// Notes it in the folder of a checkpoint's images.
Result<void> note_pages_are_read(const os::Fd& images);
bool are_pages_read(const os::Fd& images);

}  // namespace thaw::sandbox::detail
