// SPDX-License-Identifier: Apache-2.0
//
// Stream: one connected socket with a bounded input buffer, a bounded output queue and one timer.
// It tries the system call first and suspends only when the kernel has nothing or takes nothing, so
// that a small exchange costs one read and one write. Output that is queued in one turn of the loop
// leaves in one write at the end of the turn (or at flush()). watch() reads in the background, so
// that a silent peer's going away is seen while nobody reads, and no byte is lost by it.
// Made by std::make_shared; pending operations keep it alive. Loop thread only; one reader and one
// writer at a time.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "thaw/async/event.h"
#include "thaw/net/detail/coarse_timer.h"
#include "thaw/net/detail/edge_socket.h"
#include "thaw/net/detail/shares.h"
#include "thaw/net/detail/turns.h"
#include "thaw/net/http.h"

namespace thaw::net::detail {

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  // `prefix`: bytes that were read from the socket already.
  Stream(Socket socket, std::string_view prefix, std::shared_ptr<CoarseTimer> timer);

  // What is buffered counts to the account from now on, and reading waits for its turn; before the
  // first operation.
  void belong_to(std::shared_ptr<Account> account, std::shared_ptr<Turns> turns);
  const std::shared_ptr<Account>& account() const { return held_.shared(); }
  // Time that a reader has spent on what it got here, until now.
  void worked(Duration used, Instant now);
  bool takes_turns() const { return turns_ != nullptr; }
  // Others should have the loop before this connection goes on: take_turn().
  bool owes_turn() const;
  async::Task<void> take_turn();

  // -- input
  std::string_view buffered() const { return {buffer_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t count);
  // Between two messages: a large input buffer is not kept for an idle connection.
  void rest();
  // Are bytes likely there already? `later` is for the first bytes of a message only: see
  // EdgeSocket.
  enum class Hope { soon, later };
  // Adds bytes behind the buffered ones; false: the peer has sent its last. resource_exhausted when
  // `limit` bytes are buffered. unavailable: broken; deadline_exceeded: see set_deadline().
  async::Task<bool> fill(std::size_t limit, Hope hope);
  // From now on until unwatch() the peer's end is noticed without a fill().
  void watch();
  void unwatch() { watching_ = false; }
  // The peer has ended its stream or broken off.
  bool peer_gone() const { return eof_ || broken_ || send_broken_; }
  // Asks the kernel: the connection is open and the peer has sent nothing.
  bool still_quiet();
  // The same without asking, as of the last turn of the loop: see listen().
  bool seems_quiet() const { return reads_ahead() && open_ && !peer_gone() && end_ == begin_; }
  // Nothing is here that was received or is to be sent, and both of the kernel's queues are empty.
  bool is_quiet();
  // Nothing is expected now; the next fill() has what comes meanwhile.
  void listen();
  // Notified when peer_gone() becomes true (while watched or read) and by close().
  async::Event& peer_event() { return peer_event_; }

  // -- output
  // Queues without waiting; errors show at the next wait. append() leaves it to the caller to
  // push() or flush() in this turn.
  void queue(std::string data);
  void append(std::string data);
  // Queues, and waits while more than a bounded amount is unsent.
  async::Task<void> write(std::string data);
  // Sends what the kernel takes now; the rest follows while others run. True: the kernel has
  // everything.
  bool push();
  // append() and push(); with company only queue(). Where many exchanges are under way, those of
  // one turn send at its end, one after the other: a peer that serves several is woken once for
  // them.
  bool send(std::string data, std::size_t exchanges);
  static constexpr std::size_t company = 8;
  // Waits until the kernel has everything.
  async::Task<void> flush();
  std::size_t unsent() const { return out_bytes_; }
  // The peer does not take what was sent to it.
  bool is_blocked() const { return writing_; }

  // -- life
  // Closes the connection when the instant passes; max() for never.
  void set_deadline(Instant deadline);
  bool expired() const { return expired_; }
  bool open() const { return open_; }
  // Tells the peer that nothing follows; flush() first.
  void shutdown_send();
  void close();
  // Closes with a reset, so that the peer cannot take what it has for the whole.
  void abort();
  // Ends politely: tells the peer, then reads and drops for a short while, so that the kernel does
  // not answer late bytes with a reset that would destroy our last answer on its way.
  async::Task<void> linger();
  // Takes the socket out; nothing may be pending (see watch()); buffered() stays readable.
  async::Task<Socket> release();

 private:
  // False: no room within `limit`.
  bool make_room(std::size_t limit);
  void recount();
  bool reads_ahead() const { return socket_.is_reading(); }
  boost::asio::mutable_buffer room();
  void took(const boost::system::error_code& error, std::size_t count);
  EdgeSocket::Tried read_now();
  void start_read(EdgeSocket::Tried tried);
  void start_background_read();
  // With a full buffer the end of the peer's stream is out of sight, but not a reset.
  void start_hangup_wait();
  Error broken_error() const;
  ssize_t send_some();
  void try_send();
  void start_background_write();

  EdgeSocket socket_;
  Held held_;
  std::shared_ptr<Turns> turns_;  // null: nobody counts
  TurnShare turn_share_;
  Duration worked_{};  // since the last time that others had their turn
  std::shared_ptr<CoarseTimer> timer_;
  CoarseTimer::Alarm alarm_;
  CoarseTimer::Alarm stall_alarm_;  // a peer that takes not one byte holds us for so long only

  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t received_ = 0;  // in all; `end_` also moves when bytes are moved to the front
  unsigned eager_reads_ = 0;
  bool is_fixed_ = false;  // the buffer may not move while others run
  std::size_t asked_ = 0;  // by the read that is under way
  bool watching_ = false;
  bool awaiting_hangup_ = false;
  bool was_filled_ = false;  // by the last read
  bool eof_ = false;

  std::deque<std::string> out_;
  std::size_t out_bytes_ = 0;
  std::size_t front_sent_ = 0;
  bool writing_ = false;
  bool flush_scheduled_ = false;

  bool broken_ = false;
  // A peer may refuse more bytes and still have an answer to be read.
  bool send_broken_ = false;
  bool expired_ = false;
  bool open_ = true;
  async::Event peer_event_;
  async::Event written_;
};

// A Stream as the raw bytes that an upgrade hands out.
class StreamBytes final : public ByteStream {
 public:
  explicit StreamBytes(std::shared_ptr<Stream> stream) : stream_(std::move(stream)) {}
  ~StreamBytes() override { stream_->close(); }
  async::Task<std::optional<std::string>> read() override;
  async::Task<void> write(std::string data) override;
  async::Task<void> finish() override;

 private:
  std::shared_ptr<Stream> stream_;
};

}  // namespace thaw::net::detail
