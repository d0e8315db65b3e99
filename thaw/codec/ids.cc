// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/ids.h"

#include <openssl/rand.h>
#include <sys/mman.h>

#include <utility>

#include "thaw/base/check.h"

namespace thaw::codec {

namespace {

constexpr std::string_view base62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::size_t letters_of_id = 22;
constexpr std::string_view upper36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view lower36 = "0123456789abcdefghijklmnopqrstuvwxyz";

// Random bytes drawn a page at a time. The page is zero in a forked child, which so draws its own.
class RandomPage {
 public:
  RandomPage() {
    void* page =
        ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    THAW_CHECK(page != MAP_FAILED);
    THAW_CHECK(::madvise(page, sizeof(Page), MADV_WIPEONFORK) == 0);
    page_ = static_cast<Page*>(page);
  }
  ~RandomPage() { ::munmap(page_, sizeof(Page)); }
  RandomPage(const RandomPage&) = delete;
  RandomPage& operator=(const RandomPage&) = delete;

  unsigned char next() {
    if (page_->left == 0) {
      THAW_CHECK(RAND_bytes(page_->bytes, sizeof page_->bytes) == 1);
      page_->left = sizeof page_->bytes;
    }
    // No byte is kept once it is used.
    return std::exchange(page_->bytes[--page_->left], 0);
  }

 private:
  struct Page {
    std::size_t left;
    unsigned char bytes[4096 - sizeof(std::size_t)];
  };
  static_assert(sizeof(Page) == 4096);
  Page* page_;
};

constinit thread_local const std::function<unsigned char()>* instead = nullptr;

std::string random_letters(std::string_view alphabet, std::size_t count) {
  thread_local RandomPage random;
  std::string text;
  text.reserve(count);
  // Rejection keeps every letter equally likely.
  const std::size_t limit = 256 - 256 % alphabet.size();
  while (text.size() < count) {
    const unsigned char byte = instead == nullptr ? random.next() : (*instead)();
    if (byte < limit) {
      text += alphabet[byte % alphabet.size()];
    }
  }
  return text;
}

}  // namespace

IdsFrom::IdsFrom(std::function<unsigned char()> bytes) : bytes_(std::move(bytes)) {
  THAW_CHECK(instead == nullptr);
  instead = &bytes_;
}

IdsFrom::~IdsFrom() { instead = nullptr; }

std::string random_id(std::string_view prefix) {
  return std::string(prefix) + "-" + random_letters(base62, letters_of_id);
}

std::string derived_id(std::string_view prefix, std::string_view digest) {
  THAW_CHECK(digest.size() >= letters_of_id);
  std::string text = std::string(prefix) + "-";
  for (const char byte : digest.substr(0, letters_of_id)) {
    text += base62[static_cast<unsigned char>(byte) % base62.size()];
  }
  return text;
}

std::string random_container_id() {
  std::string text = "ta-" + random_letters(upper36, 26);
  if (text.back() == 'V') {
    text.back() = '0';
  }
  return text;
}

std::string random_lower(int count) {
  return random_letters(lower36, static_cast<std::size_t>(count));
}

bool has_id_shape(std::string_view text, std::string_view prefix) {
  if (text.size() <= prefix.size() + 1 || text.size() > prefix.size() + 65 ||
      !text.starts_with(prefix) || text[prefix.size()] != '-') {
    return false;
  }
  return text.find_first_not_of(base62, prefix.size() + 1) == std::string_view::npos;
}

}  // namespace thaw::codec
