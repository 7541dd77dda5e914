#include "net/keep/keeper.hpp"

#include <algorithm>
#include <stdexcept>

#include "net/keep/environment.hpp"

namespace backedpipe {

Checked<Keeper> Keeper::from_environment() {
  const auto nobody = [](const std::string& why) {
    return Checked<Keeper>::failure("no service manager or supervisor keeps descriptors: " + why);
  };
  const std::string_view path = environment("NOTIFY_SOCKET");
  if (path.empty()) return nobody("NOTIFY_SOCKET is not set");
  const std::string_view most = environment("FDSTORE");
  if (most.empty()) return nobody("FDSTORE is not set");
  if (whole_number(most) == 0) {
    return nobody("FDSTORE is \"" + std::string(most) + "\", expected a number above 0");
  }
  try {
    return Keeper(NotifySocket(path), whole_number(most));
  } catch (const std::runtime_error& error) {
    return nobody(error.what());
  }
}

bool Keeper::keep(std::string_view name, std::span<const int> descriptors) const {
  if (!is_valid_descriptor_name(name)) return false;
  // FDPOLL=0: systemd would otherwise drop a socket as soon as its peer is gone.
  const std::string message = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + std::string(name);
  while (!descriptors.empty()) {
    const std::size_t count = std::min(descriptors.size(), NotifySocket::kMostDescriptors);
    if (!socket_.send(message, NotifySocket::Wait::no, descriptors.first(count))) return false;
    descriptors = descriptors.subspan(count);
  }
  return true;
}

bool Keeper::drop(std::string_view name) const {
  return is_valid_descriptor_name(name) &&
         socket_.send("FDSTOREREMOVE=1\nFDNAME=" + std::string(name), NotifySocket::Wait::no);
}

bool is_valid_descriptor_name(std::string_view name) {
  constexpr std::size_t kMostBytes = 255;
  return !name.empty() && name.size() <= kMostBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != ':'; });
}

}  // namespace backedpipe
