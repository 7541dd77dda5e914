// Table lays out rows of text in columns that are as wide as their content. A plain value.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace backedpipe::ctl {

class Table {
 public:
  enum class Align { left, right };
  // if_any: leave the column out when no row has anything in it.
  enum class Show { always, if_any };

  struct Column {
    std::string title;
    Align align = Align::left;
    Show show = Show::always;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell per column; missing cells are empty. Cells may contain any text: visible() makes it
  // harmless here. An empty cell is shown as "-", because a gap would hide which column is empty.
  void add_row(std::vector<std::string> cells);

  // The header and at most `max_rows` rows, each with a newline at its end and no spaces before it;
  // then, if there are more, a line that says how many.
  std::string render(std::size_t max_rows = static_cast<std::size_t>(-1)) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace backedpipe::ctl
