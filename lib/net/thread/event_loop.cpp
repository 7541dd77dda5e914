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
      // For example, memory ran out while a connection was set up: only that connection is lost.
      spdlog::error("an event was dropped: {}", error.what());
    }
  }
}

}  // namespace backedpipe
