// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/callback_sender.h"

#include <doctest/doctest.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;

TEST_CASE("a signature is the one that the convention's own example has") {
  // From the text of the Standard Webhooks specification.
  CHECK(callback_signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                           1614265330, R"({"test": 2432232314})") ==
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST_CASE("each workspace has a secret of its own, which follows from the folder's key") {
  store::TempFolder folder(store::TempFolder::Place::in_memory);
  const auto box = store::SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  const std::string ann = callback_secret(*box, model::WorkspaceId("ac-ann"));
  CHECK(ann.starts_with("whsec_"));
  CHECK(ann.size() > 40);
  CHECK(ann != callback_secret(*box, model::WorkspaceId("ac-bob")));
  const auto again = store::SecretBox::open(folder / "secret.key");
  REQUIRE(again);
  CHECK(ann == callback_secret(*again, model::WorkspaceId("ac-ann")));
}

TEST_CASE("a sink whose address is refused is never tried, and says so") {
  store::TempFolder folder(store::TempFolder::Place::in_memory);
  const auto box = store::SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  async::Loop loop;
  net::WebClient client(loop, {});
  net::Resolver resolver(loop);
  const SinkRules rules{};
  async::Pool pool{1};
  WebCallbackSender sender(pool, client, resolver, *box, rules);
  for (const char* sink : {"http://127.0.0.1:1/x", "http://[::1]:1/x", "http://2130706433:1/x",
                           "http://169.254.169.254/latest", "http://[::ffff:10.0.0.1]/x",
                           "ftp://hooks.example/x", "no address"}) {
    CAPTURE(sink);
    CallbackMessage message;
    message.id = "cb_1";
    message.workspace = model::WorkspaceId("ac-ann");
    message.sink = sink;
    const auto answer = loop.run_task(sender.send(std::move(message)));
    REQUIRE(answer);
    CHECK(answer->kind == CallbackAnswer::Kind::never);
    CHECK(!answer->why.empty());
  }
  // A name may stand for another address tomorrow; which one it is here is not told.
  CallbackMessage message;
  message.id = "cb_1";
  message.workspace = model::WorkspaceId("ac-ann");
  message.sink = "http://localhost:1/x";
  const auto answer = loop.run_task(sender.send(std::move(message)));
  REQUIRE(answer);
  CHECK(answer->kind == CallbackAnswer::Kind::later);
  CHECK(answer->why.find("localhost:1\"]") != std::string::npos);
  CHECK(answer->why.find("127.0.0.1") == std::string::npos);
  CHECK(answer->why.find("::1") == std::string::npos);
}
