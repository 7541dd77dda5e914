#include "net/thread/event_loop.hpp"

#include <exception>

#include <spdlog/spdlog.h>

namespace backedpipe {

void run_events(boost::asio::io_context& io) {
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {
      // Out of memory, say, while one connection was set up: that one is lost, the others are not.
      spdlog::error("an event was dropped: {}", error.what());
    }
  }
}

}  // namespace backedpipe
