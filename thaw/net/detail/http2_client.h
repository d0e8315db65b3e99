// SPDX-License-Identifier: Apache-2.0
//
// Http2Client: one connection to an HTTP/2 server that is known to speak it (no TLS and no upgrade:
// the preface comes first), on nghttp2; many calls at a time. What the server sends is not trusted:
// heads are bounded, packed and unpacked, floods of frames that carry nothing end the connection,
// pushes are refused, and a call that nobody reads does not stop the others. Output of one turn of
// the loop leaves in one write. Shared by its pool and its calls; loop thread only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/net/detail/coarse_timer.h"
#include "thaw/net/detail/flood_guard.h"
#include "thaw/net/detail/http2_call.h"
#include "thaw/net/detail/socket.h"

namespace thaw::net::detail {

class Http2Client : public std::enable_shared_from_this<Http2Client> {
 public:
  // `name` is the server's, for people.
  Http2Client(Socket socket, std::string name, std::shared_ptr<CoarseTimer> timer);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Says the preface and listens.
  void start();
  // The server has said its own. unavailable: it does not speak HTTP/2, or has gone.
  async::Task<void> until_greeted(Instant deadline);

  // For one call more, without waiting for another to end.
  bool has_room() const;
  bool takes_calls() const;
  bool is_open() const { return !closed_; }
  // What came first from the server is no beginning of HTTP/2.
  bool speaks_otherwise() const { return speaks_otherwise_; }
  // Calls have been answered on it.
  bool was_used() const { return was_used_; }
  std::size_t calls() const { return calls_.size(); }
  // Takes in what the server has sent by now: whether it has left is known afterwards.
  void look();

  enum class Body { none, follows };
  // `fields` begin with HTTP/2's own. The first bytes leave with flush(), or at the end of this
  // turn of the loop. unavailable: the connection takes no calls any more.
  Result<std::shared_ptr<Http2Call>> begin(std::span<const nghttp2_nv> fields, Body body,
                                           Instant deadline);
  void flush();
  // No call begins on it any more; it is closed when the last one ends.
  void retire();
  // Calls that are under way are told why.
  void close(const Error& why);

 private:
  friend class Http2Call;
  struct Callbacks;
  static nghttp2_session* make_session(Http2Client* client);

  // -- for calls
  void resume(Http2Call& call);
  void reset(Http2Call& call, std::uint32_t http2_error);
  // Its bytes were read: the server may send as many more.
  void took(Http2Call& call, std::size_t bytes);
  void forget(Http2Call& call);

  void await_input();
  void read_some(int most_reads);
  void feed(std::string_view bytes);
  void look_at_first(std::string_view bytes);
  void flush_soon();
  bool fill();
  void wait_writable();
  // Between turns: who has no more calls to come closes, or waits for the next one for a while.
  void rest();
  void count_control_frame();
  bool count_decoded(Http2Call* call, std::size_t bytes);
  // Ends the connection after the server broke the rules.
  void punish(std::uint32_t http2_error, std::string_view why);
  void drop(std::int32_t id, std::uint32_t http2_error);
  void count_unread(std::ptrdiff_t change, std::size_t arrived);
  Error error(std::string_view what) const;

  Socket socket_;
  const std::string name_;
  const std::shared_ptr<CoarseTimer> timer_;
  nghttp2_session* native_ = nullptr;
  std::unordered_map<std::int32_t, Http2Call*> calls_;

  std::string out_;
  std::size_t out_begin_ = 0;
  std::ptrdiff_t unread_ = 0;  // bytes that wait for the readers of calls
  std::size_t withheld_ = 0;   // not given back to the connection's window yet
  bool in_turn_ = false;
  bool flush_posted_ = false;
  bool waiting_writable_ = false;
  bool greeted_ = false;
  bool retired_ = false;
  bool was_used_ = false;
  bool speaks_otherwise_ = false;
  bool closed_ = false;
  std::string punished_;  // why it closes at the next flush; empty: it does not

  FloodGuard control_frames_{1'000, 200};
  std::size_t head_decoded_ = 0;  // of the head that is arriving
  int head_frames_ = 0;           // of it
  std::string first_bytes_;       // until it has greeted
  std::optional<Error> why_closed_;
  async::Event greeting_;
  CoarseTimer::Alarm idle_alarm_;
};

}  // namespace thaw::net::detail
