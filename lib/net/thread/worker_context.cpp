#include "net/thread/worker_context.hpp"

#include <cerrno>
#include <system_error>
#include <unistd.h>

namespace backedpipe {

std::uint64_t WorkerContext::random() {
  if (random_left_ == 0) {
    // The most that one call of getentropy() returns.
    static_assert(sizeof random_ == 256);
    if (::getentropy(random_.data(), sizeof random_) != 0) {
      throw std::system_error(errno, std::generic_category(), "getentropy");
    }
    random_left_ = random_.size();
  }
  return random_[--random_left_];
}

}  // namespace backedpipe
