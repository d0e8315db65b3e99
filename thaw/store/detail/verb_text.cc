// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/verb_text.h"

#include <bit>
#include <span>
#include <string_view>

namespace thaw::store::detail {

namespace {

std::uint64_t bit(ColumnNumber column) { return std::uint64_t{1} << column; }

std::span<const ColumnNumber> columns_of(const AnyIndex& index) {
  return {index.columns.data(), index.column_count};
}

std::string_view name_of(const AnyTable& table, ColumnNumber column) {
  return column == arrival_number ? std::string_view("rowid") : table.columns[column].name;
}

// "a, b" of the columns whose bits are set; `each` may write more than the name.
template <class Write>
std::string list_of(std::uint64_t bits, const char* between, const Write& write) {
  std::string text;
  for (; bits != 0; bits &= bits - 1) {
    text += text.empty() ? "" : between;
    write(text, static_cast<ColumnNumber>(std::countr_zero(bits)));
  }
  return text;
}

class Text {
 public:
  explicit Text(const VerbForm& form) : form_(form), table_(*form.table) {}

  std::string insert(const char* conflict) const {
    std::string marks;
    const std::string names = list_of(form_.set, ", ", [&](std::string& text, ColumnNumber column) {
      text += name_of(table_, column);
      marks += marks.empty() ? "?" : ", ?";
    });
    return "INSERT INTO " + table() + " (" + names + ") VALUES (" + marks + ")" + conflict;
  }

  std::string replace() const {
    std::string key;
    std::uint64_t others = form_.set;
    for (const ColumnNumber column : columns_of(table_.key)) {
      key += key.empty() ? "" : ", ";
      key += name_of(table_, column);
      others &= ~bit(column);
    }
    const std::string set = list_of(others, ", ", [&](std::string& text, ColumnNumber column) {
      const std::string name(name_of(table_, column));
      text += name + " = excluded." + name;
    });
    return insert(" ON CONFLICT (") + key + ") DO " +
           (set.empty() ? "NOTHING" : "UPDATE SET " + set);
  }

  std::string update() const {
    const std::string set = list_of(form_.set, ", ", [&](std::string& text, ColumnNumber column) {
      const std::string name(name_of(table_, column));
      text += name + " = ";
      text += (form_.kept & bit(column)) != 0    ? "coalesce(" + name + ", ?)"
              : (form_.added & bit(column)) != 0 ? name + " + ?"
                                                 : "?";
    });
    return "UPDATE " + table() + " SET " + set + where(key_is());
  }

  std::string erase() const { return "DELETE FROM " + table() + by_index() + where(in_range()); }
  std::string erase_at() const { return "DELETE FROM " + table() + where(is_place()); }

  std::string scan() const {
    return select() + by_index() + where(in_range()) + sorted() + " LIMIT ?";
  }
  std::string scan_at() const { return select() + where(is_place()); }

  std::string scan_orphans() const {
    const AnyTable& parents = *static_cast<const AnyTable*>(form_.other);
    const std::string key(name_of(parents, parents.key.columns[0]));
    return select() + " WHERE " + std::string(name_of(table_, form_.column)) + " NOT IN (SELECT " +
           key + " FROM " + std::string(parents.name) + " WHERE " + key + " IS NOT NULL)";
  }

  std::string count() const {
    return "SELECT count(*) FROM " + table() + by_index() + where(in_range());
  }

 private:
  std::string table() const { return std::string(table_.name); }
  const AnyIndex& index() const { return *static_cast<const AnyIndex*>(form_.other); }

  static std::string where(const std::string& conditions) {
    return conditions.empty() ? "" : " WHERE " + conditions;
  }
  static void also(std::string& conditions, const std::string& one) {
    conditions += (conditions.empty() ? "" : " AND ") + one;
  }

  std::string select() const {
    std::string wanted = list_of(form_.values, ", ", [&](std::string& text, ColumnNumber column) {
      text += name_of(table_, column);
    });
    const std::string sizes =
        list_of(form_.sizes, ", ", [&](std::string& text, ColumnNumber column) {
          text += "length(" + std::string(name_of(table_, column)) + ")";
        });
    for (const std::string& more :
         {sizes, std::string(table_.rows == Rows::numbered ? "rowid" : "")}) {
      if (!more.empty()) {
        wanted += (wanted.empty() ? "" : ", ") + more;
      }
    }
    return "SELECT " + wanted + " FROM " + table();
  }

  // What has a name is used, whatever the planner thinks of it.
  std::string by_index() const {
    return index().name.empty() ? "" : " INDEXED BY " + std::string(index().name);
  }

  std::string sorted() const {
    std::string by;
    for (const ColumnNumber column : columns_of(index()).subspan(form_.with)) {
      by += by.empty() ? " ORDER BY " : ", ";
      by += name_of(table_, column);
      by += form_.order == Order::descending ? " DESC" : "";
    }
    return by;
  }

  std::string key_is() const {
    std::string conditions;
    for (const ColumnNumber column : columns_of(table_.key)) {
      also(conditions, std::string(name_of(table_, column)) + " = ?");
    }
    return conditions;
  }
  std::string is_place() const { return table_.rows == Rows::numbered ? "rowid = ?" : key_is(); }

  void bound(std::string& conditions, std::uint8_t count, const char* comparison) const {
    if (count == 0) {
      return;
    }
    std::string names;
    std::string marks;
    for (const ColumnNumber column : columns_of(index()).subspan(form_.with, count)) {
      names += names.empty() ? "" : ", ";
      names += name_of(table_, column);
      marks += marks.empty() ? "?" : ", ?";
    }
    also(conditions, count == 1 ? names + comparison + marks
                                : "(" + names + ")" + comparison + "(" + marks + ")");
  }

  std::string in_range() const {
    std::string conditions;
    for (const ColumnNumber column : columns_of(index()).first(form_.with)) {
      also(conditions, std::string(name_of(table_, column)) + " = ?");
    }
    bound(conditions, form_.from, " >= ");
    bound(conditions, form_.after, " > ");
    bound(conditions, form_.to, " <= ");
    bound(conditions, form_.before, " < ");
    for (std::size_t i = 0; i < index().condition_count; ++i) {
      const AnyCondition& condition = index().conditions[i];
      also(conditions, std::string(name_of(table_, condition.column)) + condition_text(condition));
    }
    return conditions;
  }

  static std::string condition_text(const AnyCondition& condition) {
    switch (condition.is) {
      case AnyCondition::Is::null: return " IS NULL";
      case AnyCondition::Is::set: return " IS NOT NULL";
      case AnyCondition::Is::equal: break;
    }
    return " = " + std::to_string(condition.number);
  }

  const VerbForm& form_;
  const AnyTable& table_;
};

}  // namespace

std::size_t HashOfForm::operator()(const VerbForm& form) const {
  std::uint64_t hash = 0;
  const auto mix = [&hash](std::uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  };
  mix(reinterpret_cast<std::uintptr_t>(form.table));
  mix(reinterpret_cast<std::uintptr_t>(form.other));
  mix(form.set ^ std::rotl(form.kept, 21) ^ std::rotl(form.added, 42));
  mix(form.values ^ std::rotl(form.sizes, 32));
  mix(std::uint64_t{form.with} | std::uint64_t{form.from} << 8 | std::uint64_t{form.after} << 16 |
      std::uint64_t{form.to} << 24 | std::uint64_t{form.before} << 32 |
      std::uint64_t{form.column} << 40 | static_cast<std::uint64_t>(form.verb) << 48 |
      static_cast<std::uint64_t>(form.order) << 56);
  return hash;
}

std::uint64_t read_columns(const AnyTable& table, const AnyColumns& columns) {
  std::uint64_t bits = columns.values;
  if (table.rows == Rows::keyed) {
    for (const ColumnNumber column : columns_of(table.key)) {
      bits |= bit(column);
    }
  }
  return bits;
}

std::string text_of(const VerbForm& form) {
  const Text text(form);
  using enum VerbForm::Verb;
  switch (form.verb) {
    case insert: return text.insert("");
    case insert_or_skip: return text.insert(" ON CONFLICT DO NOTHING");
    case insert_or_replace: return text.replace();
    case update: return text.update();
    case erase: return text.erase();
    case erase_at: return text.erase_at();
    case scan: return text.scan();
    case scan_at: return text.scan_at();
    case scan_orphans: return text.scan_orphans();
    case count: break;
  }
  return text.count();
}

}  // namespace thaw::store::detail
