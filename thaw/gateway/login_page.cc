// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/login_page.h"

#include <openssl/crypto.h>

#include <string_view>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;

namespace {

constexpr std::string_view prefix = "/login/";
constexpr std::size_t largest_form = 4'096;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

// No script, nothing from elsewhere, in no frame of others, and no trace in caches or referrers.
net::Headers page_headers() {
  net::Headers headers;
  headers.add("content-type", "text/html; charset=utf-8");
  headers.add("cache-control", "no-store");
  headers.add("content-security-policy",
              "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
              "frame-ancestors 'none'; base-uri 'none'");
  headers.add("x-frame-options", "DENY");
  headers.add("x-content-type-options", "nosniff");
  headers.add("referrer-policy", "no-referrer");
  return headers;
}

std::string page_of(const std::string& content) {
  return "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Thaw: a token is "
         "asked for</title><style>body{font:16px sans-serif;max-width:36em;margin:4em "
         "auto;padding:0 1em}code,input{font:16px monospace}</style></head><body>" +
         content + "</body></html>\n";
}

Task<void> answer(net::HttpExchange& exchange, int status, std::string content) {
  return exchange.respond_whole(status, page_headers(), page_of(content));
}

// The host of an authority, without its port.
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) {
    return authority.substr(0, authority.find(']') + 1);
  }
  return authority.substr(0, authority.find(':'));
}

bool is_loopback_name(std::string_view host) {
  return host == "127.0.0.1" || host == "localhost" || host == "[::1]";
}

std::string id_in(const net::HttpRequest& request) {
  const std::string_view path = request.path();
  std::string id(path.substr(std::min(path.size(), prefix.size())));
  return codec::has_id_shape(id, "tf") ? id : std::string();
}

const char* const over =
    "<h1>This login is over</h1><p>It waited for too long, or it was begun with another server. "
    "Begin again in the terminal.</p>";

}  // namespace

std::string LoginPage::form_key(const std::string& id) const {
  return box_.sign("login form", id).substr(0, 32);
}

// The name in the request is looked at too: a page of somebody else's, whose name leads here, is
// none of ours. What has come through a proxy says so, and is not from here.
bool LoginPage::may_click(const net::HttpRequest& request) const {
  return options_.click == LoginPageOptions::Click::loopback &&
         request.peer.transport == net::Peer::Transport::tcp &&
         is_loopback_name(host_of(request.peer.address)) &&
         is_loopback_name(host_of(request.authority)) && !request.headers.find("forwarded") &&
         !request.headers.find("x-forwarded-for") && !request.headers.find("x-real-ip") &&
         !request.headers.find("via");
}

Task<void> LoginPage::serve(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  const std::string id = id_in(request);
  const auto login = id.empty() ? std::nullopt : logins_.find(id);
  if (!login) {
    co_return co_await answer(exchange, 404, over);
  }
  if (request.method == "POST") {
    co_return co_await approve(exchange, id);
  }
  if (request.method != "GET" && request.method != "HEAD") {
    co_return co_await answer(exchange, 405, "<h1>Method not allowed</h1>");
  }
  std::string content = "<h1>A token is asked for</h1><p>Somebody at <code>" +
                        escaped(login->from) +
                        "</code> asks for a token of this server. The terminal that asks shows a "
                        "code of eight letters.</p>";
  if (may_click(request)) {
    content += "<form method=\"post\" action=\"" + std::string(prefix) + escaped(id) +
               "\"><input type=\"hidden\" name=\"form\" value=\"" + form_key(id) +
               "\"><label>Code <input name=\"code\" maxlength=\"12\" autocomplete=\"off\" "
               "autofocus></label> <button>Give it a token</button></form><p>Type the code of your "
               "own terminal only: whoever has shown you another one would be let in.</p>";
  } else {
    content +=
        "<p>Who runs this server approves it there:</p><pre>thaw token approve CODE</pre>"
        "<p>Then the terminal goes on by itself.</p>";
  }
  co_return co_await answer(exchange, 200, std::move(content));
}

Task<void> LoginPage::approve(net::HttpExchange& exchange, std::string id) {
  const net::HttpRequest& request = exchange.request();
  const auto origin = request.headers.find("origin");
  const auto site = request.headers.find("sec-fetch-site");
  if (!may_click(request) || (origin && *origin != request.scheme + "://" + request.authority) ||
      (site && *site != "same-origin")) {
    co_return co_await answer(exchange, 403,
                              "<h1>Not from here</h1><p>Who runs this server approves it there: "
                              "<code>thaw token approve CODE</code></p>");
  }
  auto body = co_await exchange.read_all(largest_form);
  if (!body) {
    co_return co_await answer(exchange, 400, "<h1>That form is too large</h1>");
  }
  const std::string key = codec::query_value(*body, "form");
  const std::string wanted = form_key(id);
  if (key.size() != wanted.size() || CRYPTO_memcmp(key.data(), wanted.data(), key.size()) != 0) {
    co_return co_await answer(exchange, 403, "<h1>That form is of another page</h1>");
  }
  const auto approved =
      logins_.approve_this(id, codec::query_value(*body, "code"), catalog_.default_workspace());
  if (approved) {
    co_return co_await answer(exchange, 200,
                              "<h1>It has its token</h1><p>The terminal goes on by itself; this "
                              "page can be closed.</p>");
  }
  if (approved.error().code() == Code::not_found) {
    co_return co_await answer(exchange, 404, over);
  }
  co_return co_await answer(exchange, 400,
                            "<h1>Not this one</h1><p>" + escaped(approved.error().message()) +
                                "</p><p><a href=\"" + std::string(prefix) + escaped(id) +
                                "\">Try again</a></p>");
}

}  // namespace thaw::gateway
