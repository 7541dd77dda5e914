#include "net/listen/passed_sockets.hpp"

#include <charconv>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace backedpipe {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START

std::string_view environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

// A whole number, or 0.
int number(std::string_view text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && rest == end ? value : 0;
}

bool is_listening(int descriptor) {
  int type = 0;
  int listening = 0;
  socklen_t size = sizeof type;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM &&
         ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
         listening == 1;
}

}  // namespace

PassedSockets PassedSockets::from_environment() {
  PassedSockets sockets;
  if (number(environment("LISTEN_PID")) != ::getpid()) return sockets;
  const int count = number(environment("LISTEN_FDS"));
  std::string_view names = environment("LISTEN_FDNAMES");
  for (int descriptor = kFirst; descriptor < kFirst + count; ++descriptor) {
    const std::size_t end = names.find(':');
    const std::string name(names.substr(0, end));
    names.remove_prefix(end == std::string_view::npos ? names.size() : end + 1);
    if (!is_listening(descriptor)) {
      throw std::runtime_error("the socket \"" + name + "\" that was passed to this process (" +
                               std::to_string(descriptor) + ") is not a listening stream socket");
    }
    ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    sockets.descriptors_.emplace(name, descriptor);
  }
  return sockets;
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
