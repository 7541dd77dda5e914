// The loop of a thread that serves an io_context.
#pragma once

#include <boost/asio/io_context.hpp>

namespace backedpipe {

// Runs handlers until `io` is stopped or nothing is left to wait for. An exception of a handler is
// logged, and the other handlers go on.
void run_events(boost::asio::io_context& io);

}  // namespace backedpipe
