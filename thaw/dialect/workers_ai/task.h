// SPDX-License-Identifier: Apache-2.0
//
// Tasks: what kinds of models there are, in the words of this cloud's clients. Pure.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace thaw::dialect::workers_ai {

enum class ModelTask {
  text_generation,
  text_embeddings,
  text_classification,
  translation,
  summarization,
  speech_recognition,
  text_to_speech,
  text_to_image,
  image_to_text,
  image_classification,
  object_detection,
};

struct TaskWords {
  ModelTask task;
  std::string_view id;  // as aliases have it: "text-generation"
  std::string_view name;
  std::string_view description;
};

std::span<const TaskWords> all_tasks();
const TaskWords& words_of(ModelTask task);
// By its id or its name; nullopt: there is none of that name.
std::optional<ModelTask> task_named(std::string_view text);

}  // namespace thaw::dialect::workers_ai
