package dev.lathe.report;

import java.util.ArrayList;
import java.util.List;

/**
 * A table of the report, before it is HTML or Markdown. The first cell of a row names the row.
 *
 * @param id anchor in the HTML
 * @param note how to read it; may be empty
 * @param folded shown on demand: long tables
 */
record Table(
    String id, String title, String note, List<Column> columns, List<Row> rows, boolean folded) {
  Table {
    columns = List.copyOf(columns);
    rows = List.copyOf(rows);
    for (Row row : rows) {
      if (row.cells().size() != columns.size()) {
        throw new IllegalArgumentException(
            "table %s has %d columns and a row of %d cells"
                .formatted(id, columns.size(), row.cells().size()));
      }
    }
  }

  enum Align {
    TEXT,
    NUMBER
  }

  record Column(String name, Align align) {}

  enum Mark {
    PLAIN,
    ACCEPTED,
    REJECTED
  }

  record Row(List<String> cells, Mark mark) {
    Row {
      cells = List.copyOf(cells);
    }
  }

  static Builder of(String id, String title, String note) {
    return new Builder(id, title, note);
  }

  static final class Builder {
    private final String id;
    private final String title;
    private final String note;
    private final List<Column> columns = new ArrayList<>();
    private final List<Row> rows = new ArrayList<>();
    private boolean folded;

    private Builder(String id, String title, String note) {
      this.id = id;
      this.title = title;
      this.note = note;
    }

    Builder text(String... names) {
      for (String name : names) {
        columns.add(new Column(name, Align.TEXT));
      }
      return this;
    }

    Builder numbers(String... names) {
      for (String name : names) {
        columns.add(new Column(name, Align.NUMBER));
      }
      return this;
    }

    Builder folded() {
      folded = true;
      return this;
    }

    Builder row(String... cells) {
      return row(Mark.PLAIN, cells);
    }

    Builder row(Mark mark, String... cells) {
      rows.add(new Row(List.of(cells), mark));
      return this;
    }

    Table build() {
      return new Table(id, title, note, columns, rows, folded);
    }
  }
}
