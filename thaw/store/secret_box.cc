// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/secret_box.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "thaw/base/check.h"
#include "thaw/store/detail/files.h"

namespace thaw::store {

namespace {

// A sealed value: version, nonce, ciphertext, tag.
constexpr char version = 1;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::size_t most_plain = 1u << 30;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

std::string hmac(std::string_view key, std::string_view text) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  THAW_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(text),
                  text.size(), bytes_of(mac), &size) != nullptr);
  mac.resize(size);
  return mac;
}

// Made under another name and linked, so that the name never stands for half a key.
Result<void> make_key(const std::string& path) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  {
    THAW_TRY(const os::Fd file, detail::open_file(fresh, O_WRONLY | O_CREAT | O_EXCL, 0600));
    THAW_TRY_VOID(detail::write_all(file.get(), random_bytes(32), fresh));
    THAW_TRY_VOID(detail::sync_file(file.get(), fresh));
  }
  const int outcome = ::link(fresh.c_str(), path.c_str());
  const int error_number = errno;
  ::unlink(fresh.c_str());
  if (outcome != 0 && error_number != EEXIST) {
    return Error::from_errno(error_number, "cannot make " + path);
  }
  return detail::sync_folder(detail::parent_of(path));
}

}  // namespace

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  std::size_t filled = 0;
  while (filled < count) {
    const ssize_t got = ::getrandom(bytes.data() + filled, count - filled, 0);
    THAW_CHECK(got > 0 || errno == EINTR);
    filled += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  }
  return bytes;
}

Result<SecretBox> SecretBox::open(const std::string& key_file) {
  if (!detail::exists(key_file)) {
    THAW_TRY_VOID(make_key(key_file));
  }
  THAW_TRY(const os::Fd file, detail::open_file(key_file, O_RDONLY, 0));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    return Error::from_errno(errno, "cannot stat " + key_file);
  }
  if ((status.st_mode & 077) != 0) {
    return Error::permission_denied(key_file + " can be read by others; chmod 600 it");
  }
  THAW_TRY(const std::string key, detail::read_some(file.get(), 33, key_file));
  SecretBox box;
  if (key.size() != box.key_.size()) {
    return Error::data_loss(key_file +
                            " does not hold 32 bytes; restore it from a backup: without "
                            "it the stored secrets cannot be read");
  }
  std::copy(key.begin(), key.end(), box.key_.begin());
  return box;
}

Result<std::string> SecretBox::seal(std::string_view plain, std::string_view context) const {
  if (plain.size() > most_plain || context.size() > most_plain) {
    return Error::invalid_argument("too large to seal");
  }
  std::string sealed(1, version);
  sealed += random_bytes(nonce_size);
  sealed.resize(1 + nonce_size + plain.size() + tag_size);
  unsigned char* out = bytes_of(sealed);
  const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  THAW_CHECK(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), out + 1) ==
             1);
  THAW_CHECK(EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes_of(context),
                               static_cast<int>(context.size())) == 1);
  THAW_CHECK(EVP_EncryptUpdate(cipher.get(), out + 1 + nonce_size, &size, bytes_of(plain),
                               static_cast<int>(plain.size())) == 1);
  THAW_CHECK(EVP_EncryptFinal_ex(cipher.get(), out + 1 + nonce_size + plain.size(), &size) == 1);
  THAW_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(tag_size),
                                 out + 1 + nonce_size + plain.size()) == 1);
  return sealed;
}

Result<std::string> SecretBox::unseal(std::string_view sealed, std::string_view context) const {
  const Error wrong = Error::data_loss(
      "a sealed value does not open: it was changed or moved, or secret.key is another one");
  if (sealed.size() < 1 + nonce_size + tag_size || sealed.front() != version ||
      sealed.size() > most_plain + 1 + nonce_size + tag_size || context.size() > most_plain) {
    return wrong;
  }
  const std::size_t plain_size = sealed.size() - 1 - nonce_size - tag_size;
  std::string plain(plain_size, '\0');
  std::string tag(sealed.substr(1 + nonce_size + plain_size));
  const unsigned char* in = bytes_of(sealed);
  const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int size = 0;
  THAW_CHECK(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key_.data(), in + 1) ==
             1);
  const bool opened = EVP_DecryptUpdate(cipher.get(), nullptr, &size, bytes_of(context),
                                        static_cast<int>(context.size())) == 1 &&
                      EVP_DecryptUpdate(cipher.get(), bytes_of(plain), &size, in + 1 + nonce_size,
                                        static_cast<int>(plain_size)) == 1 &&
                      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG,
                                          static_cast<int>(tag_size), tag.data()) == 1 &&
                      EVP_DecryptFinal_ex(cipher.get(), bytes_of(plain) + plain_size, &size) == 1;
  if (!opened) {
    return wrong;
  }
  return plain;
}

std::string SecretBox::sign(std::string_view purpose, std::string_view text) const {
  const std::string_view key(reinterpret_cast<const char*>(key_.data()), key_.size());
  const std::string mac = hmac(hmac(key, "thaw sign 1:" + std::string(purpose)), text);
  std::string hex;
  for (const char raw : mac) {
    const auto byte = static_cast<unsigned char>(raw);
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace thaw::store
