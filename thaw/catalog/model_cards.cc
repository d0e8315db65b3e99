// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/model_cards.h"

#include "thaw/codec/fields.h"

namespace thaw::catalog {

namespace {

// No dialect's own bytes begin so: they are JSON, or a message whose first byte is a field's.
constexpr std::string_view mark = "\x1fmodel-card\n";

struct Parts {
  std::string_view header;  // without its newline
  std::string_view rest;    // schema, and what is the dialect's own
};

std::optional<Parts> split(std::string_view definition) {
  if (!definition.starts_with(mark)) {
    return std::nullopt;
  }
  definition.remove_prefix(mark.size());
  const std::size_t end = definition.find('\n');
  if (end == std::string_view::npos) {
    return Parts{definition, {}};
  }
  return Parts{definition.substr(0, end), definition.substr(end + 1)};
}

struct Header {
  model::ModelCard card;
  std::size_t schema_bytes = 0;
};

Result<Header> read_header(const Parts& parts) {
  THAW_TRY(const codec::Json json, codec::parse_json(parts.header));
  Header header;
  model::ModelCard& card = header.card;
  codec::Fields fields(json);
  fields.read("owner", card.owner);
  fields.read("name", card.name);
  fields.read("id", card.id);
  fields.read("description", card.description);
  fields.read_enum("visibility", card.visibility, model::ModelCard::Visibility::owner);
  fields.read("streams", card.streams);
  fields.read("trains", card.trains);
  fields.read("made_with", card.made_with);
  fields.read("inputs", card.inputs);
  fields.read("schema_bytes", header.schema_bytes);
  THAW_TRY_VOID(fields.outcome());
  if (header.schema_bytes > parts.rest.size()) {
    return Error::data_loss("schema_bytes is more than there is");
  }
  return header;
}

}  // namespace

std::string with_model_card(const model::ModelCard& card, std::string_view own) {
  std::string out(mark);
  out += codec::dump_json({{"owner", card.owner},
                           {"name", card.name},
                           {"id", card.id},
                           {"description", card.description},
                           {"visibility", static_cast<int>(card.visibility)},
                           {"streams", card.streams},
                           {"trains", card.trains},
                           {"made_with", card.made_with},
                           {"inputs", card.inputs},
                           {"schema_bytes", card.schema.size()}});
  out += '\n';
  out += card.schema;
  out += own;
  return out;
}

std::string_view own_definition(std::string_view definition) {
  const auto parts = split(definition);
  if (!parts) {
    return definition;
  }
  const auto header = read_header(*parts);
  return header ? parts->rest.substr(header->schema_bytes) : std::string_view();
}

Result<std::optional<model::ModelCard>> model_card_of(std::string_view definition) {
  using Card = std::optional<model::ModelCard>;
  const auto parts = split(definition);
  if (!parts) {
    return Card();
  }
  Result<Header> header = read_header(*parts);
  if (!header) {
    return Error::data_loss("the card of a model: " + header.error().message());
  }
  header->card.schema = std::string(parts->rest.substr(0, header->schema_bytes));
  if (const Result<void> checked = model::check(header->card); !checked) {
    return Error::data_loss("the card of a model: " + checked.error().message());
  }
  return Card(std::move(header->card));
}

}  // namespace thaw::catalog
