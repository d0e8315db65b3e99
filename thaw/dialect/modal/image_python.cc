// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/image_python.h"

#include "thaw/image/base_recipe.h"

namespace thaw::dialect::modal {

namespace {

// "3.12" of "3.12.1".
std::string_view minor_version(std::string_view version) {
  const auto first = version.find('.');
  return first == std::string_view::npos ? version
                                         : version.substr(0, version.find('.', first + 1));
}

std::string asked_for(const image::BuiltImage& image) {
  const std::string prefix = std::string(image::wanted_python) + "=";
  for (const std::string& entry : image.config.env) {
    if (entry.starts_with(prefix)) {
      return entry.substr(prefix.size());
    }
  }
  return {};
}

}  // namespace

Result<std::string> check_python(const ::modal::client::Function& definition,
                                 const image::BuiltImage& image, std::string_view client_python) {
  const std::string_view pickled_by = minor_version(client_python);
  const bool is_pickled =
      !definition.function_serialized().empty() || !definition.class_serialized().empty();
  if (is_pickled && !pickled_by.empty() && !image.python.empty() && pickled_by != image.python) {
    return Error::failed_precondition(
        "function '" + definition.function_name() + "' is pickled (serialized=True) by Python " +
        std::string(pickled_by) + ", and its image has Python " + image.python +
        ", which cannot load it. Run the client with Python " + image.python +
        ", or take an image with Python " + std::string(pickled_by) +
        ", or define the function in a module without serialized=True");
  }
  const std::string wanted = asked_for(image);
  if (wanted.empty() || wanted == image.python) {
    return std::string();
  }
  return "the image of '" + definition.function_name() + "' asks for Python " + wanted +
         ", which this server cannot provide: it has Python " + image.python +
         ". Name it, python_version=\"" + image.python + "\", to make this warning go away";
}

}  // namespace thaw::dialect::modal
