// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/logins.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/log.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/equal_bytes.h"
#include "thaw/codec/ids.h"
#include "thaw/net/ip_address.h"
#include "thaw/store/secret_box.h"

namespace thaw::gateway {

using async::Task;

namespace {

// No vowels, so that no code is a word, and no letter that is read as another.
constexpr std::string_view letters = "BCDFGHJKLMNPQRSTVWXZ";
constexpr std::size_t code_length = 8;

// As people type it: small letters, a blank or a dash between.
std::string plain_code(const std::string& typed) {
  std::string code;
  for (const char c : typed.substr(0, 4 * code_length)) {
    const char upper = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (upper >= 'A' && upper <= 'Z') {
      code += upper;
    }
  }
  return code;
}

std::string with_dash(const std::string& code) {
  return code.substr(0, code_length / 2) + "-" + code.substr(code_length / 2);
}

// Whose share it is: of an IPv6 address its network of 64 bits, which one asker has whole.
std::string sharer_of(const std::string& from) {
  const bool in_brackets = from.starts_with('[') && from.ends_with(']');
  const auto address = net::IpAddress::parse(in_brackets ? from.substr(1, from.size() - 2) : from);
  if (!address || address->is_v4()) {
    return address ? address->str() : from;
  }
  return std::string(reinterpret_cast<const char*>(address->bytes().data()), 8);
}

Error unknown() {
  return Error::not_found(
      "there is no such login any more: it waited for too long, or the server was started anew; "
      "begin again");
}

}  // namespace

std::string Logins::fresh_code() const {
  while (true) {
    std::string code;
    while (code.size() < code_length) {
      for (const char byte : store::random_bytes(code_length)) {
        // Each letter as often as every other.
        const auto number = static_cast<unsigned char>(byte);
        if (number < 256 / letters.size() * letters.size() && code.size() < code_length) {
          code += letters[number % letters.size()];
        }
      }
    }
    const bool is_taken = std::any_of(logins_.begin(), logins_.end(), [&](const auto& entry) {
      return entry.second->code == code;
    });
    if (!is_taken) {
      return code;
    }
  }
}

void Logins::forget_old() {
  const Instant now = monotonic_now();
  std::erase_if(logins_, [now](const auto& entry) {
    const bool is_over = entry.second->until <= now;
    if (is_over) {
      entry.second->changed.notify_all();
    }
    return is_over;
  });
}

// An approved one goes like the others: who begins again is approved again.
void Logins::make_room(const std::string& sharer) {
  std::map<std::string, std::vector<LoginPtr>> by_address;
  for (const auto& [id, login] : logins_) {
    by_address[login->sharer].push_back(login);
  }
  const auto oldest_of = [](const std::vector<LoginPtr>& some) {
    return *std::min_element(some.begin(), some.end(),
                             [](const auto& a, const auto& b) { return a->number < b->number; });
  };
  const auto drop_oldest_of = [&](const std::vector<LoginPtr>& some) {
    const LoginPtr oldest = oldest_of(some);
    oldest->changed.notify_all();
    logins_.erase(oldest->id);
  };
  if (by_address[sharer].size() >= limits_.per_address) {
    drop_oldest_of(by_address[sharer]);
  } else if (logins_.size() >= limits_.all) {
    const auto largest =
        std::max_element(by_address.begin(), by_address.end(), [&](const auto& a, const auto& b) {
          return a.second.size() != b.second.size()
                     ? a.second.size() < b.second.size()
                     : !a.second.empty() &&
                           oldest_of(a.second)->number > oldest_of(b.second)->number;
        });
    drop_oldest_of(largest->second);
  }
}

Logins::Begun Logins::begin(const std::string& from, Duration good_for) {
  forget_old();
  const std::string sharer = sharer_of(from);
  make_room(sharer);
  auto login = std::make_shared<Login>();
  login->id = codec::random_id("tf");
  login->code = fresh_code();
  login->secret = codec::hex_encode(store::random_bytes(32));
  login->from = from;
  login->sharer = sharer;
  login->since = monotonic_now();
  login->until = login->since + limits_.keep;
  login->number = ++made_;
  login->good_for = good_for;
  const Begun begun{login->id, with_dash(login->code), login->secret};
  logins_.emplace(begun.id, std::move(login));
  return begun;
}

Logins::LoginPtr Logins::get(const std::string& id) {
  forget_old();
  const auto found = logins_.find(id);
  return found == logins_.end() ? nullptr : found->second;
}

Task<std::optional<Logins::Given>> Logins::wait(std::string id, std::string secret,
                                                Instant deadline) {
  const LoginPtr login = get(id);
  if (!login || !codec::equal_bytes(login->secret, secret)) {
    co_return unknown();
  }
  if (login->waits >= limits_.waits) {
    co_return Error::resource_exhausted("several requests wait for this login already");
  }
  struct Waiting {
    explicit Waiting(std::size_t& of) : count(of) { ++count; }
    ~Waiting() { --count; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    std::size_t& count;
  };
  const Waiting waiting(login->waits);
  while (!login->given) {
    if (get(id) != login) {
      co_return unknown();
    }
    if (login->is_approved && !login->is_being_made) {
      login->is_being_made = true;
      TokenWish wish{login->workspace, login->token_name, {}, login->good_for};
      auto made = co_await access_.create_token(std::move(wish));
      login->is_being_made = false;
      login->changed.notify_all();
      if (!made) {
        co_return made.error();
      }
      login->given = Given{std::move(*made), login->workspace};
      login->until = monotonic_now() + limits_.keep_taken;
      break;
    }
    const Instant until = std::min(deadline, login->until);
    THAW_CO_TRY(const bool notified, co_await login->changed.wait(until));
    if (!notified && monotonic_now() >= deadline && !login->given) {
      co_return std::optional<Given>();
    }
  }
  co_return login->given;
}

std::optional<Logins::View> Logins::find(const std::string& id) {
  const LoginPtr login = get(id);
  if (!login) {
    return std::nullopt;
  }
  return View{login->from, login->since};
}

void Logins::grant(Login& login, model::WorkspaceId workspace, std::string token_name) {
  if (!login.is_approved) {
    login.is_approved = true;
    login.workspace = std::move(workspace);
    login.token_name = token_name.empty() ? "login from " + login.from : std::move(token_name);
    login.until = monotonic_now() + limits_.keep;
    log_info("a login was approved", {{"from", login.from}, {"workspace", login.workspace.str()}});
  }
  login.changed.notify_all();
}

Result<Logins::View> Logins::approve(const std::string& code, model::WorkspaceId workspace,
                                     std::string token_name) {
  forget_old();
  const std::string wanted = plain_code(code);
  for (const auto& [id, login] : logins_) {
    if (codec::equal_bytes(login->code, wanted)) {
      grant(*login, std::move(workspace), std::move(token_name));
      return View{login->from, login->since};
    }
  }
  return Error::not_found(
      "nobody waits for a token with the code '" + code.substr(0, 2 * code_length) +
      "'; whoever asks for one is shown it, and it is good for " +
      std::to_string(static_cast<int>(to_seconds(limits_.keep) / 60)) + " minutes");
}

Result<Logins::View> Logins::approve_this(const std::string& id, const std::string& code,
                                          model::WorkspaceId workspace) {
  const LoginPtr login = get(id);
  if (!login) {
    return unknown();
  }
  if (!codec::equal_bytes(login->code, plain_code(code))) {
    if (++login->wrong_codes > limits_.wrong_codes) {
      login->changed.notify_all();
      logins_.erase(id);
      return unknown();
    }
    return Error::invalid_argument(
        "that is not the code of this login; it is in the terminal that "
        "asks for the token");
  }
  grant(*login, std::move(workspace), {});
  return View{login->from, login->since};
}

}  // namespace thaw::gateway
