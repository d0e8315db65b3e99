// SPDX-License-Identifier: Apache-2.0
//
// EdgeSocket: a Socket whose reads know when nothing more is there. Asio tries each read before it
// waits: a system call for nothing whenever the last read took all. The kernel says how much is
// left behind a read (TCP_INQ; the peer's end counts as a byte), and Asio's reactor, which is told
// of each change once, need not try again until the next one. Only an operation can tell it that,
// and none of its public ones does: this file and its .cc are the ones that use
// boost::asio::detail. A reset behind the last bytes does not count as a byte: whoever waits for
// the rest of a message tries by read_now() first. Loop thread only.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/detail/reactor_op.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "thaw/net/detail/socket.h"

namespace thaw::net::detail {

class EdgeSocket final : public Socket {
 public:
  using Done = std::function<void(const boost::system::error_code&, std::size_t)>;

  // `done` is called at the end of each read that start_read() has begun.
  EdgeSocket(Socket socket, Done done);

  // What is there now; would_block: nothing.
  std::size_t read_now(boost::asio::mutable_buffer room, boost::system::error_code& error);
  enum class Tried { no, in_vain };  // in_vain: read_now() has just found nothing
  // Reads in the background, one at a time; `owner` is kept until then.
  void start_read(boost::asio::mutable_buffer room, std::shared_ptr<void> owner, Tried tried);
  bool is_reading() const { return read_.owner != nullptr; }
  // Until the read is done, or the task is cancelled, whatever becomes of the read; for one task.
  boost::asio::awaitable<void> read_done();

 private:
  using Signature = void();
  using Handler =
      boost::asio::async_result<boost::asio::use_awaitable_t<>, Signature>::handler_type;

  struct Read final : boost::asio::detail::reactor_op {
    Read();
    static status perform(reactor_op* base);
    static void complete(void* scheduler, boost::asio::detail::operation* base,
                         const boost::system::error_code& error, std::size_t count);
    EdgeSocket* socket = nullptr;
    boost::asio::mutable_buffer room;
    std::shared_ptr<void> owner;  // null: not under way
    std::optional<Handler> waiter;
    bool was_tried = false;
  };
  void call_off_wait();
  // `is_all`: nothing is left behind the bytes.
  std::size_t receive(boost::asio::mutable_buffer room, boost::system::error_code& error,
                      bool& is_all);
  std::size_t receive_decrypted(boost::asio::mutable_buffer room, boost::system::error_code& error,
                                bool& is_all);

  Done done_;
  bool tells_rest_ = false;  // of what is there
  Read read_;
};

}  // namespace thaw::net::detail
