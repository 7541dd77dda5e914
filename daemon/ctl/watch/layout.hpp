// How a WatchModel looks on a screen: lines of text with styles, for any size of the screen and
// without any terminal. Pure functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "daemon/ctl/watch/model.hpp"

namespace backedpipe::ctl {

enum class Style {
  plain,
  strong,
  faint,
  good,          // connected, up
  doubtful,      // a link that owes an answer
  bad,           // no link, down
  title,         // of a table
  sorted_title,  // of the column by which the table is sorted
  selected,
};

// Text that starts at a column of the screen. It has passed through visible(). A later span covers
// earlier ones.
struct Span {
  std::size_t column;
  std::string text;
  Style style;
};

using Line = std::vector<Span>;

struct ScreenSize {
  std::size_t columns;
  std::size_t rows;
};

// Returns at most `size.rows` lines of at most `size.columns` columns. When not all sessions fit,
// it shows the page with the selected one.
std::vector<Line> lay_out(const WatchModel& model, ScreenSize size, WallTime now);

// How many sessions a page has.
std::size_t session_rows(const WatchModel& model, ScreenSize size);

}  // namespace backedpipe::ctl
