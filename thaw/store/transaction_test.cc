// SPDX-License-Identifier: Apache-2.0
// The verbs on tables, and how tables come to be.
#include "thaw/store/transaction.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "thaw/store/database.h"
#include "thaw/store/detail/verb_text.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::store;

namespace {

enum class C { id, owner, born, size, weight, picture, ended };
constexpr Column animal_columns[] = {{"id", Type::text},      {"owner", Type::text},
                                     {"born", Type::integer}, {"size", Type::integer},
                                     {"weight", Type::real},  {"picture", Type::bytes},
                                     {"ended", Type::integer}};
constexpr Table<C> animals("animals", animal_columns, {C::id}, Rows::numbered);
constexpr Index<C> by_owner("animals_of_owner", {C::owner, C::born, C::id});
constexpr Index<C> alive("animals_alive", {C::born}, {is_null(C::ended), equals(C::size, 1)});
constexpr Index<C> by_birth({C::owner, C::born});  // no two rows share both

enum class K { kind, id, text };
constexpr Column thing_columns[] = {{"kind", Type::text}, {"id", Type::text}, {"text", Type::text}};
constexpr Table<K> things("things", thing_columns, {K::kind, K::id}, Rows::keyed);

std::vector<Step> first_steps() {
  return {AddTable{.name = "animals",
                   .columns = {{"id", Type::text, Nulls::yes},
                               {"owner", Type::text},
                               {"born", Type::integer},
                               {"size", Type::integer, Nulls::no, 1},
                               {"weight", Type::real, Nulls::yes},
                               {"picture", Type::bytes, Nulls::yes},
                               {"ended", Type::integer, Nulls::yes}},
                   .key = {"id"},
                   .unique = {{"owner", "born"}}},
          AddIndex{"animals_of_owner", "animals", {"owner", "born", "id"}},
          AddIndex{"animals_alive",
                   "animals",
                   {"born"},
                   {{"ended", AnyCondition::Is::null}, {"size", AnyCondition::Is::equal, 1}}},
          AddTable{.name = "things",
                   .columns = {{"kind", Type::text}, {"id", Type::text}, {"text", Type::text}},
                   .key = {"kind", "id"},
                   .rows = Rows::keyed}};
}

struct Fixture {
  TempFolder folder{TempFolder::Place::in_memory};
  async::Loop loop;
  std::unique_ptr<Database> database;

  Fixture() { open({{"test", 1, first_steps()}}); }

  Result<void> try_open(std::vector<Migration> migrations) {
    database.reset();
    DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = std::move(migrations);
    THAW_TRY(database, Database::open(loop, options));
    return ok();
  }
  void open(std::vector<Migration> migrations) {
    const auto opened = try_open(std::move(migrations));
    REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().to_string()));
  }
  Result<void> write(std::function<Result<void>(Transaction&)> work) {
    const auto body = [](Database& db,
                         std::function<Result<void>(Transaction&)> run) -> async::Task<void> {
      co_return co_await db.write<void>(std::move(run));
    };
    return loop.run_task(body(*database, std::move(work)));
  }
  void must(std::function<Result<void>(Transaction&)> work) {
    const auto done = write(std::move(work));
    REQUIRE_MESSAGE(done, (done ? "" : done.error().to_string()));
  }
  void fill(std::vector<std::pair<std::string, std::int64_t>> all) {
    must([&](Transaction& t) -> Result<void> {
      for (const auto& [id, born] : all) {
        THAW_TRY_VOID(t.insert(animals, {{C::id, id}, {C::owner, "ann"}, {C::born, born}}));
      }
      return ok();
    });
  }
  std::string ids(const Range<C>& range) {
    std::string all;
    const auto read = database->read_now([&](Transaction& t) {
      return t.scan(animals, range, {C::id}, [&](const Row<C>& row) { all += row.text(C::id); });
    });
    CHECK_MESSAGE(read, (read ? "" : read.error().to_string()));
    return all;
  }
};

}  // namespace

TEST_CASE("a row comes back as it was put, whatever is in it") {
  Fixture f;
  const std::string odd("a\0'b", 4);
  f.must([&](Transaction& t) -> Result<void> {
    THAW_TRY_VOID(t.insert(animals, {{C::born, -5},
                                     {C::id, odd},
                                     {C::owner, ""},
                                     {C::weight, 0.5},
                                     {C::picture, std::string("\0\xff", 2)}}));
    const Result<bool> is_there =
        t.get(animals, {odd}, {C::id, C::owner, C::born, C::size, C::weight, C::picture, C::ended},
              [&](const Row<C>& row) {
                CHECK(row.text(C::id) == odd);
                CHECK(row.stored(C::id) == Stored::text);
                CHECK(row.stored(C::owner) == Stored::text);
                CHECK(row.text(C::owner).empty());
                CHECK(row.integer(C::born) == -5);
                CHECK(row.integer(C::size) == 1);  // by its migration
                CHECK(row.real(C::weight) == 0.5);
                CHECK(row.view(C::picture) == std::string_view("\0\xff", 2));
                CHECK(row.stored(C::picture) == Stored::bytes);
                CHECK(row.size(C::picture) == 2);
                CHECK(row.is_null(C::ended));
                CHECK(row.number() == 1);
              });
    REQUIRE(is_there);
    CHECK(*is_there);
    THAW_TRY(const bool another, t.get(animals, {"none"}, {C::id}, [](const Row<C>&) {}));
    CHECK_FALSE(another);
    return ok();
  });
}

TEST_CASE("a row that may not be beside another is refused, left out, or takes its place") {
  Fixture f;
  f.fill({{"a", 1}});
  const auto insert = [](const char* id, std::int64_t born) {
    return [=](Transaction& t) {
      return t.insert(animals, {{C::id, id}, {C::owner, "ann"}, {C::born, born}});
    };
  };
  CHECK(f.write(insert("a", 2)).error().code() == Code::already_exists);
  CHECK(f.write(insert("b", 1)).error().code() == Code::already_exists);
  f.must([](Transaction& t) -> Result<void> {
    THAW_TRY(const bool first,
             t.put_if_absent(animals, {{C::id, "a"}, {C::owner, "bob"}, {C::born, 9}}));
    CHECK_FALSE(first);
    THAW_TRY(const bool second,
             t.put_if_absent(animals, {{C::id, "b"}, {C::owner, "ann"}, {C::born, 2}}));
    CHECK(second);
    THAW_TRY_VOID(t.put(things, {{K::kind, "k"}, {K::id, "1"}, {K::text, "old"}}));
    THAW_TRY_VOID(t.put(things, {{K::kind, "k"}, {K::id, "1"}, {K::text, "new"}}));
    THAW_TRY_VOID(t.update(animals, {"a"}, {{C::size, 7}}));
    THAW_TRY_VOID(t.put(animals, {{C::id, "a"}, {C::owner, "cy"}, {C::born, 3}}));
    std::string text;
    THAW_TRY_VOID(
        t.scan(things, {}, {K::text}, [&](const Row<K>& row) { text += row.text(K::text); }));
    CHECK(text == "new");
    return t.scan(animals, {.to = {"a"}}, {C::owner, C::size}, [](const Row<C>& row) {
      CHECK(row.text(C::owner) == "cy");
      CHECK(row.integer(C::size) == 7);  // what is not named stays
    });
  });
}

TEST_CASE("a change sets, keeps what is there, or adds, and says whether there was a row") {
  Fixture f;
  f.fill({{"a", 1}, {"b", 2}});
  f.must([](Transaction& t) -> Result<void> {
    std::string seen;
    for (const std::int64_t time : {10, 20}) {
      THAW_TRY(const bool changed, t.update(animals, {"a"},
                                            {add(C::size, 5),
                                             keep(C::ended, time),
                                             {C::weight, static_cast<double>(time)}}));
      CHECK(changed);
    }
    THAW_TRY(const bool none, t.update(animals, {"c"}, {{C::size, 1}}));
    CHECK_FALSE(none);
    CHECK(t.get(animals, {"a"}, {C::size, C::ended, C::weight}, [&](const Row<C>& row) {
      seen = std::to_string(row.integer(C::size)) + " " + std::to_string(row.integer(C::ended)) +
             " " + std::to_string(static_cast<int>(row.real(C::weight)));
    }));
    CHECK(seen == "11 10 20");
    THAW_TRY_VOID(t.update(animals, {"a"}, {{C::ended, nullptr}}));
    CHECK(t.get(animals, {"a"}, {C::ended},
                [&](const Row<C>& row) { seen = row.is_null(C::ended) ? "null" : "a time"; }));
    CHECK(seen == "null");
    CHECK(t.get(animals, {"b"}, {C::size},
                [&](const Row<C>& row) { seen = std::to_string(row.integer(C::size)); }));
    CHECK(seen == "1");
    THAW_TRY(const bool erased, t.erase(animals, {"a"}));
    CHECK(erased);
    THAW_TRY(const bool again, t.erase(animals, {"a"}));
    CHECK_FALSE(again);
    return ok();
  });
}

TEST_CASE("a range is what lies between its bounds, in order") {
  Fixture f;
  f.fill({{"d", 1}, {"c", 2}, {"b", 3}, {"a", 4}, {"e", 5}});
  CHECK(f.ids({}) == "abcde");
  CHECK(f.ids({.by = &animals.arrival}) == "dcbae");
  CHECK(f.ids({.by = &animals.arrival, .after = {2}, .limit = 2}) == "ba");
  CHECK(f.ids({.order = Order::descending, .limit = 2}) == "ed");
  CHECK(f.ids({.after = {"b"}, .before = {"d"}}) == "c");
  CHECK(f.ids({.from = {"b"}, .to = {"d"}}) == "bcd");
  CHECK(f.ids({.with = {"b"}}) == "b");
  CHECK(f.ids({.by = &by_owner, .with = {"bob"}}).empty());
  CHECK(f.ids({.by = &by_owner, .with = {"ann"}, .from = {3}}) == "bae");
  CHECK(f.ids({.by = &by_owner, .with = {"ann"}, .after = {3, "a"}, .to = {4}}) == "ba");
  CHECK(f.ids({.by = &by_owner,
               .with = {"ann"},
               .from = {2},
               .before = {4, "b"},
               .order = Order::descending}) == "abc");
  CHECK(f.ids({.by = &by_birth, .with = {"ann", 4}}) == "a");
  CHECK(f.ids({.limit = 0}).empty());
  f.must([](Transaction& t) -> Result<void> {
    THAW_TRY_VOID(t.update(animals, {"c"}, {{C::ended, 1}}));
    THAW_TRY_VOID(t.update(animals, {"b"}, {{C::size, 2}}));
    THAW_TRY(const std::int64_t all, t.count(animals, {.by = &alive}));
    CHECK(all == 3);
    THAW_TRY(const bool some, t.any_of(animals, {.by = &alive, .after = {4}}));
    CHECK(some);
    THAW_TRY(const bool none, t.any_of(animals, {.by = &alive, .after = {5}}));
    CHECK_FALSE(none);
    return ok();
  });
  CHECK(f.ids({.by = &alive}) == "dae");
  f.must([](Transaction& t) -> Result<void> {
    THAW_TRY(const std::int64_t gone, t.erase_range(animals, {.by = &alive, .to = {4}}));
    CHECK(gone == 2);
    return ok();
  });
  CHECK(f.ids({}) == "bce");
}

TEST_CASE("a visit may end early, use the same verb, and change other rows") {
  Fixture f;
  f.fill({{"a", 1}, {"b", 2}, {"c", 3}});
  f.must([](Transaction& t) -> Result<void> {
    int seen = 0;
    Result<void> inner;
    int below = 0;
    THAW_TRY_VOID(t.scan(animals, {}, {C::id}, [&](const Row<C>& row) {
      inner = t.scan(animals, {}, {C::id}, [&](const Row<C>&) { ++below; });
      if (inner) {
        inner = t.put(things, {{K::kind, "seen"}, {K::id, row.view(C::id)}, {K::text, ""}});
      }
      return ++seen < 2 && inner ? Go::on : Go::stop;
    }));
    CHECK(seen == 2);
    CHECK(below == 6);
    THAW_TRY_VOID(inner);
    THAW_TRY(const std::int64_t noted, t.count(things, {.with = {"seen"}}));
    CHECK(noted == 2);
    return ok();
  });
}

TEST_CASE("sizes are read without what they are of") {
  Fixture f;
  f.must([](Transaction& t) -> Result<void> {
    THAW_TRY_VOID(t.insert(
        animals,
        {{C::id, "a"}, {C::owner, "o"}, {C::born, 1}, {C::picture, std::string(100'000, 'p')}}));
    return t.scan(animals, {}, Columns<C>{C::id}.with_sizes({C::picture}), [](const Row<C>& row) {
      CHECK(row.size(C::picture) == 100'000);
      CHECK(row.size(C::id) == 1);
    });
  });
}

TEST_CASE("an index that a folder lacks is an error, not a slow answer") {
  Fixture f;
  static constexpr Index<C> lacking("animals_by_weight", {C::weight});
  const auto read = f.database->read_now([](Transaction& t) {
    return t.scan(animals, {.by = &lacking}, {C::id}, [](const Row<C>&) {});
  });
  REQUIRE_FALSE(read);
  CHECK(read.error().to_string().find("animals_by_weight") != std::string::npos);
}

TEST_CASE("ranges are read from their index, in its order, and nothing is sorted or gone through") {
  Fixture f;
  const auto plan = [&f](const AnyTable& table, const AnyIndex& index, std::uint8_t with,
                         std::uint8_t before, Order order) {
    const store::detail::VerbForm form{.table = &table,
                                       .other = &index,
                                       .values = 0b101,
                                       .verb = store::detail::VerbForm::Verb::scan,
                                       .with = with,
                                       .from = static_cast<std::uint8_t>(before > 0 ? 1 : 0),
                                       .before = before,
                                       .order = order};
    std::string text;
    REQUIRE(f.database->read_now([&](Transaction& transaction) {
      std::vector<testing::SqlValue> values(std::size_t{form.with} + form.from + form.before + 1u,
                                            std::int64_t{1});
      return testing::sql_of(transaction)
          .each("EXPLAIN QUERY PLAN " + store::detail::text_of(form), std::move(values),
                [&text](const testing::SqlRow& row) { text += row.text(3) + "\n"; });
    }));
    return text;
  };
  for (const Order order : {Order::ascending, Order::descending}) {
    for (const std::string& text :
         {plan(animals, by_owner, 1, 2, order), plan(animals, by_owner, 1, 0, order),
          plan(animals, by_owner, 2, 1, order), plan(animals, by_birth, 1, 1, order),
          plan(animals, alive, 0, 1, order), plan(animals, animals.key, 0, 1, order),
          plan(animals, animals.arrival, 0, 1, order), plan(things, things.key, 1, 1, order)}) {
      CAPTURE(text);
      CHECK(text.find("SEARCH") != std::string::npos);
      CHECK(text.find("SCAN") == std::string::npos);
      CHECK(text.find("TEMP B-TREE") == std::string::npos);
    }
  }
}

TEST_CASE("rows without a parent are found and moved aside, as text that can be put back") {
  Fixture f;
  f.fill({{"a", 1}, {"it's", 2}});
  f.must([](Transaction& t) -> Result<void> {
    for (const char* id : {"a", "gone", "it's", "lost"}) {
      THAW_TRY_VOID(t.put(things, {{K::kind, "of"}, {K::id, id}, {K::text, "it's"}}));
    }
    std::string found;
    THAW_TRY_VOID(t.scan_orphans(things, K::id, animals, {K::id},
                                 [&](const Row<K>& row) { found += row.text(K::id); }));
    CHECK(found == "gonelost");
    THAW_TRY(const std::int64_t moved, set_aside_orphans(t, things, number_of_column(K::id),
                                                         animals, "things", "nobody has them"));
    CHECK(moved == 2);
    THAW_TRY(const std::int64_t left, t.count(things, {}));
    CHECK(left == 2);
    THAW_TRY(auto counts, count_set_aside(t));
    CHECK(counts["things"] == 2);
    return ok();
  });
}

TEST_CASE("a row whose key is damaged is set aside by its place, and only it") {
  Fixture f;
  const auto damage = [](Database& db) -> async::Task<void> {
    std::function<Result<void>(Transaction&)> work = [](Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(
          testing::sql_of(transaction)
              .run("INSERT INTO things VALUES ('k', x'61', 'bytes'), ('k', 'a', 'text')", {}));
      return ok();
    };
    co_return co_await db.write<void>(std::move(work));
  };
  REQUIRE(f.loop.run_task(damage(*f.database)));
  f.must([](Transaction& t) -> Result<void> {
    std::vector<Place> places;
    THAW_TRY_VOID(t.scan(things, {.with = {"k"}}, {},
                         [&](const Row<K>& row) { places.push_back(row.place()); }));
    REQUIRE(places.size() == 2);
    THAW_TRY_VOID(set_aside(t, {&things, places[1], "a thing", "its id is none"}));
    THAW_TRY_VOID(set_aside(t, {&things, places[1], "a thing", "it is aside already"}));
    std::string left;
    THAW_TRY_VOID(
        t.scan(things, {}, {K::text}, [&](const Row<K>& row) { left += row.text(K::text); }));
    CHECK(left == "text");
    return testing::sql_of(t).each("SELECT content FROM set_aside", {},
                                   [](const testing::SqlRow& row) {
                                     CHECK(row.text(0) == "kind='k', id=X'61', text='bytes'");
                                   });
  });
}

TEST_CASE("migrations add, rename, copy and drop, and each runs once") {
  Fixture f;
  f.fill({{"a", 1}, {"b", 2}});
  enum class P { name, age, note };
  static constexpr Column pet_columns[] = {
      {"name", Type::text}, {"age", Type::integer}, {"note", Type::text}};
  static constexpr Table<P> pets("pets", pet_columns, {P::name}, Rows::keyed);
  int copies = 0;
  const std::vector<Step> second = {
      AddTable{.name = "pets",
               .columns = {{"name", Type::text}, {"years", Type::integer}},
               .key = {"name"},
               .rows = Rows::keyed},
      RenameColumn{"pets", "years", "age"},
      AddColumn{"pets", {"note", Type::text, Nulls::no, "it's new"}},
      Rewrite{[&copies](Transaction& t) -> Result<void> {
        ++copies;
        Result<void> put;
        THAW_TRY_VOID(t.scan(animals, {}, {C::id, C::born}, [&](const Row<C>& row) {
          put = t.put(pets, {{P::name, row.view(C::id)}, {P::age, 2'000 - row.integer(C::born)}});
          return put ? Go::on : Go::stop;
        }));
        return put;
      }},
      DropIndex{"animals_alive"},
      DropTable{"animals"},
      RenameTable{"things", "objects"}};
  for (int round = 0; round < 2; ++round) {
    f.open({{"test", 1, first_steps()}, {"test", 2, second}});
    std::string all;
    const auto read = f.database->read_now([&](Transaction& t) {
      return t.scan(pets, {}, {P::name, P::age, P::note}, [&](const Row<P>& row) {
        all += row.text(P::name) + std::to_string(row.integer(P::age)) + row.text(P::note);
      });
    });
    REQUIRE(read);
    CHECK(all == "a1999it's newb1998it's new");
  }
  CHECK(copies == 1);
  CHECK_FALSE(f.database->read_now(
      [](Transaction& t) { return t.scan(animals, {}, {C::id}, [](const Row<C>&) {}); }));
}

TEST_CASE("a migration that fails half-way leaves everything as it was") {
  Fixture f;
  f.fill({{"a", 1}});
  const std::vector<Step> broken = {DropTable{"things"}, Rewrite{[](Transaction&) -> Result<void> {
                                      return Error::internal("it cannot");
                                    }}};
  CHECK_FALSE(f.try_open({{"test", 1, first_steps()}, {"test", 2, broken}}));
  f.open({{"test", 1, first_steps()}});
  CHECK(f.ids({}) == "a");
  f.must([](Transaction& t) -> Result<void> {
    THAW_TRY_VOID(t.count(things, {}));
    return ok();
  });
}

TEST_CASE("ranges are those of a plain sorted list, whatever their bounds") {
  Fixture f;
  std::mt19937 random(7);
  const auto below = [&random](std::int64_t most) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
  };
  std::map<std::pair<std::int64_t, std::string>, bool> model;
  f.must([&](Transaction& t) -> Result<void> {
    for (int i = 0; i < 60; ++i) {
      const std::string id(1, static_cast<char>('A' + i));
      model[{i / 2, id}] = true;
      THAW_TRY_VOID(t.insert(
          animals, {{C::id, id}, {C::owner, i % 2 == 0 ? "ann" : "bob"}, {C::born, i / 2}}));
    }
    return ok();
  });
  for (int round = 0; round < 300; ++round) {
    const std::string owner = below(2) == 0 ? "ann" : "bob";
    const std::int64_t low = below(30);
    const std::int64_t high = below(30);
    const bool is_open = below(2) == 0;
    const auto order = below(2) == 0 ? Order::ascending : Order::descending;
    Range<C> range{.by = &by_owner, .with = {owner}, .order = order};
    (is_open ? range.after : range.from) = {low};
    (is_open ? range.before : range.to) = {high};
    range.limit = below(3) == 0 ? no_limit : below(10);
    std::string expected;
    for (const auto& [key, there] : model) {
      const bool is_owned = ((key.second[0] - 'A') % 2 == 0) == (owner == "ann");
      const bool is_inside =
          is_open ? key.first > low && key.first < high : key.first >= low && key.first <= high;
      expected += is_owned && is_inside ? key.second : "";
    }
    if (order == Order::descending) {
      expected = std::string(expected.rbegin(), expected.rend());
    }
    if (range.limit != no_limit) {
      expected = expected.substr(0, static_cast<std::size_t>(range.limit));
    }
    CHECK(f.ids(range) == expected);
  }
}
