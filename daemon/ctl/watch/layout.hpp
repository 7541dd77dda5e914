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
  sorted_title,  // of the column that it is sorted by
  selected,
};

// Text from a column of the screen on; it is harmless (see visible()). A later one covers those
// before.
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

// At most as many lines as there are rows, none longer than there are columns. When sessions do not
// fit, it is the page with the selected one that is shown.
std::vector<Line> lay_out(const WatchModel& model, ScreenSize size, WallTime now);

// How many sessions a page has.
std::size_t session_rows(const WatchModel& model, ScreenSize size);

}  // namespace backedpipe::ctl
