// SPDX-License-Identifier: Apache-2.0
// The verbs of a Transaction, each as one SQLite statement.
#include <bit>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/store/detail/connection.h"

namespace thaw::store::detail {

namespace {

// Forms are few and constant; more are prepared anew each time.
constexpr std::size_t most_verbs = 1'024;

std::uint64_t bit(ColumnNumber column) { return std::uint64_t{1} << column; }

std::uint8_t count_of(const Values& values) { return static_cast<std::uint8_t>(values.size()); }

VerbForm range_form(VerbForm::Verb verb, const AnyTable& table, const AnyIndex& index,
                    const Bounds& bounds) {
  VerbForm form{.table = &table, .other = &index, .verb = verb};
  form.with = count_of(bounds.with);
  form.from = count_of(bounds.from);
  form.after = count_of(bounds.after);
  form.to = count_of(bounds.to);
  form.before = count_of(bounds.before);
  form.order = bounds.order;
  const auto fits = [&](std::size_t more) { return form.with + more <= index.column_count; };
  THAW_CHECK(fits(form.from) && fits(form.after) && fits(form.to) && fits(form.before));
  return form;
}

// Views are bound as they are: they live until the verb is done.
int bind_text(sqlite3_stmt* statement, int position, std::string_view text, bool is_bytes) {
  const char* data = text.data() == nullptr ? "" : text.data();  // a null pointer would bind NULL
  return is_bytes ? sqlite3_bind_blob64(statement, position, data, text.size(), SQLITE_STATIC)
                  : sqlite3_bind_text64(statement, position, data, text.size(), SQLITE_STATIC,
                                        SQLITE_UTF8);
}

int bind_value(sqlite3_stmt* statement, int position, const Value& value, bool is_bytes) {
  if (const auto* text = std::get_if<std::string_view>(&value.any())) {
    return bind_text(statement, position, *text, is_bytes);
  }
  if (const auto* integer = std::get_if<std::int64_t>(&value.any())) {
    return sqlite3_bind_int64(statement, position, *integer);
  }
  if (const auto* real = std::get_if<double>(&value.any())) {
    return sqlite3_bind_double(statement, position, *real);
  }
  return sqlite3_bind_null(statement, position);
}

int bind_part(sqlite3_stmt* statement, int position, const Place::Part& part) {
  if (const auto* text = std::get_if<std::string>(&part)) {
    return bind_text(statement, position, *text, false);
  }
  if (const auto* bytes = std::get_if<std::vector<char>>(&part)) {
    return bind_text(statement, position, {bytes->data(), bytes->size()}, true);
  }
  if (const auto* integer = std::get_if<std::int64_t>(&part)) {
    return sqlite3_bind_int64(statement, position, *integer);
  }
  if (const auto* real = std::get_if<double>(&part)) {
    return sqlite3_bind_double(statement, position, *real);
  }
  return sqlite3_bind_null(statement, position);
}

}  // namespace

// A verb's statement in use: reset, or finalized if it is not a kept one, at the end.
class Connection::VerbUse {
 public:
  VerbUse(const Connection& connection, const AnyTable& table, const Verb* kept,
          std::unique_ptr<Verb> own)
      : connection_(&connection), table_(&table), verb_(kept), own_(std::move(own)) {}
  VerbUse(VerbUse&& other) noexcept
      : connection_(other.connection_),
        table_(other.table_),
        verb_(std::exchange(other.verb_, nullptr)),
        own_(std::move(other.own_)),
        next_(other.next_),
        code_(other.code_) {}
  VerbUse& operator=(VerbUse&&) = delete;
  ~VerbUse() {
    if (own_ != nullptr) {
      sqlite3_finalize(own_->statement);
    } else if (verb_ != nullptr) {
      // What is bound is bound anew before each run.
      sqlite3_reset(verb_->statement);
    }
  }

  const Verb& verb() const { return *verb_; }
  const AnyTable& table() const { return *table_; }

  void bind(const Value& value, ColumnNumber column) {
    const bool is_bytes = column != arrival_number && table_->columns[column].type == Type::bytes;
    note(bind_value(verb_->statement, next_++, value, is_bytes));
  }
  void bind(const Values& values, const AnyIndex& index, std::size_t first) {
    for (const Value& value : values.all()) {
      bind(value, index.columns[first++]);
    }
  }
  void bind(const AnyIndex& index, const Bounds& bounds) {
    bind(bounds.with, index, 0);
    for (const Values* values : {&bounds.from, &bounds.after, &bounds.to, &bounds.before}) {
      bind(*values, index, bounds.with.size());
    }
  }
  void bind(std::span<const AnyField> fields, std::uint64_t set) {
    for (const AnyField& field : fields) {
      next_ = 1 + std::popcount(set & (bit(field.column) - 1));
      bind(field.value, field.column);
    }
    next_ = 1 + std::popcount(set);
  }
  void bind(const Place& place) {
    if (table_->rows == Rows::numbered) {
      bind(place.number, arrival_number);
      return;
    }
    for (const Place::Part& part : place.key) {
      note(bind_part(verb_->statement, next_++, part));
    }
  }
  void bind_limit(std::int64_t limit) {
    note(sqlite3_bind_int64(verb_->statement, next_++, limit));
  }

  // True: there is a row. False: that was all.
  Result<bool> step() {
    const int code = code_ == SQLITE_OK ? sqlite3_step(verb_->statement) : code_;
    if (code == SQLITE_ROW || code == SQLITE_DONE) {
      return code == SQLITE_ROW;
    }
    const char* text = sqlite3_sql(verb_->statement);
    return connection_->failure(code, std::string("run \"") + text + "\"");
  }

 private:
  void note(int code) {
    if (code != SQLITE_OK && code_ == SQLITE_OK) {
      code_ = code;
    }
  }

  const Connection* connection_;
  const AnyTable* table_;
  const Verb* verb_;
  std::unique_ptr<Verb> own_;
  int next_ = 1;
  int code_ = SQLITE_OK;  // of the first value that could not be bound
};

Result<Connection::VerbUse> Connection::prepare(const VerbForm& form) {
  const auto found = verbs_.find(form);
  if (found != verbs_.end() && sqlite3_stmt_busy(found->second->statement) == 0) {
    return VerbUse(*this, *form.table, found->second.get(), nullptr);
  }
  const bool keep = found == verbs_.end() && verbs_.size() < most_verbs;
  auto verb = std::make_unique<Verb>();
  const std::string text = text_of(form);
  const int code =
      sqlite3_prepare_v3(db_, text.data(), static_cast<int>(text.size()),
                         keep ? SQLITE_PREPARE_PERSISTENT : 0, &verb->statement, nullptr);
  if (code != SQLITE_OK) {
    return failure(code, "prepare \"" + text + "\"");
  }
  verb->value_at.fill(-1);
  verb->size_at.fill(-1);
  std::int8_t place = 0;
  for (std::uint64_t bits = form.values; bits != 0; bits &= bits - 1) {
    verb->value_at[static_cast<std::size_t>(std::countr_zero(bits))] = place++;
  }
  for (std::uint64_t bits = form.sizes; bits != 0; bits &= bits - 1) {
    verb->size_at[static_cast<std::size_t>(std::countr_zero(bits))] = place++;
  }
  verb->number_at = form.table->rows == Rows::numbered ? place : -1;
  if (!keep) {
    const Verb* own = verb.get();
    return VerbUse(*this, *form.table, own, std::move(verb));
  }
  const auto kept = verbs_.emplace(form, std::move(verb)).first;
  return VerbUse(*this, *form.table, kept->second.get(), nullptr);
}

namespace {

class VerbRow final : public AnyRow {
 public:
  template <class Verb>
  VerbRow(const AnyTable& table, const Verb& verb)
      : table_(table),
        statement_(verb.statement),
        value_at_(verb.value_at),
        size_at_(verb.size_at),
        number_at_(verb.number_at) {}

  std::int64_t integer(ColumnNumber column) const override {
    return sqlite3_column_int64(statement_, at(column));
  }
  double real(ColumnNumber column) const override {
    return sqlite3_column_double(statement_, at(column));
  }
  std::string_view view(ColumnNumber column) const override { return view_at(at(column)); }
  std::size_t size(ColumnNumber column) const override {
    if (const int place = size_at_[column]; place >= 0) {
      return static_cast<std::size_t>(sqlite3_column_int64(statement_, place));
    }
    return view_at(at(column)).size();
  }
  Stored stored(ColumnNumber column) const override {
    switch (sqlite3_column_type(statement_, at(column))) {
      case SQLITE_INTEGER: return Stored::integer;
      case SQLITE_FLOAT: return Stored::real;
      case SQLITE_TEXT: return Stored::text;
      case SQLITE_BLOB: return Stored::bytes;
      default: return Stored::null;
    }
  }
  std::int64_t number() const override {
    THAW_CHECK(number_at_ >= 0);
    return sqlite3_column_int64(statement_, number_at_);
  }
  Place place() const override {
    Place place;
    if (number_at_ >= 0) {
      place.number = number();
      return place;
    }
    for (std::size_t i = 0; i < table_.key.column_count; ++i) {
      place.key.push_back(part(table_.key.columns[i]));
    }
    return place;
  }

 private:
  int at(ColumnNumber column) const {
    THAW_CHECK(value_at_[column] >= 0);  // else it is not among those that were asked for
    return value_at_[column];
  }
  std::string_view view_at(int place) const {
    const void* bytes = sqlite3_column_type(statement_, place) == SQLITE_BLOB
                            ? sqlite3_column_blob(statement_, place)
                            : sqlite3_column_text(statement_, place);
    if (bytes == nullptr) {
      return {};
    }
    return {static_cast<const char*>(bytes),
            static_cast<std::size_t>(sqlite3_column_bytes(statement_, place))};
  }
  Place::Part part(ColumnNumber column) const {
    switch (stored(column)) {
      case Stored::integer: return integer(column);
      case Stored::real: return real(column);
      case Stored::text: return std::string(view(column));
      case Stored::bytes: {
        const std::string_view bytes = view(column);
        return std::vector<char>(bytes.begin(), bytes.end());
      }
      case Stored::null: break;
    }
    return nullptr;
  }

  const AnyTable& table_;
  sqlite3_stmt* statement_;
  const std::array<std::int8_t, 64>& value_at_;
  const std::array<std::int8_t, 64>& size_at_;
  int number_at_;
};

template <class Use>
Result<void> visit_all(Use& use, const Transaction::Visitor& visit) {
  const VerbRow row(use.table(), use.verb());
  while (true) {
    THAW_TRY(const bool more, use.step());
    if (!more || visit(row) == Go::stop) {
      return ok();
    }
  }
}

}  // namespace

Result<std::int64_t> Connection::any_insert(const AnyTable& table, std::span<const AnyField> fields,
                                            Conflict conflict) {
  VerbForm form{.table = &table};
  form.verb = conflict == Conflict::fail   ? VerbForm::Verb::insert
              : conflict == Conflict::skip ? VerbForm::Verb::insert_or_skip
                                           : VerbForm::Verb::insert_or_replace;
  for (const AnyField& field : fields) {
    form.set |= bit(field.column);
  }
  THAW_TRY(VerbUse use, prepare(form));
  use.bind(fields, form.set);
  THAW_TRY_VOID(use.step());
  return sqlite3_changes64(db_);
}

Result<std::int64_t> Connection::any_update(const AnyTable& table, const Values& key,
                                            std::span<const AnyField> fields) {
  THAW_CHECK(key.size() == table.key.column_count);
  VerbForm form{.table = &table, .verb = VerbForm::Verb::update};
  for (const AnyField& field : fields) {
    form.set |= bit(field.column);
    form.kept |= field.how == AnyField::How::keep ? bit(field.column) : 0;
    form.added |= field.how == AnyField::How::add ? bit(field.column) : 0;
  }
  THAW_TRY(VerbUse use, prepare(form));
  use.bind(fields, form.set);
  use.bind(key, table.key, 0);
  THAW_TRY_VOID(use.step());
  return sqlite3_changes64(db_);
}

Result<std::int64_t> Connection::any_erase(const AnyTable& table, const AnyIndex& index,
                                           const Bounds& bounds) {
  THAW_CHECK(bounds.limit == no_limit);
  THAW_TRY(VerbUse use, prepare(range_form(VerbForm::Verb::erase, table, index, bounds)));
  use.bind(index, bounds);
  THAW_TRY_VOID(use.step());
  return sqlite3_changes64(db_);
}

Result<std::int64_t> Connection::any_erase_at(const AnyTable& table, const Place& place) {
  THAW_TRY(VerbUse use, prepare({.table = &table, .verb = VerbForm::Verb::erase_at}));
  use.bind(place);
  THAW_TRY_VOID(use.step());
  return sqlite3_changes64(db_);
}

Result<void> Connection::any_scan(const AnyTable& table, const AnyIndex& index,
                                  const Bounds& bounds, const AnyColumns& columns, Visitor visit) {
  VerbForm form = range_form(VerbForm::Verb::scan, table, index, bounds);
  form.values = read_columns(table, columns);
  form.sizes = columns.sizes;
  THAW_TRY(VerbUse use, prepare(form));
  use.bind(index, bounds);
  use.bind_limit(bounds.limit);
  return visit_all(use, visit);
}

Result<void> Connection::any_scan_at(const AnyTable& table, const Place& place,
                                     const AnyColumns& columns, Visitor visit) {
  VerbForm form{.table = &table, .verb = VerbForm::Verb::scan_at};
  form.values = read_columns(table, columns);
  form.sizes = columns.sizes;
  THAW_TRY(VerbUse use, prepare(form));
  use.bind(place);
  return visit_all(use, visit);
}

Result<void> Connection::any_scan_orphans(const AnyTable& table, ColumnNumber column,
                                          const AnyTable& parents, const AnyColumns& columns,
                                          Visitor visit) {
  THAW_CHECK(parents.key.column_count == 1);
  VerbForm form{.table = &table, .other = &parents, .verb = VerbForm::Verb::scan_orphans};
  form.values = read_columns(table, columns);
  form.sizes = columns.sizes;
  form.column = column;
  THAW_TRY(VerbUse use, prepare(form));
  return visit_all(use, visit);
}

Result<std::int64_t> Connection::any_count(const AnyTable& table, const AnyIndex& index,
                                           const Bounds& bounds) {
  THAW_TRY(VerbUse use, prepare(range_form(VerbForm::Verb::count, table, index, bounds)));
  use.bind(index, bounds);
  THAW_TRY([[maybe_unused]] const bool is_there, use.step());
  return sqlite3_column_int64(use.verb().statement, 0);
}

}  // namespace thaw::store::detail
