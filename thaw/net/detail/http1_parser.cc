// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

#include "thaw/base/check.h"
#include "thaw/net/detail/authority.h"
#include "thaw/net/detail/content_length.h"

namespace thaw::net::detail {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::iequals;
using boost::beast::string_view;
using BeastError = boost::beast::error_code;

namespace {

std::string lower(string_view text) {
  std::string out(text.data(), text.size());
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < ' ' && byte != '\t') || byte == 0x7f;
}

// Nobody has more to say behind a body.
constexpr std::size_t longest_trailers = 16u << 10;
constexpr std::size_t usual_fields = 8;
// A chunk that nobody can send; the sum of sizes below it does not overflow.
constexpr std::uint64_t largest_chunk = std::uint64_t{1} << 60;
// What some clients send behind the body of the request before (RFC 9112, 2.2).
constexpr int blank_lines_allowed = 4;

// What both directions share; Beast's parser tells it what it finds.
struct Collector {
  Http1Head head;
  Headers trailers;
  std::string* body = nullptr;
  bool head_done = false;
  bool chunked = false;
  bool unknown_coding = false;
  std::uint64_t chunk_left = 0;
  std::size_t head_bytes = 0;
  std::size_t trailer_bytes = 0;
  int blank_lines = 0;  // before the head
  int codings = 0;
  int hosts = 0;

  void field(http::field field, string_view name, string_view value, BeastError& error) {
    if (head_done) {
      trailer_bytes += name.size() + value.size() + 4;
      if (trailer_bytes > longest_trailers) {
        error = http::error::header_limit;
        return;
      }
      trailers.add(lower(name), std::string(value.data(), value.size()));
      return;
    }
    if (field == http::field::transfer_encoding) {
      chunked = iequals(value, "chunked");
      unknown_coding = unknown_coding || !chunked;
      if (head.minor_version == 0 || ++codings > 1) {
        error = http::error::bad_transfer_encoding;
      }
    }
    hosts += field == http::field::host ? 1 : 0;
    if (head.headers.fields.empty()) {
      head.headers.fields.reserve(usual_fields);
    }
    head.headers.add(lower(name), std::string(value.data(), value.size()));
  }
};

template <bool is_request>
class BeastParser final : public http::basic_parser<is_request> {
 public:
  explicit BeastParser(Collector& out) : out_(out) {}

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int version,
                       BeastError&) override {
    out_.head.method.assign(method.data(), method.size());
    out_.head.target.assign(target.data(), target.size());
    out_.head.minor_version = version % 10;
  }
  void on_response_impl(int status, string_view, int version, BeastError&) override {
    out_.head.status = status;
    out_.head.minor_version = version % 10;
  }
  void on_field_impl(http::field field, string_view name, string_view value,
                     BeastError& error) override {
    out_.field(field, name, value, error);
  }
  void on_header_impl(BeastError&) override { out_.head_done = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, BeastError&) override {}
  std::size_t on_body_impl(string_view body, BeastError&) override {
    out_.body->append(body.data(), body.size());
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t size, string_view extension, BeastError& error) override {
    // Beast lets any byte stand between quotes; others take a line feed there for the line's end.
    if (size > largest_chunk || std::any_of(extension.begin(), extension.end(), is_control)) {
      error = http::error::bad_chunk;
    }
    out_.chunk_left = size;
  }
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, BeastError&) override {
    out_.body->append(body.data(), body.size());
    out_.chunk_left -= body.size();
    return body.size();
  }
  void on_finish_impl(BeastError&) override {}

  Collector& out_;
};

}  // namespace

struct Http1Parser::Impl {
  Role role;
  std::size_t header_bytes;
  Collector found;
  std::optional<BeastParser<true>> request;
  std::optional<BeastParser<false>> response;

  template <class F>
  auto visit(F f) const {
    return role == Role::request ? f(*request) : f(*response);
  }
  template <class F>
  auto visit(F f) {
    return role == Role::request ? f(*request) : f(*response);
  }
};

Http1Parser::Http1Parser(Role role, std::size_t header_bytes)
    : impl_(std::make_unique<Impl>(Impl{role, header_bytes, {}, {}, {}})) {
  reset();
}

Http1Parser::~Http1Parser() = default;

void Http1Parser::reset() {
  impl_->found = Collector();
  if (impl_->role == Role::request) {
    impl_->request.emplace(impl_->found);
  } else {
    impl_->response.emplace(impl_->found);
  }
  impl_->visit([this](auto& parser) {
    parser.header_limit(static_cast<std::uint32_t>(impl_->header_bytes));
    parser.body_limit(boost::none);
    return 0;
  });
}

void Http1Parser::expect_no_body() {
  impl_->visit([](auto& parser) {
    parser.skip(true);
    return 0;
  });
}

namespace {

// Beast takes such a line as part of the one before; others take it for a field of its own.
bool has_folded_line(std::string_view head) {
  for (std::size_t end = head.find('\n'); end != std::string_view::npos && end + 1 < head.size();
       end = head.find('\n', end + 1)) {
    if (head[end + 1] == ' ' || head[end + 1] == '\t') {
      return true;
    }
  }
  return false;
}

Error malformed(const std::string& why) {
  return Error::invalid_argument("the message is not valid HTTP/1.1: " + why);
}

Error malformed(const BeastError& error) {
  if (error == http::error::header_limit) {
    return Error::resource_exhausted("the head of the message is too large");
  }
  return malformed(error.message());
}

// What a head says of whom the request is for.
Result<void> check_addressee(const Http1Head& head, int hosts) {
  if (hosts > 1) {
    return Error::invalid_argument("it has more than one Host");
  }
  if (hosts == 0 && head.minor_version == 1) {
    return Error::invalid_argument("it has no Host");
  }
  if (hosts == 1) {
    THAW_TRY_VOID(check_authority(*head.headers.find("host"), "the Host"));
  }
  return check_target(head.method, head.target);
}

}  // namespace

Result<std::size_t> Http1Parser::put_head(std::string_view input) {
  if (impl_->role == Role::request && impl_->found.head_bytes == 0 && input.starts_with('\r') &&
      impl_->found.blank_lines < blank_lines_allowed) {
    if (input.size() == 1) {
      return 0;
    }
    if (input[1] == '\n') {
      ++impl_->found.blank_lines;
      THAW_TRY(const std::size_t rest,
               input.size() > 2 ? put_head(input.substr(2)) : Result<std::size_t>(0));
      return 2 + rest;
    }
  }
  BeastError error;
  const std::size_t used = impl_->visit([&](auto& parser) {
    parser.eager(false);
    return parser.put(asio::const_buffer(input.data(), input.size()), error);
  });
  if (impl_->role == Role::request && has_folded_line(input.substr(0, used))) {
    return malformed("a folded line");
  }
  // Beast's own limit starts again with each call, so that many small fields would pass it.
  impl_->found.head_bytes += used;
  if (impl_->found.head_bytes > impl_->header_bytes) {
    error = http::error::header_limit;
  }
  if (error == http::error::need_more) {
    return used;
  }
  if (error) {
    return malformed(error);
  }
  constexpr int least_status = 100;
  if (impl_->role == Role::response && impl_->found.head.status < least_status) {
    return malformed("the status is less than 100");
  }
  if (impl_->found.unknown_coding) {
    return Error::unimplemented("a transfer coding other than chunked");
  }
  if (const auto length = content_length_of(impl_->found.head.headers); !length) {
    return malformed(length.error().message());
  }
  if (impl_->role == Role::request) {
    const Result<void> checked = check_addressee(impl_->found.head, impl_->found.hosts);
    if (!checked) {
      return malformed(checked.error().message());
    }
  }
  return used;
}

Result<std::size_t> Http1Parser::put_body(std::string_view input, std::string& body) {
  // Beast 1.81 asserts that a last chunk comes in one piece: "0\r\n" waits for its end here.
  constexpr std::size_t last_chunk_bytes = 5;
  if (impl_->found.chunked && impl_->found.chunk_left == 0 && input.size() < last_chunk_bytes &&
      input.starts_with('0')) {
    return 0;
  }
  impl_->found.body = &body;
  BeastError error;
  const std::size_t used = impl_->visit([&](auto& parser) {
    parser.eager(true);
    return parser.put(asio::const_buffer(input.data(), input.size()), error);
  });
  impl_->found.body = nullptr;
  if (error == http::error::header_limit) {
    return malformed("what stands behind its body is too large");
  }
  if (error && error != http::error::need_more) {
    return malformed(error);
  }
  return used;
}

Result<void> Http1Parser::put_eof() {
  BeastError error;
  impl_->visit([&](auto& parser) {
    if (parser.got_some()) {
      parser.put_eof(error);
    } else {
      error = http::error::end_of_stream;
    }
    return 0;
  });
  if (error) {
    return Error::unavailable("the peer broke off in the middle of a message");
  }
  return ok();
}

bool Http1Parser::head_done() const { return impl_->found.head_done; }

bool Http1Parser::done() const {
  return impl_->visit([](const auto& parser) { return parser.is_done(); });
}

Http1Head& Http1Parser::head() { return impl_->found.head; }

const Headers& Http1Parser::trailers() const { return impl_->found.trailers; }

bool Http1Parser::keep_alive() const {
  return impl_->visit([](const auto& parser) { return parser.keep_alive(); });
}

bool Http1Parser::chunked() const { return impl_->found.chunked; }

std::size_t Http1Parser::chunk_left() const {
  return static_cast<std::size_t>(impl_->found.chunk_left);
}

std::optional<std::uint64_t> Http1Parser::content_length() const {
  const auto length = impl_->visit([](const auto& parser) { return parser.content_length(); });
  return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
}

bool has_token(const Headers& headers, std::string_view name, std::string_view token) {
  for (const auto& [key, value] : headers.fields) {
    if (key == name && http::token_list{value}.exists({token.data(), token.size()})) {
      return true;
    }
  }
  return false;
}

std::vector<std::string> tokens_of(const Headers& headers, std::string_view name) {
  std::vector<std::string> tokens;
  for (const auto& [key, value] : headers.fields) {
    if (key == name) {
      for (const string_view token : http::token_list{value}) {
        tokens.push_back(lower(token));
      }
    }
  }
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

}  // namespace thaw::net::detail
