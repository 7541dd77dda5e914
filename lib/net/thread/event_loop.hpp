// The loop of a thread that serves an io_context.
#pragma once

#include <boost/asio/io_context.hpp>

namespace backedpipe {

// Runs handlers until `io` is stopped or nothing is left to wait for. What one of them throws is
// logged, and the others go on.
void run_events(boost::asio::io_context& io);

}  // namespace backedpipe
