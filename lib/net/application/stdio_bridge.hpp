// StdioBridge carries bytes between two descriptors of this process, usually its standard input and
// output, and a stream socket that a session uses as its application's connection. The descriptors
// may be pipes, sockets, terminals, files or /dev/null.
//
// It uses blocking calls on two threads of its own, and never sets O_NONBLOCK: that flag belongs to
// the open file, which this process shares with its parent and which outlives it. An event loop
// could not wait for a regular file either. Each thread holds one piece of data at a time; all
// other data under way is in the socket's buffers.
//
// Made, started and stopped on the thread of the io_context, which also calls the handlers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "net/socket/stream.hpp"

namespace backedpipe {

class StdioBridge {
 public:
  struct Handlers {
    // The input has ended: half-close the direction to the session.
    std::function<void()> input_ended;
    // The reader of the output is gone, as far as can be seen without writing.
    std::function<void()> reader_gone;
    // Everything from the session is written, and the output is closed.
    std::function<void()> output_ended;
    // Reading the input or writing the output failed: the session must not end as if its data were
    // complete. `why` is a sentence, and empty for a broken pipe, the usual way for a reader to
    // leave.
    std::function<void(const std::string& why)> failed;
  };

  StdioBridge(boost::asio::io_context& io, int input, int output);
  ~StdioBridge();
  StdioBridge(const StdioBridge&) = delete;
  StdioBridge& operator=(const StdioBridge&) = delete;

  // Returns the session's end of the socket. Throws std::system_error when descriptors run out.
  StreamSocket start(Handlers handlers);
  // Calls no handler any more. Waits for the threads, except one that is stuck in a system call:
  // from then on that thread touches nothing but the descriptors.
  void stop();

 private:
  struct Shared;

  boost::asio::io_context& io_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace backedpipe
