// For systems without a service manager that takes notifications.
#include <stdexcept>

#include "net/keep/notify_socket.hpp"

namespace backedpipe {

NotifySocket::NotifySocket(std::string_view) {
  throw std::runtime_error("NOTIFY_SOCKET is not used on this system");
}

NotifySocket::~NotifySocket() = default;
NotifySocket::NotifySocket(NotifySocket&&) noexcept = default;

bool NotifySocket::send(std::string_view, Wait, std::span<const int>) const {
  return false;
}

}  // namespace backedpipe
