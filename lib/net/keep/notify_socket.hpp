// NotifySocket: a connection to the socket on which a service manager, or the supervisor, takes
// notifications and descriptors: NOTIFY_SOCKET, see sd_notify(3). Owned by whoever reports
// something, on any one thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace backedpipe {

class NotifySocket {
 public:
  // The kernel's limit for one message: SCM_MAX_FD.
  static constexpr std::size_t kMostDescriptors = 253;

  // `path` is the value of NOTIFY_SOCKET: "/path", or "@name" for a name in the abstract namespace.
  // Throws std::runtime_error with a sentence that names it.
  explicit NotifySocket(std::string_view path);
  ~NotifySocket();
  NotifySocket(NotifySocket&& other) noexcept;
  NotifySocket& operator=(NotifySocket&&) = delete;

  // What to do while the manager's queue is full.
  enum class Wait { no, yes };
  // Sends one message, with copies of at most kMostDescriptors descriptors. False if it could not be
  // sent.
  bool send(std::string_view message, Wait wait, std::span<const int> descriptors = {}) const;

 private:
  int socket_ = -1;
};

}  // namespace backedpipe
