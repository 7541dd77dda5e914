// The table of sessions on the screen of backedpipctl watch, with as many columns as fit its width,
// always in the same order. Pure functions.
#pragma once

#include <cstddef>
#include <vector>

#include "daemon/ctl/watch/layout.hpp"

namespace backedpipe::ctl {

struct Page {
  std::size_t first;
  std::size_t count;  // of the model's sessions
};

// The titles, then a line for each session of the page.
std::vector<Line> session_table(const WatchModel& model, Page page, std::size_t columns,
                                WallTime now);

}  // namespace backedpipe::ctl
