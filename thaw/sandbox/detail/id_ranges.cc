// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/id_ranges.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "thaw/os/files.h"
#include "thaw/sandbox/detail/host_settings.h"

namespace thaw::sandbox::detail {

namespace {

constexpr std::uint32_t ranges_in_block = 256;
constexpr std::uint32_t ids_in_block = ranges_in_block * ids_in_range;
constexpr std::uint32_t blocks = (range_id_end - first_range_id) / ids_in_block;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return std::nullopt;
  }
  return value;
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(end + 1);
  }
}

// What the machine has given to others.
IdSpans spans_of_machine() {
  IdSpans all;
  const auto add = [&all](const char* path, IdSpans (*spans)(std::string_view)) {
    if (const auto text = os::read_text(path)) {
      const IdSpans found = spans(*text);
      all.insert(all.end(), found.begin(), found.end());
    }
  };
  add("/etc/subuid", spans_in_subids);
  add("/etc/subgid", spans_in_subids);
  add("/etc/passwd", spans_in_users);
  add("/etc/group", spans_in_users);
  return all;
}

bool overlaps(const IdSpans& spans, std::uint64_t first) {
  return std::any_of(spans.begin(), spans.end(), [first](const auto& span) {
    return span.first < first + ids_in_block && first < span.first + span.second;
  });
}

}  // namespace

IdSpans spans_in_subids(std::string_view text) {
  IdSpans spans;
  for (const std::string_view line : split(text, '\n')) {
    const auto parts = split(line, ':');
    const auto first = parts.size() == 3 ? number(parts[1]) : std::nullopt;
    const auto count = parts.size() == 3 ? number(parts[2]) : std::nullopt;
    if (first && count && *first < 1ULL << 32 && *count <= 1ULL << 32) {
      spans.emplace_back(*first, *count);
    }
  }
  return spans;
}

IdSpans spans_in_users(std::string_view text) {
  IdSpans spans;
  for (const std::string_view line : split(text, '\n')) {
    const auto parts = split(line, ':');
    if (const auto id = parts.size() >= 3 ? number(parts[2]) : std::nullopt) {
      spans.emplace_back(*id, 1);
    }
  }
  return spans;
}

IdRanges::IdRanges(std::string folder, std::string servers, std::string instance, OwnBlocks own)
    : folder_(std::move(folder)),
      servers_(std::move(servers)),
      instance_(std::move(instance)),
      own_(own) {}

Result<IdRange> IdRanges::take() {
  if (free_.empty()) {
    THAW_TRY_VOID(take_block());
  }
  const IdRange range = free_.front();
  free_.pop_front();
  return range;
}

Result<void> IdRanges::take_block() {
  THAW_TRY_VOID(os::make_own_folder(folder_, 0700));
  THAW_TRY(const os::Fd machine, lock_machine());
  const IdSpans spans = spans_of_machine();
  for (std::uint32_t block = 0; block < blocks; ++block) {
    const std::uint32_t first = first_range_id + block * ids_in_block;
    if (overlaps(spans, first) || std::find(taken_.begin(), taken_.end(), block) != taken_.end()) {
      continue;
    }
    const std::string path = folder_ + "/" + std::to_string(block);
    auto lock = os::open_lock(path);
    // One that is none, whoever made it, is as good as taken.
    if (!lock || ::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
      continue;
    }
    // Processes of a killed server may still be there as long as its record is.
    const auto before = os::read_text(path);
    const bool is_of_this = before && *before == instance_ && own_ == OwnBlocks::free;
    if (before && !before->empty() && !is_of_this && os::exists(servers_ + "/" + *before)) {
      continue;
    }
    THAW_TRY_VOID(os::create_text(path, instance_, 0600));
    blocks_.push_back(std::move(*lock));
    taken_.push_back(block);
    for (std::uint32_t i = 0; i < ranges_in_block; ++i) {
      free_.push_back({first + i * ids_in_range});
    }
    return ok();
  }
  return Error::resource_exhausted(
      "every range of user ids of this machine (524288 to 2147483647) is taken, by sandboxes or in "
      "/etc/subuid");
}

}  // namespace thaw::sandbox::detail
