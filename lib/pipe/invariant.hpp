// Assertions that stay on in release builds. No input of a peer or an application can violate one:
// what comes from outside is checked where it enters, and an error answers it.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace backedpipe {

// The defaults name the caller, as std::source_location would, which clang 14 does not have.
inline void invariant(bool holds, const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                      const char* function = __builtin_FUNCTION()) {
  if (holds) [[likely]] {
    return;
  }
  std::fprintf(stderr, "backedpipe: broken invariant at %s:%d in %s\n", file, line, function);
  std::abort();
}

}  // namespace backedpipe
