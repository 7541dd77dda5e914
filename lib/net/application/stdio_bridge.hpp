// StdioBridge carries bytes between two descriptors of this process, mostly its standard input and
// output, and a stream socket, for which a session can take it for an application's connection. The
// descriptors may be anything: pipes, sockets, terminals, files, /dev/null.
//
// It uses blocking calls on two threads of its own, and never sets O_NONBLOCK: that flag belongs to
// the open file, which is shared with whoever started this process and stays after its end. Nor
// could an event loop wait for a regular file. Each thread holds one piece of data at a time; what
// else is on its way is in the socket's buffers.
//
// Made, started and stopped on the thread that runs the io_context, where the handlers are called.
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
    // The input has ended, and so has the direction to the session.
    std::function<void()> input_ended;
    // Nobody reads the output any more, as far as can be seen without writing to it.
    std::function<void()> reader_gone;
    // All that came from the session is written and the output is closed.
    std::function<void()> output_ended;
    // Reading the input or writing the output has failed: the session must not end as if nothing
    // were missing. `why` is a sentence, and empty for a broken pipe, which is how readers leave.
    std::function<void(const std::string& why)> failed;
  };

  StdioBridge(boost::asio::io_context& io, int input, int output);
  ~StdioBridge();
  StdioBridge(const StdioBridge&) = delete;
  StdioBridge& operator=(const StdioBridge&) = delete;

  // The session's end of the socket. Throws std::system_error when there are no descriptors left.
  StreamSocket start(Handlers handlers);
  // Calls no handler any more, and waits for the threads but for one that is stuck in a call: it
  // touches nothing but the descriptors from then on.
  void stop();

 private:
  struct Shared;

  boost::asio::io_context& io_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace backedpipe
