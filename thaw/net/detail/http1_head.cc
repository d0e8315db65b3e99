// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_head.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <iterator>

namespace thaw::net::detail {

namespace {

std::string_view reason_of(int status) {
  struct Entry {
    int status;
    std::string_view reason;
  };
  static constexpr auto reasons = std::to_array<Entry>({
      {100, "Continue"},
      {101, "Switching Protocols"},
      {102, "Processing"},
      {103, "Early Hints"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {203, "Non-Authoritative Information"},
      {204, "No Content"},
      {205, "Reset Content"},
      {206, "Partial Content"},
      {207, "Multi-Status"},
      {208, "Already Reported"},
      {226, "IM Used"},
      {300, "Multiple Choices"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {305, "Use Proxy"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {402, "Payment Required"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {406, "Not Acceptable"},
      {407, "Proxy Authentication Required"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {412, "Precondition Failed"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {416, "Range Not Satisfiable"},
      {417, "Expectation Failed"},
      {418, "I'm a teapot"},
      {421, "Misdirected Request"},
      {422, "Unprocessable Content"},
      {423, "Locked"},
      {424, "Failed Dependency"},
      {425, "Too Early"},
      {426, "Upgrade Required"},
      {428, "Precondition Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {451, "Unavailable For Legal Reasons"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
      {506, "Variant Also Negotiates"},
      {507, "Insufficient Storage"},
      {508, "Loop Detected"},
      {510, "Not Extended"},
      {511, "Network Authentication Required"},
      {599, "Network Connect Timeout Error"},
  });
  for (const Entry& entry : reasons) {
    if (entry.status == status) {
      return entry.reason;
    }
  }
  switch (status / 100) {
    case 2: return "Success";
    case 3: return "Redirection";
    case 4: return "Client Error";
    case 5: return "Server Error";
    default: return "Unknown";
  }
}

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool breaks_line(char c) { return c == '\r' || c == '\n' || c == '\0'; }

}  // namespace

HeadWriter::HeadWriter(int status) {
  text_.reserve(256);
  text_ += "HTTP/1.1 ";
  text_ += std::to_string(status);
  text_ += ' ';
  text_ += reason_of(status);
  text_ += "\r\n";
}

HeadWriter::HeadWriter(std::string_view method, std::string_view target) {
  text_.reserve(512);
  text_ += method;
  text_ += ' ';
  text_ += target;
  text_ += " HTTP/1.1\r\n";
}

void HeadWriter::add(std::string_view name, std::string_view value) {
  text_ += name;
  text_ += ": ";
  text_ += value;
  text_ += "\r\n";
}

Result<void> HeadWriter::add_checked(std::string_view name, std::string_view value) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_token_char) ||
      std::any_of(value.begin(), value.end(), breaks_line)) {
    return Error::internal("a header has characters that it cannot have");
  }
  add(name, value);
  return ok();
}

std::string HeadWriter::end() && {
  text_ += "\r\n";
  return std::move(text_);
}

Result<void> check_request_line(std::string_view method, std::string_view target) {
  const auto ends_target = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; };
  if (method.empty() || !std::all_of(method.begin(), method.end(), is_token_char) ||
      target.empty() || std::any_of(target.begin(), target.end(), ends_target)) {
    return Error::internal("a request line has characters that it cannot have");
  }
  return ok();
}

bool is_hop_by_hop(std::string_view name) {
  return name == "connection" || name == "keep-alive" || name == "proxy-connection" ||
         name == "proxy-authenticate" || name == "proxy-authorization" || name == "te" ||
         name == "trailer" || name == "transfer-encoding" || name == "upgrade";
}

bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
         method == "DELETE" || method == "TRACE";
}

std::string chunk_head(std::size_t size) {
  std::array<char, 18> digits;
  char* const end = std::to_chars(digits.data(), digits.data() + 16, size, 16).ptr;
  end[0] = '\r';
  end[1] = '\n';
  return std::string(digits.data(), end + 2);
}

Headers proxied_trailers(const Headers& trailers) {
  constexpr std::string_view too_late[] = {"content-length", "content-type",  "content-encoding",
                                           "content-range",  "host",          "authorization",
                                           "cookie",         "cache-control", "expect",
                                           "max-forwards",   "range",         "set-cookie"};
  Headers kept;
  for (const auto& [name, value] : trailers.fields) {
    if (!is_hop_by_hop(name) && !name.starts_with("x-forwarded-") && name != "forwarded" &&
        std::find(std::begin(too_late), std::end(too_late), name) == std::end(too_late)) {
      kept.add(name, value);
    }
  }
  return kept;
}

std::string last_chunk(const Headers& trailers) {
  HeadWriter text(std::string_view("0\r\n"));
  for (const auto& [name, value] : proxied_trailers(trailers).fields) {
    (void)text.add_checked(name, value);
  }
  return std::move(text).end();
}

std::string http_date(WallTime now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t size =
      std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text.data(), size);
}

}  // namespace thaw::net::detail
