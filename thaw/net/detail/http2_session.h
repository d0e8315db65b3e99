// SPDX-License-Identifier: Apache-2.0
//
// Http2Session: one HTTP/2 connection, the server's side, on nghttp2. run() reads, feeds nghttp2
// and starts a task per request in the session's own group; answers are collected and written once
// per loop turn. When run() returns, every handler has ended and the socket is closed.
// Flow control is by hand: bytes count as received for the peer's window when a handler takes them.
// Floods (resets, PINGs, SETTINGS, empty frames, CONTINUATION, heads that unpack to far more than
// was sent) end the connection with GOAWAY; what only takes time waits for its turn.
// Loop thread only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/net/detail/flood_guard.h"
#include "thaw/net/detail/http2_stream.h"
#include "thaw/net/detail/server_core.h"
#include "thaw/net/detail/socket.h"

namespace thaw::net::detail {

// What a listener serves. Without a table every request goes to the HTTP handler.
struct Service {
  const GrpcTable* table = nullptr;
  HttpHandler handler;
};

class Http2Session : public LiveConnection {
 public:
  Http2Session(Socket socket, Peer peer, std::shared_ptr<const Service> service,
               std::shared_ptr<ServerCore> core, std::shared_ptr<Account> account);
  ~Http2Session() override;
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  // Serves until the peer has gone, the connection has broken, a drain has ended it, or the task
  // is cancelled.
  async::Task<void> run(std::string already_read);
  void begin_drain() override;
  void give_way() override;

  std::size_t exchanges() const override { return streams_.size(); }
  // Set by the server: the connection is now one of this account (its peer has shown a token).
  std::function<void(const std::shared_ptr<Account>&)> on_owner;
  bool is_quiet() override;

  struct Callbacks;  // nghttp2's C callbacks

  // --- for streams ---
  nghttp2_session* native() { return native_; }
  const Peer& peer() const { return peer_; }
  const Service& service() const { return *service_; }
  ServerCore& core() { return *core_; }
  // Writes what nghttp2 has to send at the end of this loop turn.
  void flush_soon();
  void count_unsent(std::ptrdiff_t change) { unsent_ += change; }
  bool has_room() const;
  // Bytes of requests come and are taken by handlers. The connection's window follows the sum, so
  // that a request which nobody reads does not stop the others.
  void count_unread(std::ptrdiff_t change, std::size_t arrived);
  async::Task<void> reserve_reply(std::size_t bytes);
  void release_reply(std::size_t bytes);

 private:
  struct Link;

  static constexpr std::size_t least_read = 512;
  // What is encoded ahead of the socket.
  static constexpr std::size_t out_bytes = 128u << 10;

  void feed(std::string_view bytes);
  // Whose the stream is, and whether there is room for it.
  void admit(Http2Stream& stream);
  bool start_ready();
  void start(const std::shared_ptr<Http2Stream>& stream);
  // Works on the input for a slice; true if there is more.
  bool read_available();
  std::shared_ptr<Account> account_of(const Admission& admission);
  // Fields of a head were decoded; false: they are too many.
  bool decoded(std::size_t bytes);
  bool head_ended();
  TurnShare& whose_turns() { return owner_ ? owner_->turns : account_->turns; }
  void flush();
  bool fill();
  void wait_writable();
  void watch_silence();
  void on_silence();
  // Ends the connection after a protocol violation; GOAWAY is sent if it can be.
  void punish(std::uint32_t http2_error, std::string_view why);
  void allow_control_frame();
  void close();
  void close_if_drained();

  Socket socket_;
  const Peer peer_;
  const std::shared_ptr<const Service> service_;
  const std::shared_ptr<ServerCore> core_;
  const std::shared_ptr<Account> account_;  // of the peer
  std::shared_ptr<Account> owner_;          // of the last token that it has shown
  TurnShare turns_;
  Held held_;
  nghttp2_session* native_ = nullptr;

  std::unordered_map<std::int32_t, std::shared_ptr<Http2Stream>> streams_;
  std::deque<std::shared_ptr<Http2Stream>> ready_;  // heads complete, handler not started yet
  std::string out_;                                 // bytes for the socket, from out_begin_
  std::size_t out_begin_ = 0;
  std::ptrdiff_t unsent_ = 0;  // bytes that streams hold for sending
  std::ptrdiff_t unread_ = 0;  // bytes that streams hold for their handlers
  std::size_t withheld_ = 0;   // bytes not given back to the connection's window yet
  std::size_t reply_bytes_ = 0;
  async::Event reply_released_;
  bool in_turn_ = false;  // the end of the current turn will flush
  bool flush_posted_ = false;
  bool waiting_writable_ = false;
  bool draining_ = false;
  bool punished_ = false;    // closes at the next flush
  bool in_headers_ = false;  // a header block has begun and not ended
  bool closed_ = false;

  FloodGuard resets_;
  FloodGuard control_frames_{1'000, 200};
  // Bytes of decoded heads beyond what heads usually have.
  FloodGuard decoded_{16e6, 4e6};
  std::size_t head_decoded_ = 0;        // of the head that is arriving
  std::size_t read_bytes_ = 16u << 10;  // at a time: what a slice is enough for
  std::size_t without_token_ = 0;       // streams that are open
  Instant last_heard_;
  Instant ping_sent_ = Instant::max();
  CoarseTimer::Alarm silence_alarm_;
  CoarseTimer::Alarm header_alarm_;

  std::shared_ptr<Link> link_;  // lets posted work find out that the session is gone
  async::TaskGroup tasks_;      // last: handlers use everything above
};

}  // namespace thaw::net::detail
