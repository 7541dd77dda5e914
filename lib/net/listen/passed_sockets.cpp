#include "net/listen/passed_sockets.hpp"

#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace backedpipe {
namespace {

bool is_listening(int descriptor) {
  int type = 0;
  int listening = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
         listening == 1;
}

}  // namespace

PassedSockets::PassedSockets(const std::vector<PassedDescriptor>& passed) {
  for (const auto& [name, descriptor] : passed) {
    if (!is_listening(descriptor)) {
      throw std::runtime_error("the socket \"" + name + "\" that was passed to this process (" +
                               std::to_string(descriptor) + ") is not a listening stream socket");
    }
    descriptors_.emplace(name, descriptor);
  }
}

PassedSockets::~PassedSockets() {
  for (const auto& [name, descriptor] : descriptors_)
    ::close(descriptor);
}

PassedSockets::PassedSockets(PassedSockets&& other) noexcept
    : descriptors_(std::exchange(other.descriptors_, {})) {}

std::optional<int> PassedSockets::take(const std::string& name) {
  const auto found = descriptors_.lower_bound(name);
  if (found == descriptors_.end() || found->first != name) return std::nullopt;
  const int descriptor = found->second;
  descriptors_.erase(found);
  return descriptor;
}

std::string PassedSockets::name_of_link_listener(const Address& address) {
  return "accept-" + std::to_string(address.port);
}

void PassedSockets::require_all_taken() const {
  if (descriptors_.empty()) return;
  std::string names;
  for (const auto& [name, descriptor] : descriptors_)
    names += (names.empty() ? "\"" : ", \"") + name + "\"";
  throw std::runtime_error("no listener takes the passed sockets named " + names +
                           "; expected the name of a tunnel, or accept-PORT as in \"accept\"");
}

}  // namespace backedpipe
