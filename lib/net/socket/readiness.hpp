// Readiness: the waits of one end of a session on its socket, at most one of each kind at a time.
// The same class serves the application and the link. Part of a SessionDriver, which the handlers
// keep alive; on its worker's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "net/lasting_wait.hpp"
#include "net/socket/stream.hpp"

namespace backedpipe {

class Readiness {
 public:
  enum class Kind : std::uint8_t { read, write, error };

  // Calls `ready()` once the socket is ready for `kind`. Does nothing if such a wait is already
  // pending. `ready` is not called if the wait fails, or if renew() comes first. `ready` must keep
  // this object alive.
  template <typename Ready>
  void wait(StreamSocket& socket, Kind kind, Ready ready) {
    if (std::exchange(waiting_[index(kind)], true)) return;
    socket.async_wait(type_of(kind),
                      Lasting([this, kind, number = number_,
                               ready = std::move(ready)](const boost::system::error_code& error) {
                        if (number != number_) return;
                        waiting_[index(kind)] = false;
                        if (!error) ready();
                      }));
  }
  bool waits(Kind kind) const { return waiting_[index(kind)]; }

  // The socket has been replaced: pending waits no longer count.
  void renew() {
    ++number_;
    waiting_ = {};
  }

 private:
  static std::size_t index(Kind kind) { return static_cast<std::size_t>(kind); }
  static StreamSocket::wait_type type_of(Kind kind) {
    switch (kind) {
      case Kind::read:
        return StreamSocket::wait_read;
      case Kind::write:
        return StreamSocket::wait_write;
      case Kind::error:
        break;
    }
    return StreamSocket::wait_error;
  }

  std::uint32_t number_ = 0;  // of the current socket
  std::array<bool, 3> waiting_{};
};

}  // namespace backedpipe
