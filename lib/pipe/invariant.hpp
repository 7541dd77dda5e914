// Assertions that stay on in release builds. No input of a peer or an application can reach one:
// what comes from outside is checked where it enters, and answered with an error.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace backedpipe {

inline void invariant(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) [[likely]] {
    return;
  }
  std::fprintf(stderr, "backedpipe: broken invariant at %s:%u in %s\n", where.file_name(),
               static_cast<unsigned>(where.line()), where.function_name());
  std::abort();
}

}  // namespace backedpipe
