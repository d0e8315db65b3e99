// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/http_message.h"

#include <algorithm>
#include <cctype>

namespace thaw::codec {

namespace {

constexpr std::size_t most_head_bytes = 256u << 10;
constexpr std::size_t most_fields = 1000;

bool is_token_letter(char c) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || others.find(c) != others.npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_letter);
}

bool is_target(std::string_view text) {
  return text.starts_with('/') &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c != 0x7f; });
}

bool is_value(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

Error wrong(const std::string& what) { return Error::invalid_argument("the HTTP message " + what); }

Result<void> write_rest(std::string& out, const HttpFields& fields, const std::string& body) {
  for (const auto& [name, value] : fields) {
    if (!is_token(name) || !is_value(value)) {
      return wrong("has a header that cannot be written: " + name);
    }
    out += name + ": " + value + "\r\n";
  }
  out += "\r\n";
  out += body;
  return ok();
}

// Up to the end of the line, which is taken too.
Result<std::string_view> take_line(std::string_view& bytes) {
  const std::size_t end = bytes.substr(0, most_head_bytes).find("\r\n");
  if (end == bytes.npos) {
    return wrong("has no end of its head");
  }
  const std::string_view line = bytes.substr(0, end);
  bytes.remove_prefix(end + 2);
  return line;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  return begin == text.npos ? std::string_view()
                            : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

Result<HttpFields> take_fields(std::string_view& bytes, std::size_t line_bytes) {
  HttpFields fields;
  std::size_t head = line_bytes;
  while (true) {
    THAW_TRY(const std::string_view line, take_line(bytes));
    if (line.empty()) {
      return fields;
    }
    head += line.size() + 2;
    if (fields.size() >= most_fields || head > most_head_bytes) {
      return wrong("has a head that is too large");
    }
    const std::size_t colon = line.find(':');
    if (colon == line.npos || !is_token(line.substr(0, colon)) || !is_value(line)) {
      return wrong("has a line that is no header");
    }
    fields.emplace_back(lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
  }
}

}  // namespace

Result<std::string> write_http(const HttpRequestMessage& message) {
  if (!is_token(message.method) || !is_target(message.target)) {
    return wrong("has a method or a target that cannot be written");
  }
  std::string out = message.method + " " + message.target + " HTTP/1.1\r\n";
  THAW_TRY_VOID(write_rest(out, message.headers, message.body));
  return out;
}

Result<std::string> write_http(const HttpResponseMessage& message) {
  if (message.status < 100 || message.status > 999) {
    return wrong("has no status of three digits");
  }
  std::string out = "HTTP/1.1 " + std::to_string(message.status) + " \r\n";
  THAW_TRY_VOID(write_rest(out, message.headers, message.body));
  return out;
}

Result<HttpRequestMessage> read_http_request(std::string_view bytes) {
  THAW_TRY(const std::string_view line, take_line(bytes));
  const std::size_t method = line.find(' ');
  const std::size_t target = line.rfind(' ');
  if (method == line.npos || target == method || line.substr(target) != " HTTP/1.1") {
    return wrong("does not begin as a request");
  }
  HttpRequestMessage message;
  message.method = line.substr(0, method);
  message.target = line.substr(method + 1, target - method - 1);
  if (!is_token(message.method) || !is_target(message.target)) {
    return wrong("has a method or a target that is none");
  }
  THAW_TRY(message.headers, take_fields(bytes, line.size()));
  message.body = bytes;
  return message;
}

Result<HttpResponseMessage> read_http_response(std::string_view bytes) {
  THAW_TRY(const std::string_view line, take_line(bytes));
  constexpr std::string_view begin = "HTTP/1.1 ";
  if (!line.starts_with(begin) || line.size() < begin.size() + 3) {
    return wrong("does not begin as a response");
  }
  HttpResponseMessage message;
  message.status = 0;
  for (const char c : line.substr(begin.size(), 3)) {
    if (c < '0' || c > '9') {
      return wrong("has no status of three digits");
    }
    message.status = message.status * 10 + (c - '0');
  }
  if (message.status < 100 || (line.size() > begin.size() + 3 && line[begin.size() + 3] != ' ')) {
    return wrong("has no status of three digits");
  }
  THAW_TRY(message.headers, take_fields(bytes, line.size()));
  message.body = bytes;
  return message;
}

}  // namespace thaw::codec
