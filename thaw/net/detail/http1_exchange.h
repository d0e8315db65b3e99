// SPDX-License-Identifier: Apache-2.0
//
// Http1Exchange: one request and its answer on an HTTP/1.1 connection. The session makes it when a
// head has arrived, hands it to the handler, and then asks complete() whether the connection may
// carry another. The head of the answer is queued, not sent: it leaves with the first body bytes,
// or at the end of this turn of the loop.
#pragma once

#include "thaw/net/detail/http1_parser.h"
#include "thaw/net/detail/stream.h"

namespace thaw::net::detail {

// `date` is the value of the date header, or empty for none.
struct Http1AnswerPolicy {
  bool close_after = false;  // the last exchange of this connection
  std::string_view date;
  std::size_t exchanges = 1;  // of the server, under way
};

class Http1Exchange final : public HttpExchange {
 public:
  Http1Exchange(std::shared_ptr<Stream> stream, Http1Parser& parser, Peer peer,
                std::function<Http1AnswerPolicy()> policy);
  ~Http1Exchange() override;

  const HttpRequest& request() const override { return request_; }
  async::Task<std::optional<std::string>> read() override;
  const Headers& trailers() const override { return parser_.trailers(); }
  async::Task<void> respond(int status, Headers headers) override;
  async::Task<void> write(std::string data) override;
  async::Task<void> finish() override;
  void set_trailers(Headers trailers) override { answer_trailers_ = std::move(trailers); }
  bool respond_at_once(int status, const Headers& headers, std::string& body) override;
  bool responded() const override { return responded_; }
  async::Task<void> until_gone() override;
  bool is_websocket_upgrade() const override;
  async::Task<std::unique_ptr<WebSocket>> accept_websocket(std::string subprotocol,
                                                           Headers headers) override;
  async::Task<std::unique_ptr<ByteStream>> switch_protocols(Headers headers) override;

  enum class Next { another, close, gone };
  // After the handler: answers for it if it has not, drops a short rest of the body.
  async::Task<Next> complete(Result<void> outcome);
  // complete() would say `another` and has nothing to do for it.
  bool is_complete() const;
  // The request is read whole, and nothing of an answer is there.
  bool is_parked() const { return parser_.done() && !responded_; }

 protected:
  Result<void> keep(std::size_t bytes) override;

 private:
  enum class Framing { none, length, chunked, until_close };
  // Whether an answer may begin, with that status.
  Result<void> check_answer(int status) const;
  Result<std::string> render_head(int status, const Headers& headers);
  Framing choose_framing(int status, bool has_length) const;
  async::Task<bool> drop_rest_of_body();
  // The answer ends here, and the peer is to see that it is not whole.
  boost::asio::awaitable<void> break_off();

  // What until_gone() may still look at when the exchange is over; null until it is asked for.
  struct Life;
  std::shared_ptr<Stream> stream_;
  Http1Parser& parser_;
  std::function<Http1AnswerPolicy()> policy_;
  HttpRequest request_;
  std::shared_ptr<Life> life_;
  Held kept_;  // of a body that came by a door
  Headers answer_trailers_;
  std::size_t exchanges_ = 1;
  bool keep_alive_;
  bool minor_version_zero_;
  bool awaits_continue_ = false;
  bool body_failed_ = false;
  bool responded_ = false;
  bool finished_ = false;
  bool switched_ = false;
  Framing framing_ = Framing::none;
  std::uint64_t length_left_ = 0;
  bool silent_ = false;  // no body may follow the head (HEAD, 204, 304)
};

}  // namespace thaw::net::detail
