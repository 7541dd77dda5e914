#include "daemon/ctl/table.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "daemon/ctl/text.hpp"

namespace backedpipe::ctl {
namespace {

constexpr std::string_view kGap = "  ";

void append_cell(std::string& line, std::string_view cell, std::size_t width, Table::Align align) {
  const std::string padding(width - display_width(cell), ' ');
  if (align == Table::Align::right) line += padding;
  line += cell;
  if (align == Table::Align::left) line += padding;
}

void end_line(std::string& text) {
  text.resize(text.find_last_not_of(' ') + 1);
  text += '\n';
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells)
    cell = visible(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::render(std::size_t max_rows) const {
  struct Shown {
    std::size_t index;
    std::size_t width;
  };
  const std::size_t count = std::min(max_rows, rows_.size());
  std::vector<Shown> shown;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = display_width(columns_[i].title);
    bool any = false;
    for (std::size_t row = 0; row < count; ++row) {
      any = any || !rows_[row][i].empty();
      width = std::max(width, display_width(rows_[row][i]));
    }
    if (any || columns_[i].show == Show::always) shown.push_back({i, width});
  }

  std::string text;
  for (std::size_t row = 0; row <= count; ++row) {  // row 0 is the header
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const Column& column = columns_[shown[i].index];
      std::string_view cell = row == 0 ? column.title : rows_[row - 1][shown[i].index];
      if (cell.empty()) cell = "-";
      if (i > 0) text += kGap;
      append_cell(text, cell, shown[i].width, column.align);
    }
    end_line(text);
  }
  if (count < rows_.size()) text += "and " + std::to_string(rows_.size() - count) + " more\n";
  return text;
}

}  // namespace backedpipe::ctl
