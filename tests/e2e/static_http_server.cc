// SPDX-License-Identifier: Apache-2.0
//
// A server as many are written in C++: one static program in an image with nothing else, HTTP by
// Beast, one thread. It listens at PORT, answers with what it was asked, and ends at SIGQUIT alone,
// which it says.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

namespace {

asio::awaitable<void> serve(tcp::socket socket) {
  boost::beast::flat_buffer buffer;
  while (true) {
    http::request<http::string_body> request;
    const auto [read_error, read] = co_await http::async_read(socket, buffer, request, as_result);
    if (read_error) {
      co_return;
    }
    http::response<http::string_body> response(http::status::ok, request.version());
    response.keep_alive(request.keep_alive());
    response.body() = std::string(request.method_string()) + " " + std::string(request.target()) +
                      " " + request.body();
    response.prepare_payload();
    const auto [write_error, written] = co_await http::async_write(socket, response, as_result);
    if (write_error || !response.keep_alive()) {
      co_return;
    }
  }
}

asio::awaitable<void> accept(tcp::acceptor& acceptor) {
  while (true) {
    auto [error, socket] = co_await acceptor.async_accept(as_result);
    if (!error) {
      asio::co_spawn(acceptor.get_executor(), serve(std::move(socket)), asio::detached);
    }
  }
}

}  // namespace

int main() {
  const char* port = std::getenv("PORT");
  asio::io_context context(1);
  std::signal(SIGTERM, SIG_IGN);
  asio::signal_set quit(context, SIGQUIT);
  quit.async_wait([&context](const boost::system::error_code&, int) {
    std::printf("asked to end by SIGQUIT\n");
    std::fflush(stdout);
    context.stop();
  });
  const auto number = static_cast<asio::ip::port_type>(std::atoi(port != nullptr ? port : "8000"));
  tcp::acceptor acceptor(context, {asio::ip::address_v4::any(), number});
  asio::co_spawn(context, accept(acceptor), asio::detached);
  context.run();
}
