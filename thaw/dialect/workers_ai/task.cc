// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/task.h"

#include <algorithm>

namespace thaw::dialect::workers_ai {

namespace {

// In the order of the enum.
constexpr TaskWords tasks[] = {
    {ModelTask::text_generation, "text-generation", "Text Generation",
     "goes on with a text or a chat"},
    {ModelTask::text_embeddings, "text-embeddings", "Text Embeddings", "turns texts into vectors"},
    {ModelTask::text_classification, "text-classification", "Text Classification",
     "says what kind of text it is"},
    {ModelTask::translation, "translation", "Translation", "says a text in another language"},
    {ModelTask::summarization, "summarization", "Summarization", "says a text in fewer words"},
    {ModelTask::speech_recognition, "automatic-speech-recognition", "Automatic Speech Recognition",
     "writes down what is spoken"},
    {ModelTask::text_to_speech, "text-to-speech", "Text-to-Speech", "speaks a text"},
    {ModelTask::text_to_image, "text-to-image", "Text-to-Image", "makes an image of a text"},
    {ModelTask::image_to_text, "image-to-text", "Image-to-Text", "says what an image shows"},
    {ModelTask::image_classification, "image-classification", "Image Classification",
     "says what kind of image it is"},
    {ModelTask::object_detection, "object-detection", "Object Detection",
     "says what is where in an image"},
};

}  // namespace

std::span<const TaskWords> all_tasks() { return tasks; }

const TaskWords& words_of(ModelTask task) { return tasks[static_cast<std::size_t>(task)]; }

std::optional<ModelTask> task_named(std::string_view text) {
  const auto found = std::find_if(std::begin(tasks), std::end(tasks), [&](const TaskWords& one) {
    return one.id == text || one.name == text;
  });
  return found == std::end(tasks) ? std::nullopt : std::optional(found->task);
}

}  // namespace thaw::dialect::workers_ai
