#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

#include "net/keep/notify_socket.hpp"

namespace backedpipe {

NotifySocket::NotifySocket(std::string_view path) {
  const auto refuse = [&](const std::string& why) {
    throw std::runtime_error("NOTIFY_SOCKET " + std::string(path) + ": " + why);
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() < 2 || (path[0] != '/' && path[0] != '@')) {
    refuse("expected a path that begins with / or @");
  }
  if (path.size() >= sizeof address.sun_path) refuse("the path is too long");
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  // The zero that ends a path is not part of an abstract name.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                           (path[0] == '/' ? 1 : 0));
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0 || ::connect(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    const int error = errno;
    if (socket >= 0) ::close(socket);
    refuse(std::strerror(error));
  }
  socket_ = socket;
}

NotifySocket::~NotifySocket() {
  if (socket_ >= 0) ::close(socket_);
}

NotifySocket::NotifySocket(NotifySocket&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)) {}

bool NotifySocket::send(std::string_view message, Wait wait,
                        std::span<const int> descriptors) const {
  if (descriptors.size() > kMostDescriptors) return false;
  iovec text{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  const int flags = MSG_NOSIGNAL | (wait == Wait::no ? MSG_DONTWAIT : 0);
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket_, &header, flags);
  } while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

}  // namespace backedpipe
