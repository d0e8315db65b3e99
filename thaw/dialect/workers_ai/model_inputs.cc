// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/model_inputs.h"

#include <array>
#include <string>
#include <utility>

#include "thaw/dialect/workers_ai/chat.h"
#include "thaw/dialect/workers_ai/file_value.h"

namespace thaw::dialect::workers_ai {

using codec::Json;
using Kind = InputField::Kind;

namespace {

// The clients' word, and the words that models have for the same.
struct Words {
  std::string_view given;
  std::array<std::string_view, 8> fields;
};
constexpr Words words_for_contents[] = {
    {"prompt", {"prompt", "text", "input", "query", "question", "instruction", "inputs"}},
    {"text", {"text", "texts", "input", "inputs", "sentences", "prompt", "input_text", "query"}},
    {"input_text", {"input_text", "text", "document", "article", "prompt", "input"}},
    {"audio", {"audio", "audio_file", "file", "input_audio", "input", "media"}},
    {"image", {"image", "img", "input_image", "file", "input", "image_path"}},
    {"image_b64", {"image", "img", "input_image", "file", "input"}},
    {"mask", {"mask", "mask_image"}},
};
constexpr Words words_for_settings[] = {
    {"max_tokens", {"max_tokens", "max_new_tokens", "max_length", "max_output_tokens"}},
    {"max_length", {"max_length", "max_tokens", "max_new_tokens"}},
    {"num_steps", {"num_steps", "num_inference_steps", "steps"}},
    {"steps", {"steps", "num_steps", "num_inference_steps"}},
    {"guidance", {"guidance", "guidance_scale", "cfg_scale"}},
    {"repetition_penalty", {"repetition_penalty", "repeat_penalty"}},
    {"source_lang", {"source_lang", "source_language", "src_lang", "from_lang"}},
    {"target_lang", {"target_lang", "target_language", "tgt_lang", "to_lang"}},
    {"lang", {"lang", "language"}},
    {"stop", {"stop", "stop_sequences"}},
};

const InputField* field_for(const Contract& contract, const Words& words) {
  for (const std::string_view name : words.fields) {
    if (const InputField* field = name.empty() ? nullptr : contract.find(name)) {
      return field;
    }
  }
  return nullptr;
}

bool is_about_files(std::string_view given) {
  return given == "audio" || given == "image" || given == "image_b64" || given == "mask";
}

Error does_not_fit(std::string_view given, const Contract& contract) {
  return Error::invalid_argument("this model has no input for '" + std::string(given) +
                                 "'; it takes " + contract.names());
}

class Adapter {
 public:
  Adapter(const Json& given, const Contract& contract) : given_(given), contract_(contract) {}

  Result<std::vector<Json>> run() {
    if (given_.contains("messages")) {
      THAW_TRY_VOID(put_messages());
    }
    for (const Words& words : words_for_contents) {
      const auto value = given_.find(std::string(words.given));
      const bool is_said = words.given == "prompt" && given_.contains("messages");
      if (value != given_.end() && !value->is_null() && !is_said) {
        THAW_TRY_VOID(put_content(words, *value));
      }
    }
    if (!has_content_ && !has_own_words()) {
      return Error::invalid_argument(
          "it needs one of prompt, messages, text, input_text, audio and image");
    }
    put_settings();
    std::vector<Json> inputs;
    for (const Json& text : each_text_) {
      inputs.push_back(input_);
      inputs.back()[each_field_] = text;
    }
    if (inputs.empty()) {
      inputs.push_back(std::move(input_));
    }
    return inputs;
  }

 private:
  // Whether whoever asks knows the model's own words.
  bool has_own_words() const {
    for (const auto& [name, value] : given_.items()) {
      if (contract_.find(name) != nullptr) {
        return true;
      }
    }
    return contract_.fields.empty();
  }

  Result<void> put_messages() {
    THAW_TRY(Chat chat, read_chat(given_["messages"]));
    has_content_ = true;
    if (const InputField* field = contract_.find("messages")) {
      input_["messages"] = field->kind == Kind::text ? Json(codec::dump_json(given_["messages"]))
                                                     : given_["messages"];
      return ok();
    }
    const InputField* prompt = field_for(contract_, words_for_contents[0]);
    prompt = prompt != nullptr ? prompt : contract_.first(Kind::text);
    if (prompt == nullptr) {
      return does_not_fit("messages", contract_);
    }
    const InputField* system = contract_.find("system_prompt");
    if (system != nullptr && !chat.system.empty()) {
      input_["system_prompt"] = std::move(chat.system);
    } else if (!chat.system.empty()) {
      chat.prompt = chat.system + "\n\n" + chat.prompt;
    }
    input_[prompt->name] = std::move(chat.prompt);
    if (!chat.image.is_null()) {
      return put_content({"image", words_for_contents[4].fields}, chat.image);
    }
    return ok();
  }

  Result<void> put_content(const Words& words, const Json& value) {
    has_content_ = true;
    const bool is_file = is_about_files(words.given);
    const InputField* field = field_for(contract_, words);
    if (field == nullptr || (is_file && field->kind == Kind::number)) {
      field = contract_.first(is_file ? Kind::file : Kind::text);
    }
    if (field == nullptr || input_.contains(field->name)) {
      return does_not_fit(words.given, contract_);
    }
    if (is_file) {
      THAW_TRY(input_[field->name], file_address(value));
      return ok();
    }
    return put_text(*field, words.given, value);
  }

  Result<void> put_text(const InputField& field, std::string_view given, const Json& value) {
    const Json texts = value.is_array() ? value : Json::array({value});
    if (texts.empty() || texts.size() > most_texts) {
      return Error::invalid_argument(std::string(given) + ": takes 1 to " +
                                     std::to_string(most_texts) + " texts");
    }
    for (const Json& text : texts) {
      if (!text.is_string()) {
        return Error::invalid_argument(std::string(given) + ": has to be text" +
                                       (value.is_array() ? ", each of its items" : ""));
      }
    }
    if (field.kind == Kind::list) {
      input_[field.name] = texts;
    } else if (texts.size() == 1) {
      input_[field.name] = texts[0];
    } else if (each_text_.empty()) {
      each_field_ = field.name;
      each_text_.assign(texts.begin(), texts.end());
    }
    return ok();
  }

  void put_settings() {
    for (const Words& words : words_for_settings) {
      const auto value = given_.find(std::string(words.given));
      const InputField* field = value == given_.end() ? nullptr : field_for(contract_, words);
      if (field != nullptr && !value->is_null()) {
        input_.emplace(field->name, *value);
      }
    }
    for (const auto& [name, value] : given_.items()) {
      const InputField* field = contract_.find(name);
      const bool is_there = input_.contains(name) || name == each_field_;
      if (field != nullptr && !is_there && !value.is_null()) {
        const auto address =
            field->kind == Kind::file ? file_address(value) : Result<std::string>(std::string());
        // What is no file its schema says.
        input_[name] = field->kind == Kind::file && address ? Json(*address) : value;
      }
    }
  }

  const Json& given_;
  const Contract& contract_;
  Json input_ = Json::object();
  bool has_content_ = false;
  std::string each_field_;
  std::vector<Json> each_text_;
};

}  // namespace

Result<std::vector<Json>> model_inputs(const Json& given, const Contract& contract) {
  if (!given.is_object()) {
    return Error::invalid_argument("the inputs have to be a JSON object");
  }
  return Adapter(given, contract).run();
}

}  // namespace thaw::dialect::workers_ai
