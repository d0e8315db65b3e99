// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/chat.h"

#include <utility>
#include <vector>

namespace thaw::dialect::workers_ai {

using codec::Json;

namespace {

struct Message {
  std::string role;
  std::string text;
  Json image;
};

Error wrong(std::size_t at, const char* what) {
  return Error::invalid_argument("messages." + std::to_string(at) + ": " + what);
}

// Text as it is, or parts of text and images.
Result<void> read_content(const Json& content, std::size_t at, Message& message) {
  if (content.is_null()) {
    return ok();  // of a message that calls tools
  }
  if (content.is_string()) {
    message.text = content.get<std::string>();
    return ok();
  }
  if (!content.is_array()) {
    return wrong(at, "content has to be text, or a list of parts");
  }
  for (const Json& part : content) {
    const Json text = part.is_object() ? part.value("text", Json()) : Json();
    const Json image = part.is_object() ? part.value("image_url", Json()) : Json();
    if (text.is_string()) {
      message.text += (message.text.empty() ? "" : "\n") + text.get<std::string>();
    } else if (image.is_object() && image.contains("url")) {
      message.image = image["url"];
    } else if (image.is_string()) {
      message.image = image;
    } else {
      return wrong(at, "a part of it is neither text nor an image");
    }
  }
  return ok();
}

std::string spoken_by(const std::string& role) {
  return role == "assistant" ? "Assistant: " : role == "tool" ? "Tool: " : "User: ";
}

}  // namespace

Result<Chat> read_chat(const Json& messages) {
  if (!messages.is_array() || messages.empty()) {
    return Error::invalid_argument("messages: has to be a list of at least one message");
  }
  Chat chat;
  std::vector<Message> said;
  for (std::size_t at = 0; at < messages.size(); ++at) {
    const Json& one = messages[at];
    const Json role = one.is_object() ? one.value("role", Json()) : Json();
    if (!role.is_string()) {
      return wrong(at, "is an object with a role and its content");
    }
    Message message{role.get<std::string>(), {}, {}};
    THAW_TRY_VOID(read_content(one.value("content", Json()), at, message));
    if (!message.image.is_null()) {
      chat.image = message.image;
    }
    if (message.role == "system" || message.role == "developer") {
      chat.system += (chat.system.empty() ? "" : "\n") + message.text;
    } else {
      said.push_back(std::move(message));
    }
  }
  if (said.size() == 1 && said.front().role == "user") {
    chat.prompt = std::move(said.front().text);
    return chat;
  }
  for (const Message& message : said) {
    chat.prompt += spoken_by(message.role) + message.text + "\n";
  }
  chat.prompt += "Assistant:";
  return chat;
}

}  // namespace thaw::dialect::workers_ai
