// Timer: steady_timer for what every session has or needs to be set up. It names its executor where
// steady_timer can take any: an object, and an operation for each wait, of less than half the size,
// and no indirect calls on their way.
#pragma once

#include <chrono>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

namespace backedpipe {

using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                                boost::asio::wait_traits<std::chrono::steady_clock>,
                                                boost::asio::io_context::executor_type>;

}  // namespace backedpipe
