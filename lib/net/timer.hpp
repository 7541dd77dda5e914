// Timer: a steady_timer bound to the executor of an io_context instead of one that can be of any
// type. The timer and the operation of each wait take less than half the memory, and no call is
// indirect. For timers that every session or handshake has.
#pragma once

#include <chrono>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>

namespace backedpipe {

using Timer = boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                                boost::asio::wait_traits<std::chrono::steady_clock>,
                                                boost::asio::io_context::executor_type>;

}  // namespace backedpipe
