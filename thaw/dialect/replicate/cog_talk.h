// SPDX-License-Identifier: Apache-2.0
//
// CogTalk: how the server of the cog package is spoken to. An input is a PUT of its own id whose
// answer is a stream of events, which goes on from the first to the last without being asked for;
// of a model that has no stream, as its card says or its server (406), the whole answer. It takes
// as many at once as its card says: one that says to be full is asked again in a moment. After a
// prediction that failed its health is asked, because one whose predictor has died looks alive and
// refuses everything. Files of an output that are large become blobs. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "thaw/async/blocking.h"
#include "thaw/codec/sse_reader.h"
#include "thaw/control/talk.h"
#include "thaw/dialect/replicate/prediction.h"
#include "thaw/store/blob_store.h"

namespace thaw::dialect::replicate {

class CogTalk final : public control::Talk {
 public:
  // Both outlive it.
  CogTalk(async::Pool& pool, store::BlobStore& blobs) : pool_(pool), blobs_(blobs) {}

  std::unique_ptr<control::Conversation> begin(const queue::LeasedInput& input) override;

 private:
  async::Pool& pool_;
  store::BlobStore& blobs_;
};

class CogConversation final : public control::Conversation {
 public:
  CogConversation(async::Pool& pool, store::BlobStore& blobs, const queue::LeasedInput& input);

  Result<codec::HttpRequestMessage> request() override;
  Result<std::string> take(std::string_view piece) override;
  std::string_view piece_type() const override { return gateway::pieces_type; }
  async::Task<control::Reply> end(Result<int> status) override;
  std::optional<codec::HttpRequestMessage> leave() override;

 private:
  std::string told_of(const codec::SseEvent& event);
  control::Reply refused(int status);
  control::Reply failed(control::Reply::Server server, model::OutcomeKind kind,
                        std::string why) const;
  async::Task<control::Reply> ended();
  async::Task<void> put_files_aside(gateway::Ending& ending);

  async::Pool& pool_;
  store::BlobStore& blobs_;
  model::WorkspaceId workspace_;
  std::string path_;
  std::string body_;
  bool wants_stream_;
  bool has_lost_events_ = false;  // its stream has ended for it
  codec::SseReader events_;
  std::string plain_;  // an answer that is no stream
  bool is_plain_ = false;
  bool is_first_ = true;
  codec::Json completed_;  // null: it has not told its end
  std::size_t logs_told_ = 0;
  bool skips_outputs_ = false;  // from one on that is too large for a piece
};

}  // namespace thaw::dialect::replicate
